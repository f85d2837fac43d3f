/** Reports as files: a self-contained HTML page, and figures as stand-alone SVG files. */
import { join, resolve } from "node:path";
import { makeFolder, requireWritable } from "../run/folders.ts";
import { requireKeys, requireList, requireNonEmpty, requireOneOf, requirePath } from "../validate.ts";
import { comparisonPage } from "./comparison-page.ts";
import { otherFigures, stepFigures } from "./figures/index.ts";
import { methodsOf } from "./figures/methods.ts";
import { type Figure, titled } from "./figures/plot.ts";
import { requirePlace, requireReplaceable, writeOutput } from "./output.ts";
import { type RunData, readRun } from "./read-run.ts";
import { runPage } from "./run-page.ts";
import { renderSvg, type SvgTheme } from "./svg.ts";
import { type SweepReportOptions, sweepPage } from "./sweep/page.ts";

export interface ReportOptions {
  /** Path of the HTML file. Default: `report.html` in the run directory, or in the working directory for several runs. */
  out?: string;
}

/**
 * Writes the report of one run, or a comparison of several, as one HTML file that needs neither network nor script.
 * The file replaces an older report atomically, and nothing else. A run that is still going on can be reported.
 * @returns the absolute path of the file.
 * @throws UsageError if `out` is a file, but no report.
 * @throws RangeError for no run; MissingRunError or ForeignRunError for a directory that is not a run.
 */
export async function writeReport(runDirs: string[], options: ReportOptions = {}): Promise<string> {
  requireList("runDirs", runDirs);
  requireNonEmpty("runDirs", runDirs);
  requireKeys("options", options, ["out"]);
  if (options.out !== undefined) await requirePlace(options.out, "HTML report");
  const runs: RunData[] = [];
  const faults: string[] = [];
  for (const runDir of runDirs) runs.push(await readRun(runDir, ({ message }) => faults.push(message)));
  const path = resolve(
    options.out ?? (runs.length === 1 ? join(runs[0].directory, "report.html") : "report.html"),
  );
  await writeOutput(
    path,
    runs.length === 1 ? await runPage(runs[0], faults) : await comparisonPage(runs, faults),
    "HTML report",
  );
  return path;
}

/**
 * Writes the report of a sweep, `report.html` in its directory unless `out` says where.
 * @returns the absolute path of the file.
 * @throws UsageError for a directory without a sweep, axes that it does not have, or an `out` that is a file, but no report
 */
export async function writeSweepReport(
  directory: string,
  options: ReportOptions & SweepReportOptions = {},
): Promise<string> {
  requirePath("directory", directory);
  requireKeys("options", options, ["out", "x", "y", "values"]);
  const { out = join(directory, "report.html"), ...shown } = options;
  await requirePlace(out, "HTML report");
  await writeOutput(resolve(out), await sweepPage(directory, shown), "HTML report");
  return resolve(out);
}

export interface FiguresOptions {
  /** Fixed colours for a light or a dark page, or `auto`: colours that follow the viewer's scheme. Default `auto`. */
  theme?: Exclude<SvgTheme, "page">;
}

/**
 * Writes every figure of a run as `<id>.svg`, and as `<id>-log.svg` with a logarithmic step axis.
 * @returns the absolute paths of the files.
 * @throws UsageError if there is a file of such a name that is no figure.
 */
export async function writeFigures(
  runDir: string,
  outDir: string,
  options: FiguresOptions = {},
): Promise<string[]> {
  requirePath("outDir", outDir);
  requireKeys("options", options, ["theme"]);
  const { theme = "auto" } = options;
  requireOneOf("theme", theme, ["light", "dark", "auto"]);
  requireWritable(outDir);
  const run = await readRun(runDir);
  const methods = methodsOf(run);
  const named = (suffix: string) => (figure: Figure) => ({ file: `${figure.id}${suffix}.svg`, figure });
  const figures = [
    ...stepFigures(run, methods, "linear").map(named("")),
    ...stepFigures(run, methods, "log").map(named("-log")),
    ...otherFigures(run).map(named("")),
  ];
  makeFolder(outDir);
  const paths = figures.map(({ file }) => resolve(outDir, file));
  // Before any is written.
  for (const path of paths) await requireReplaceable(path, "figure");
  await Promise.all(
    figures.map(async ({ figure }, i) =>
      writeOutput(paths[i], `${await renderSvg(titled(figure), theme)}\n`, "figure"),
    ),
  );
  return paths;
}
