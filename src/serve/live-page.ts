/** The report of a run as a page that follows it. */
import { readRun } from "../report/read-run.ts";
import { runPage } from "../report/run-page.ts";
import { versionOf } from "./follow.ts";

export interface LivePage {
  html: string;
  /** Hashes of the scripts in it, as a content security policy has them. */
  scripts: string;
}

interface Kept {
  version: string;
  page: Promise<LivePage>;
}

/** For so many times as long as its page took to make, a run is left alone before a change has the next one made. */
const RESTS = 4;

const POLICY = /<meta http-equiv="Content-Security-Policy" content="[^"]*?(?:; script-src ([^";]*))?">\n/;

/** Pages are made once for each state of a run, however many ask for them. */
export class LivePages {
  readonly #kept = new Map<string, Kept>();
  readonly #restsUntil = new Map<string, number>();

  /** Whether the run's page is being made, or was made so lately that its readers are to be told of changes later. */
  rests(directory: string): boolean {
    return performance.now() < (this.#restsUntil.get(directory) ?? 0);
  }

  /** Resolves when no page is being made. */
  async made(): Promise<void> {
    await Promise.allSettled(Array.from(this.#kept.values(), ({ page }) => page));
  }

  async page(directory: string): Promise<LivePage> {
    const version = await versionOf(directory);
    const kept = this.#kept.get(directory);
    if (kept?.version === version) return kept.page;
    const began = performance.now();
    const page = make(directory);
    this.#kept.set(directory, { version, page });
    this.#restsUntil.set(directory, Number.POSITIVE_INFINITY);
    const rest = () => {
      const now = performance.now();
      this.#restsUntil.set(directory, now + RESTS * (now - began));
    };
    page.then(rest, () => {
      this.#kept.delete(directory);
      rest();
    });
    return page;
  }
}

/** The policy comes with the response, which lets the page load the script that follows the run. */
async function make(directory: string): Promise<LivePage> {
  const faults: string[] = [];
  const run = await readRun(directory, ({ message }) => faults.push(message));
  const html = await runPage(run, faults);
  const scripts = POLICY.exec(html)?.[1] ?? "";
  return {
    html: html.replace(POLICY, "").replace("</head>", '<script src="live.js" defer></script>\n</head>'),
    scripts,
  };
}
