/**
 * The results of a sweep, made of its finished runs alone: equal sweeps give equal bytes, in the order of the sweep.
 * results.jsonl has a line for each run; results.csv and results.parquet are one table, a row for each number.
 */
import { join } from "node:path";
import { FileFault, ForeignRunError } from "../run/errors.ts";
import { type MetricNumber, numbersIn } from "../run/metric-rows.ts";
import { readMetrics, readSummary } from "../run/read.ts";
import type { FinalAccuracy, MetricsRecord, RunSummary } from "../run/records.ts";
import { type Column, columnOf, csvOf, parquetOf, type Row, type Table } from "../run/table.ts";
import { writeWhole } from "../run/write-file.ts";
import type { Settings } from "./definition.ts";
import { readSweep, runDirectory } from "./directory.ts";
import type { SweepRun } from "./expand.ts";
import { stateOf } from "./states.ts";

/** A line of results.jsonl: what summary.json says but for the time it took, and the last evaluation. */
export interface SweepResult
  extends Omit<RunSummary, "schema" | "runDir" | "tokensPerSecond" | "simd" | "references"> {
  version: 1;
  run: string;
  settings: Settings;
  /** Of the whole ensemble, by probe set. */
  final: MetricsRecord["ensemble"];
}

/** A row of the table, without its run. */
interface ResultRow extends MetricNumber {
  /** null: of the ensemble. */
  member: number | null;
  /** When it is so: at an event, at the end, or at the peak of mutual information. */
  event: string;
  /** Probe set; null for what is of none. */
  set: string | null;
}

/** What the finished runs of a sweep say. */
export interface SweepResults {
  results: SweepResult[];
  /** Of each finished run with a damaged file, what is wrong and the way out. */
  damaged: string[];
}

/** @throws UsageError for a directory without a sweep */
export async function sweepResults(directory: string): Promise<SweepResults> {
  const found: SweepResults = { results: [], damaged: [] };
  for (const run of readSweep(directory).runs) {
    if (stateOf(directory, run).state !== "finished") continue;
    try {
      found.results.push(await resultOf(directory, run));
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      const path = runDirectory(directory, run.run);
      found.damaged.push(`${error.message}; epigrok run --resume ${path} computes it again`);
    }
  }
  return found;
}

/** @throws FileFault if a file is damaged */
async function resultOf(directory: string, { run, settings }: SweepRun): Promise<SweepResult> {
  const path = runDirectory(directory, run);
  const summary = (await readSummary(path))!;
  const { schema, runDir, tokensPerSecond, simd, references, ...same } = summary;
  return { version: 1, run, settings, ...same, final: await lastEvaluation(path, summary) };
}

/** @throws FileFault if metrics.jsonl does not reach the end of the run, which it did when summary.json was written */
async function lastEvaluation(directory: string, { steps }: RunSummary): Promise<MetricsRecord["ensemble"]> {
  const last = (await readMetrics(directory)).at(-1);
  if (last?.step === steps) return last.ensemble;
  throw new FileFault(
    { directory, file: "metrics.jsonl" },
    `ends at step ${last?.step ?? "-"}, must end at step ${steps}`,
  );
}

/** What `writeResults` writes. */
export const RESULT_FILES = ["results.jsonl", "results.csv", "results.parquet"] as const;

/** Those of all finished runs. @throws ForeignRunError if a file of one is damaged, with all such */
export async function wholeResults(directory: string): Promise<SweepResult[]> {
  const { results, damaged } = await sweepResults(directory);
  if (damaged.length > 0) throw new ForeignRunError(damaged.join("\n"));
  return results;
}

/** Writes RESULT_FILES. @returns how many runs are in them. @throws as `wholeResults`, and leaves the files that are there */
export async function writeResults(directory: string): Promise<number> {
  const results = await wholeResults(directory);
  const lines = results.map((result) => `${JSON.stringify(result)}\n`).join("");
  const table = resultsTable(results);
  const contents = [lines, csvOf(table), parquetOf(table)];
  for (const [i, file] of RESULT_FILES.entries()) await writeWhole(join(directory, file), contents[i]);
  return results.length;
}

const COLUMNS = [
  { name: "member", type: "integer" },
  { name: "event", type: "text" },
  { name: "set", type: "text" },
  { name: "position", type: "integer" },
  { name: "metric", type: "text" },
  { name: "value", type: "number" },
] as const satisfies (Column & { name: keyof ResultRow })[];

/** Every number of the results. */
export function resultsTable(results: readonly SweepResult[]): Table {
  const { columns, cells } = runColumns(results);
  return {
    columns: [...columns, ...COLUMNS],
    *rows() {
      for (const result of results)
        yield rowsOf(result).map((row) => [...cells(result), ...COLUMNS.map(({ name }) => row[name])]);
    },
  };
}

/** The columns of a table that say which run its rows are of: its name, and a column for each setting. */
export function runColumns(runs: readonly Pick<SweepRun, "run" | "settings">[]) {
  const keys = [...new Set(runs.flatMap(({ settings }) => Object.keys(settings)))];
  const columns: Column[] = [
    { name: "run", type: "text" },
    ...keys.map((key) =>
      columnOf(
        key,
        runs.map(({ settings }) => settings[key]),
      ),
    ),
  ];
  const cells = ({ run, settings }: Pick<SweepRun, "run" | "settings">): Row => [
    run,
    ...keys.map((key) => settings[key]),
  ];
  return { columns, cells };
}

/** Events of a summary, and what they are called. */
const EVENTS = {
  memorisedStep: "memorised",
  generalisedStep: "generalised",
  grokStep: "grokked",
  uncertaintyPeakStep: "peak",
  collapseStep: "collapsed",
} as const;

/** Every number of a result. */
function rowsOf(result: SweepResult): ResultRow[] {
  const { mutualInformation, perMember, final } = result;
  const none = { member: null, set: null, position: null };
  const steps = (of: Partial<Record<string, unknown>>, member: number | null): ResultRow[] =>
    Object.entries(EVENTS).flatMap(([field, event]) =>
      field in of ? [{ ...none, member, event, metric: "step", value: of[field] as number | null }] : [],
    );
  const unseen = { ...none, set: "unseenTasks", metric: "mutualInformation" };
  return [
    ...steps({ ...result }, null),
    { ...unseen, event: "peak", value: mutualInformation.peak },
    ...Object.entries(final).flatMap(([set, measures]) =>
      numbersIn(measures).map((number) => ({ ...none, event: "final", set, ...number })),
    ),
    ...perMember.flatMap(({ member, accuracy, finalLoss, failedStep, ...events }) => [
      ...steps(events, member),
      ...accuracies(accuracy).map((row) => ({ ...none, member, event: "final", ...row })),
      { ...none, member, event: "final", metric: "loss", value: finalLoss },
      { ...none, member, event: "failed", metric: "step", value: failedStep },
    ]),
  ];
}

const accuracies = (accuracy: FinalAccuracy) =>
  Object.entries(accuracy).map(([set, value]) => ({
    set,
    metric: "accuracy",
    value: value as number | null,
  }));
