/** The page that lists what is served. */
import { resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { escapeHtml } from "../report/html.ts";
import { htmlPage, htmlTable, section } from "../report/page.ts";
import { axesInWords, axesOf } from "../report/sweep/axes.ts";
import { runStatuses } from "../run/status.ts";
import { inWords } from "../sweep/expand.ts";
import { countsInWords, type SweepRunStatus, sweepStatus } from "../sweep/status.ts";
import { type Found, type FoundBelow, MOST_ENTRIES } from "./find.ts";

/** Runs, and sweeps, whose files are read for it. */
const MOST_LISTED = 200;

interface SweepRow {
  found: Found;
  axes: string;
  state: string;
  runs: readonly SweepRunStatus[];
}

export async function listPage({ runs, sweeps, cut }: FoundBelow, playground: boolean): Promise<string> {
  const swept = await Promise.all(sweeps.slice(0, MOST_LISTED).map(sweepRow));
  const settings = new Map(
    swept.flatMap((sweep) => sweep.runs.map((run) => [run.directory, inWords(run.settings)])),
  );
  // Sweeps have pages that list their own.
  const alone = runs.filter(({ directory }) => !settings.has(directory));
  const ordered = [...alone, ...runs.filter(({ directory }) => settings.has(directory))];
  const listed = await Promise.all(
    ordered.slice(0, MOST_LISTED).map(async (found) => ({
      found,
      cells: [settings.get(found.directory) ?? "", ...(await stateOf(found))],
    })),
  );
  return htmlPage({
    title: "epigrok",
    body: [
      ...(playground ? [`<p><a href="playground/">Watch one grok in this browser</a></p>`] : []),
      ...(cut
        ? [
            note(
              `Only the first ${MOST_ENTRIES} files and folders were looked at. Serve a folder further down.`,
            ),
          ]
        : []),
      ...(swept.length === 0
        ? []
        : [
            section(
              "Sweeps",
              table(
                "sweep",
                ["sweep", "axes", "runs"],
                swept.map(({ found, axes, state }) => ({ found, cells: [axes, state] })),
              ) + leftOut(sweeps.length - swept.length),
            ),
          ]),
      section(
        "Runs",
        runs.length === 0
          ? note("There is no run here.")
          : table("run", ["run", "settings", "state", "step"], listed) + leftOut(runs.length - listed.length),
      ),
    ].join("\n"),
  });
}

async function sweepRow(found: Found): Promise<SweepRow> {
  try {
    const { counts, runs } = await sweepStatus(found.directory);
    return { found, axes: axesInWords(axesOf(runs)), state: countsInWords(counts), runs };
  } catch (error) {
    return { found, axes: "", state: `broken: ${messageOf(error)}`, runs: [] };
  }
}

/** Its state, and how far it is. */
async function stateOf({ directory }: Found): Promise<string[]> {
  const all = await runStatuses(directory).catch(() => []);
  const status = all.find((each) => each.directory === resolve(directory));
  return [status?.state ?? "broken", `${status?.step ?? "–"} of ${status?.steps ?? "–"}`];
}

const table = (
  kind: "run" | "sweep",
  head: string[],
  rows: readonly { found: Found; cells: readonly string[] }[],
) =>
  htmlTable({
    head,
    rows: rows.map(({ cells }) => ["", ...cells]),
    rowPrefix: (row) => {
      const { name } = rows[row].found;
      return `<a href="${escapeHtml(address(kind, name))}">${escapeHtml(name)}</a>`;
    },
  });

const note = (text: string) => `<p class="note">${escapeHtml(text)}</p>`;

const leftOut = (count: number) =>
  count > 0 ? note(`And ${count} more, which are not listed. Serve a folder further down.`) : "";

/** Of a page, relative to that of the list. */
export const address = (kind: "run" | "sweep", name: string) =>
  `${kind}/${name.split("/").map(encodeURIComponent).join("/")}/`;
