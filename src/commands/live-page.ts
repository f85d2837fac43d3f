/** The live page of a run in the browser of whoever started it. */
import type { RunObserver } from "../run/observer.ts";
import { type RunPage, serveRunPage } from "../serve/run-page.ts";
import { openInBrowser } from "./browser.ts";

export class LivePage {
  readonly #say: (line: string) => void;
  #page: RunPage | undefined;

  /** @param say prints a line for people */
  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** The observer, with which the page begins too: by then the run has its directory. */
  beside(observer: RunObserver): RunObserver {
    return {
      ...observer,
      started: (start) => {
        observer.started?.(start);
        this.#page = serveRunPage(start.runDir, {
          served: (url) => {
            this.#say(`live page: ${url}`);
            openInBrowser(url, (why) => this.#say(`no browser shows it: ${why}`));
          },
          failed: ({ message }) => this.#say(`no live page: ${message}`),
        });
      },
    };
  }

  /** Once the run is over, for those who look at it. */
  async finish(): Promise<void> {
    await this.#page?.finish();
  }

  async close(): Promise<void> {
    await this.#page?.close();
  }
}
