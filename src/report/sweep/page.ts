/** The report of a sweep: what failed first, then how the runs differ, then all of them. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { runDirectory } from "../../sweep/directory.ts";
import { inWords } from "../../sweep/expand.ts";
import { type SweepResult, sweepResults } from "../../sweep/results.ts";
import { type SweepRunStatus, sweepStatus } from "../../sweep/status.ts";
import { formatStep } from "../format.ts";
import { renderedFigure } from "../guarded.ts";
import { escapeHtml } from "../html.ts";
import { bulletList, type Fact, factList, figureGrid, htmlPage, htmlTable, section } from "../page.ts";
import { axesInWords, axesOf, chooseAxes } from "./axes.ts";
import { sweepFigure } from "./figures.ts";
import { SWEEP_VALUE_NAMES, SWEEP_VALUES, type SweepValueName } from "./values.ts";

/** What of a sweep its report shows. */
export interface SweepReportOptions {
  /** Settings along the two axes; by default the first ones in which runs differ, but for the seed. */
  x?: string;
  y?: string;
  /** What is shown; by default everything. */
  values?: readonly SweepValueName[];
}

/** Markup that leads to a page of the run of this name; "" if there is none. */
export type RunLink = (run: string) => string;

const reportLink =
  (directory: string): RunLink =>
  (run) =>
    existsSync(join(runDirectory(directory, run), "report.html"))
      ? `<a href="runs/${escapeHtml(run)}/report.html">report</a> `
      : "";

/** @throws UsageError for a directory without a sweep, and for settings in which its runs do not differ */
export async function sweepPage(
  directory: string,
  options: SweepReportOptions = {},
  linkTo: RunLink = reportLink(directory),
): Promise<string> {
  const { counts, runs } = await sweepStatus(directory);
  const { results, damaged } = await sweepResults(directory);
  const axes = axesOf(runs);
  const chosen = chooseAxes(axes, options);
  const { values = SWEEP_VALUE_NAMES } = options;
  const figures = await Promise.all(
    values
      .flatMap((name) => (results.length === 0 ? [] : sweepFigure(results, chosen, name)))
      .map(async (figure) => ({ ...figure, svg: await renderedFigure(figure) })),
  );
  const begun = runs.filter(({ state }) => state === "running" || state === "interrupted");
  const failed = runs.filter(({ state }) => state === "failed");
  const facts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]): Fact => ({ term: state, value: String(count) }));
  return htmlPage({
    title: `epigrok: sweep ${basename(resolve(directory))}`,
    subtitle: axesInWords(axes),
    body: [
      factList(facts),
      ...(failed.length === 0
        ? []
        : [
            section(
              "Failed",
              bulletList(
                failed.map(
                  ({ run, settings, failure }) => `${inWords(settings)} (${run}): ${failure?.message}`,
                ),
              ),
            ),
          ]),
      ...(begun.length === 0 ? [] : [section("Begun", begunTable(begun, linkTo))]),
      ...(damaged.length === 0 ? [] : [section("Damaged, and in none of the figures", bulletList(damaged))]),
      ...(figures.length === 0 ? [] : [section("Over the settings", figureGrid(figures))]),
      section(
        "Runs",
        runsTable(
          results,
          axes.map(({ key }) => key),
          linkTo,
        ),
      ),
    ].join("\n"),
    footer: `Of ${results.length} finished runs. All numbers: results.csv, results.parquet, results.jsonl.`,
  });
}

function begunTable(runs: readonly SweepRunStatus[], linkTo: RunLink): string {
  return htmlTable({
    head: ["run", "settings", "state", "step"],
    rows: runs.map(({ run, settings, state, step, steps }) => [
      ...[run, inWords(settings), state, `${formatStep(step)} of ${formatStep(steps)}`],
    ]),
    rowPrefix: (row) => linkTo(runs[row].run),
  });
}

function runsTable(results: readonly SweepResult[], keys: readonly string[], linkTo: RunLink): string {
  return htmlTable({
    caption:
      "Steps of the median member. epigrok sweep results SWEEP --reports writes the reports of all runs, which are linked here.",
    head: [
      "run",
      ...keys,
      "memorised",
      "grokked at",
      ...SWEEP_VALUE_NAMES.map((name) => SWEEP_VALUES[name].title),
    ],
    rows: results.map((result) => [
      result.run,
      ...keys.map((key) => (key in result.settings ? String(result.settings[key]) : "–")),
      formatStep(result.memorisedStep),
      formatStep(result.grokStep),
      ...SWEEP_VALUE_NAMES.map((name) => SWEEP_VALUES[name].format(SWEEP_VALUES[name].of(result))),
    ]),
    rowPrefix: (row) => linkTo(results[row].run),
  });
}
