/** A run directory as typed data. Reads only; a run that is still being written can be read too. */
import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { PosteriorRecord } from "../analysis/posterior-job.ts";
import type { SpectrumRecord } from "../analysis/spectrum-job.ts";
import { type Config, configSchema } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { uncertaintyTrajectory } from "../run/events.ts";
import type { MetricsRecord, RunEvents, RunSummary } from "../run/records.ts";
import { type DetectorState, detectGrokking } from "../uncertainty/detector.ts";

export interface RunData {
  directory: string;
  /** Last part of the directory's path. */
  name: string;
  config: Config;
  /** Hash of the resolved configuration, where config.json has one. */
  hash: string | null;
  /** Evaluations in order of step. */
  records: MetricsRecord[];
  /** null while the run is going on, or if it was stopped. */
  summary: RunSummary | null;
  /** What the predictions on unseen tasks say without labels. */
  detector: DetectorState;
  /** From the summary; without one, the label-free events only. */
  events: RunEvents;
  environment: Record<string, unknown> | null;
  /** What `epigrok posterior` and `epigrok spectrum` have added, in the order in which it was done. */
  posteriors: PosteriorRecord[];
  spectra: SpectrumRecord[];
}

/** The directory does not exist. */
export class MissingRunError extends UsageError {
  override readonly name = "MissingRunError";
}

/** The directory exists but is not a run of this program, or a file in it is damaged. */
export class ForeignRunError extends UsageError {
  override readonly name = "ForeignRunError";
}

/**
 * Reads `config.json` and, where present, `metrics.jsonl`, `summary.json`, `environment.json`, `posteriors.jsonl` and
 * `spectrum.jsonl`.
 * @throws MissingRunError if there is no such directory; ForeignRunError if it does not hold a run.
 */
export async function readRun(runDir: string): Promise<RunData> {
  const directory = resolve(runDir);
  const status = await stat(directory).catch(ifAbsent);
  if (status === null) throw new MissingRunError(`no such run directory: ${directory}`);
  if (!status.isDirectory()) throw new ForeignRunError(`not a directory: ${directory}`);

  const [config, metrics, summary, environment, posteriors, spectra] = await Promise.all([
    read(join(directory, "config.json")),
    read(join(directory, "metrics.jsonl")),
    read(join(directory, "summary.json")),
    read(join(directory, "environment.json")),
    read(join(directory, "posteriors.jsonl")),
    read(join(directory, "spectrum.jsonl")),
  ]);
  if (config === null) throw new ForeignRunError(`no config.json in ${directory}: not a run directory`);
  const manifest = parseObject(config, join(directory, "config.json"));
  const resolved = validConfig(manifest.config, join(directory, "config.json"));
  const records = parseLines(metrics ?? "", join(directory, "metrics.jsonl"), parseRecord).sort(
    (a, b) => a.step - b.step,
  );
  const result = summary === null ? null : validSummary(summary, join(directory, "summary.json"));
  const detector = detectGrokking(uncertaintyTrajectory(records, resolved.task.modulus));
  return {
    directory,
    name: basename(directory),
    config: resolved,
    hash: typeof manifest.hash === "string" ? manifest.hash : null,
    records,
    summary: result,
    detector,
    events: result ?? labelFreeEvents(detector),
    environment: environment === null ? null : parseObject(environment, join(directory, "environment.json")),
    posteriors: parseLines(posteriors ?? "", join(directory, "posteriors.jsonl"), parsePosterior),
    spectra: parseLines(spectra ?? "", join(directory, "spectrum.jsonl"), parseSpectrum),
  };
}

function labelFreeEvents({ uncertaintyPeakStep, collapseStep }: DetectorState): RunEvents {
  return { memorisedStep: null, grokStep: null, uncertaintyPeakStep, collapseStep };
}

function ifAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
  throw error;
}

async function read(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(ifAbsent);
}

function parseObject(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ForeignRunError(`${path}: not JSON (${(error as Error).message})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ForeignRunError(`${path}: expected a JSON object`);
  }
  return value as Record<string, unknown>;
}

function validConfig(value: unknown, path: string): Config {
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ForeignRunError(`${path}: config.${issue.path.join(".")}: ${issue.message}`);
}

function validSummary(text: string, path: string): RunSummary {
  const summary = parseObject(text, path);
  if (summary.schema !== "epigrok-run/1") {
    throw new ForeignRunError(
      `${path}: schema is ${JSON.stringify(summary.schema)}, expected "epigrok-run/1"`,
    );
  }
  return summary as unknown as RunSummary;
}

/** The writer appends whole lines, so text after the last newline is a line still being written: it is left out. */
function parseLines<T>(
  text: string,
  path: string,
  parse: (value: Record<string, unknown>, where: string) => T,
): T[] {
  const complete = text.slice(0, text.lastIndexOf("\n") + 1);
  return complete.split("\n").flatMap((line, index) => {
    const where = `${path}:${index + 1}`;
    return line.trim() === "" ? [] : [parse(parseObject(line, where), where)];
  });
}

const isObject = (value: unknown) => typeof value === "object" && value !== null;

function parseRecord(value: Record<string, unknown>, where: string): MetricsRecord {
  const { step, members, ensemble } = value;
  const valid = Number.isInteger(step) && Array.isArray(members) && isObject(ensemble);
  if (!valid) throw new ForeignRunError(`${where}: not an evaluation record (step, members, ensemble)`);
  return value as unknown as MetricsRecord;
}

function parsePosterior(value: Record<string, unknown>, where: string): PosteriorRecord {
  const { method, step, sets } = value;
  const valid = typeof method === "string" && Number.isInteger(step) && isObject(sets);
  if (!valid) throw new ForeignRunError(`${where}: not a posterior record (method, step, sets)`);
  return value as unknown as PosteriorRecord;
}

function parseSpectrum(value: Record<string, unknown>, where: string): SpectrumRecord {
  const { operator, step, largest } = value;
  const valid = typeof operator === "string" && Number.isInteger(step) && Array.isArray(largest);
  if (!valid) throw new ForeignRunError(`${where}: not a spectrum record (operator, step, largest)`);
  return value as unknown as SpectrumRecord;
}
