/** The report of a sweep as it is now, with links to the live pages of its runs. */
import { escapeHtml } from "../report/html.ts";
import { sweepPage } from "../report/sweep/page.ts";
import type { Found } from "./find.ts";
import { address } from "./list-page.ts";

/** Made when it is asked for; whoever asks while it is made gets the same. */
export class SweepPages {
  readonly #making = new Map<string, Promise<string>>();

  page(sweep: Found): Promise<string> {
    const { directory } = sweep;
    const begun = this.#making.get(directory);
    if (begun) return begun;
    const page = make(sweep).finally(() => this.#making.delete(directory));
    this.#making.set(directory, page);
    return page;
  }
}

function make({ name, directory }: Found): Promise<string> {
  const parts = name === "." ? [] : name.split("/");
  const up = "../".repeat(parts.length + 1);
  return sweepPage(directory, {}, (run) => {
    const to = `${up}${address("run", [...parts, "runs", run].join("/"))}`;
    return `<a href="${escapeHtml(to)}">live page</a> `;
  });
}
