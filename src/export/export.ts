/** Metrics and predictions of runs as files that other programs read. */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { withoutPredictions } from "../diagnosis/kept-evaluations.ts";
import { UsageError } from "../errors.ts";
import { ForeignRunError, MissingRunError } from "../run/errors.ts";
import { makeFolder } from "../run/folders.ts";
import { identityOf, type Manifest } from "../run/manifest.ts";
import { METRICS, readManifest, readMetrics } from "../run/read.ts";
import { csvOf, parquetOf, type Table } from "../run/table.ts";
import { writeWhole } from "../run/write-file.ts";
import { holdsSweep, readSweep, runDirectory } from "../sweep/directory.ts";
import { inWords } from "../sweep/expand.ts";
import { resultsTable, type SweepResult, wholeResults } from "../sweep/results.ts";
import { requireKeys, requirePath } from "../validate.ts";
import { arrayFile } from "./arrays.ts";
import { EXPORT_FORMATS, type ExportFormat } from "./formats.ts";
import { type ExportedRun, metricsTable } from "./metrics-table.ts";
import { requireTarget } from "./target.ts";
import { EVENT_FILE, eventFile } from "./tensorboard.ts";

/** What is exported, and to where. */
export interface ExportOptions {
  /**
   * `csv`, `parquet`: the metrics of a run through training, or the results of a sweep, a row for each number.
   * `tensorboard`: metrics as scalars, an event file for each run. `npz`: predictions and metrics as arrays of NumPy, a
   * file for each run.
   */
  format: ExportFormat;
  /**
   * File, or the folder in which the event files of TensorBoard, or of a sweep the arrays, are put; by default
   * named after the run or the sweep, in the working directory.
   */
  out?: string;
  /** Of a sweep as csv or parquet: the metrics of its runs through training, in place of its results. */
  metrics?: boolean;
  /** Replace files that are there. */
  overwrite?: boolean;
}

/** What is exported. */
interface Source {
  directory: string;
  /** Last part of its path. */
  name: string;
  isSweep: boolean;
  /** Those that have been evaluated, whatever has become of them. */
  runs: ExportedRun[];
}

interface OutputFile {
  path: string;
  content(): Promise<Parameters<typeof writeWhole>[1]>;
}

/**
 * Writes metrics or predictions of a run, or of a sweep, for other programs. Runs that are not finished are exported as
 * far as they are.
 *
 * @param directory of a run, or of a sweep
 * @returns the path of the file, or of the folder
 * @throws UsageError before anything is written, if there is no run and no sweep, for a file that is there, for one that
 *   would be inside a run or a sweep, and for runs that have not kept what is asked for; ForeignRunError if a file of a
 *   run is damaged
 */
export async function exportData(directory: string, options: ExportOptions): Promise<string> {
  requirePath("directory", directory);
  requireKeys("options", options, ["format", "out", "metrics", "overwrite"]);
  const { format, out, metrics = false, overwrite = false } = options;
  if (out !== undefined) requirePath("out", out);
  if (!EXPORT_FORMATS.includes(format))
    throw new UsageError(
      `format: got ${JSON.stringify(format)}, must be one of ${EXPORT_FORMATS.join(", ")}`,
    );
  const source = await sourceOf(directory);
  const ofTable = format === "csv" || format === "parquet";
  if (metrics && !(ofTable && source.isSweep))
    throw new UsageError(
      "metrics goes with csv or parquet of a sweep: of anything else they are exported as it is",
    );
  const ofResults = ofTable && source.isSweep && !metrics;
  if (!ofResults && source.runs.length === 0) throw new UsageError(`${directory} has no evaluations so far`);
  if (source.isSweep && !ofResults) for (const run of source.runs) await requireOwn(run);

  const { path, files } = ofTable
    ? tableFile(source, { format, out, ofResults })
    : format === "tensorboard"
      ? eventFiles(source, out)
      : await arrayFiles(source, out);
  for (const file of files) requireTarget(file.path, directory, overwrite);
  for (const file of files) {
    makeFolder(dirname(file.path));
    await writeWhole(file.path, await file.content());
  }
  return path;
}

async function sourceOf(directory: string): Promise<Source> {
  const isSweep = holdsSweep(directory);
  if (!isSweep) await requireManifest(directory);
  const name = basename(resolve(directory));
  const all: ExportedRun[] = isSweep
    ? readSweep(directory).runs.map(({ run, settings }) => ({
        ...{ directory: runDirectory(directory, run), run, settings },
      }))
    : [{ directory, run: name, settings: {} }];
  return {
    directory,
    name,
    isSweep,
    runs: all.filter((run) => existsSync(join(run.directory, METRICS.file))),
  };
}

async function requireManifest(directory: string): Promise<Manifest> {
  if (!existsSync(directory)) throw new MissingRunError(`no such directory: ${directory}`);
  const manifest = await readManifest(directory);
  if (!manifest) throw new UsageError(`${directory} holds neither a run nor a sweep`);
  return manifest;
}

/** @throws ForeignRunError if another run was put in the place of this one, whose settings are not the sweep's */
async function requireOwn({ directory, run }: ExportedRun): Promise<void> {
  const manifest = await readManifest(directory);
  if (!manifest || !identityOf(manifest).run.startsWith(run))
    throw new ForeignRunError(`${join(directory, "config.json")}: missing, or of another run than ${run}`);
}

interface Output {
  /** Of the file, or of the folder that holds all files. */
  path: string;
  files: OutputFile[];
}

function tableFile(
  { directory, name, runs }: Source,
  { format, out, ofResults }: { format: "csv" | "parquet"; out?: string; ofResults: boolean },
): Output {
  const path = out ?? `${name}-${ofResults ? "results" : "metrics"}.${format}`;
  const table = async (): Promise<Table> =>
    ofResults ? resultsTable(await finishedResults(directory)) : metricsTable(runs);
  const encode = { csv: csvOf, parquet: parquetOf }[format];
  return { path, files: [{ path, content: async () => encode(await table()) }] };
}

/** @throws UsageError if no run of the sweep is finished, and as `wholeResults` */
async function finishedResults(directory: string): Promise<SweepResult[]> {
  const results = await wholeResults(directory);
  if (results.length === 0) throw new UsageError(`${directory}: none of its runs is finished`);
  return results;
}

/** In a folder that may hold other runs, too: what TensorBoard calls a run is the folder of its file. */
function eventFiles({ name, isSweep, runs }: Source, out = "tensorboard"): Output {
  const path = join(out, name);
  const folderOf = ({ run, settings }: ExportedRun) =>
    isSweep
      ? join(
          path,
          `${inWords(settings)
            .replace(/[^\w.=+-]+/g, "_")
            .slice(0, 200)}_${run}`,
        )
      : path;
  return {
    path,
    files: runs.map((run) => ({
      path: join(folderOf(run), EVENT_FILE),
      content: () => eventFile(run.directory),
    })),
  };
}

/** @throws UsageError for a run that keeps no predictions */
async function arrayFiles({ name, isSweep, runs }: Source, out?: string): Promise<Output> {
  const path = out ?? `${name}-predictions${isSweep ? "" : ".npz"}`;
  const files: OutputFile[] = [];
  for (const { directory, run } of runs) {
    const { config } = await requireManifest(directory);
    if (config.evaluation.savePredictions === "none") throw withoutPredictions({ directory, config });
    files.push({
      path: isSweep ? join(path, `${run}.npz`) : path,
      content: async () => arrayFile({ directory, config, records: await readMetrics(directory) }),
    });
  }
  return { path, files };
}
