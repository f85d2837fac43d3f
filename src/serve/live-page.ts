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

const POLICY = /<meta http-equiv="Content-Security-Policy" content="[^"]*?(?:; script-src ([^";]*))?">\n/;

/** Pages are made once for each state of a run, however many ask for them. */
export class LivePages {
  readonly #kept = new Map<string, Kept>();

  async page(directory: string): Promise<LivePage> {
    const version = await versionOf(directory);
    const kept = this.#kept.get(directory);
    if (kept?.version === version) return kept.page;
    const page = make(directory);
    this.#kept.set(directory, { version, page });
    page.catch(() => this.#kept.delete(directory));
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
