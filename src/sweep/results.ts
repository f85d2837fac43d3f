/**
 * The results of a sweep, made of its finished runs alone: equal sweeps give equal bytes, in the order of the sweep.
 * results.jsonl has a line for each run, results.csv a line for each number.
 */
import { join } from "node:path";
import { readMetrics, readSummary } from "../run/read.ts";
import type { FinalAccuracy, MetricsRecord, RunSummary } from "../run/records.ts";
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

/** A line of results.csv, without the settings of its run. */
export interface ResultRow {
  run: string;
  /** null: of the ensemble. */
  member: number | null;
  /** When it is so: at an event, at the end, or at the peak of mutual information. */
  event: string;
  /** Probe set; null for what is of none. */
  set: string | null;
  /** Of a prompt, from 0; null: the last one. */
  position: number | null;
  metric: string;
  value: number | null;
}

/** Of the finished runs. @throws ForeignRunError if a file of one is damaged */
export async function sweepResults(directory: string): Promise<SweepResult[]> {
  const { runs } = readSweep(directory);
  const results: SweepResult[] = [];
  for (const run of runs)
    if (stateOf(directory, run).state === "finished") results.push(await resultOf(directory, run));
  return results;
}

async function resultOf(directory: string, { run, settings }: SweepRun): Promise<SweepResult> {
  const path = runDirectory(directory, run);
  const records = await readMetrics(path);
  const summary = (await readSummary(path))!;
  const { schema, runDir, tokensPerSecond, simd, references, ...same } = summary;
  return { version: 1, run, settings, ...same, final: records.at(-1)?.ensemble ?? {} };
}

/** Writes results.jsonl and results.csv. @returns how many runs are in them */
export async function writeResults(directory: string): Promise<number> {
  const results = await sweepResults(directory);
  await writeWhole(
    join(directory, "results.jsonl"),
    results.map((result) => `${JSON.stringify(result)}\n`).join(""),
  );
  await writeWhole(join(directory, "results.csv"), csvOf(results));
  return results.length;
}

function csvOf(results: readonly SweepResult[]): string {
  const keys = [...new Set(results.flatMap(({ settings }) => Object.keys(settings)))];
  const header = ["run", ...keys, ...COLUMNS];
  const lines = results.flatMap((result) =>
    rowsOf(result).map((row) => [
      row.run,
      ...keys.map((key) => result.settings[key] ?? null),
      ...COLUMNS.map((column) => row[column]),
    ]),
  );
  return [header, ...lines].map((cells) => `${cells.map(cell).join(",")}\n`).join("");
}

const COLUMNS = [
  "member",
  "event",
  "set",
  "position",
  "metric",
  "value",
] as const satisfies (keyof ResultRow)[];

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

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
  const { run, mutualInformation, perMember, final } = result;
  const none = { run, member: null, set: null, position: null };
  const steps = (of: Partial<Record<string, unknown>>, member: number | null): ResultRow[] =>
    Object.entries(EVENTS).flatMap(([field, event]) =>
      field in of ? [{ ...none, member, event, metric: "step", value: of[field] as number | null }] : [],
    );
  const unseen = { ...none, set: "unseenTasks", metric: "mutualInformation" };
  return [
    ...steps({ ...result }, null),
    { ...unseen, event: "peak", value: mutualInformation.peak },
    ...Object.entries(final).flatMap(([set, measures]) =>
      Object.entries(measures).flatMap(([metric, value]) =>
        numbersOf(metric, value).map((number) => ({ ...none, event: "final", set, ...number })),
      ),
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

/** `accuracyByPosition` is accuracy at each position; measures with parts have one name for each of them. */
function numbersOf(name: string, value: unknown): Pick<ResultRow, "metric" | "position" | "value">[] {
  if (Array.isArray(value)) {
    const metric = name.replace(/ByPosition$/, "");
    return value.map((number, position) => ({ metric, position, value: number }));
  }
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([part, inner]) => numbersOf(`${name}.${part}`, inner));
  return typeof value === "number" ? [{ metric: name, position: null, value }] : [];
}
