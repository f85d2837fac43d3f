/** The page that lists what is served. */
import { resolve } from "node:path";
import { escapeHtml } from "../report/html.ts";
import { htmlPage, section } from "../report/page.ts";
import { runStatuses } from "../run/status.ts";
import type { FoundRun } from "./find-runs.ts";

/** Runs whose files are read for it. */
const MOST_RUNS = 200;

export async function listPage(runs: readonly FoundRun[], playground: boolean): Promise<string> {
  const rows = await Promise.all(
    runs.slice(0, MOST_RUNS).map(async ({ name, directory }) => {
      const status = (await runStatuses(directory).catch(() => [])).find(
        (each) => each.directory === resolve(directory),
      );
      const link = `<a href="${escapeHtml(address(name))}">${escapeHtml(name)}</a>`;
      const cells = [status?.state ?? "broken", `${status?.step ?? "–"} of ${status?.steps ?? "–"}`];
      return `<tr><th scope="row">${link}</th>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`;
    }),
  );
  const left = runs.length - rows.length;
  const table = `<div class="scroll"><table><thead><tr><th scope="col">run</th><th scope="col">state</th><th scope="col">step</th></tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`;
  return htmlPage({
    title: "epigrok",
    body: [
      ...(playground ? [`<p><a href="playground/">Watch one grok in this browser</a></p>`] : []),
      section(
        "Runs",
        runs.length === 0
          ? '<p class="note">There is no run here.</p>'
          : `${table}${left > 0 ? `<p class="note">And ${left} more, which are not listed.</p>` : ""}`,
      ),
    ].join("\n"),
  });
}

/** Of a run's page, relative to that of the list. */
const address = (name: string) => `run/${name.split("/").map(encodeURIComponent).join("/")}/`;
