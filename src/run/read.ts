/** Reading a run directory; one that is still being written can be read too. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { storedConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import type { MemberEvaluation, MemberProgress } from "../pool/controller.ts";
import { createProbeSets } from "../tasks/probes.ts";
import type { DetectorState } from "../uncertainty/detector.ts";
import { ForeignRunError, MissingRunError } from "./errors.ts";
import { readEvents } from "./events.ts";
import { isRunFile, stateFile, WAITING, type WholeFile } from "./files.ts";
import { parseLines, parseObject, type RecordFile } from "./json.ts";
import type { Manifest } from "./manifest.ts";
import { decodeMember } from "./member-file.ts";
import type {
  AnswerRecord,
  MetricsRecord,
  References,
  RunEvents,
  RunSummary,
  TimingRecord,
} from "./records.ts";

export interface RunData {
  directory: string;
  /** Last part of the directory's path. */
  name: string;
  config: Config;
  /** Hash of the resolved configuration, where config.json has one. */
  hash: string | null;
  /** Evaluations in order of step. */
  records: MetricsRecord[];
  /** The answer table at all of these, or at some, in order of step. */
  answers: AnswerRecord[];
  /** null while the run is going on, or if it was stopped. */
  summary: RunSummary | null;
  /** Of the probe sets that have been evaluated. */
  references: References;
  /** What the predictions on unseen tasks say without labels. */
  detector: DetectorState;
  /** Of an unfinished run: as far as it has come. */
  events: RunEvents;
  environment: Record<string, unknown> | null;
}

/**
 * Reads `config.json` and, where present, `metrics.jsonl`, `answers.jsonl`, `summary.json` and `environment.json`.
 * @throws MissingRunError if there is no such directory; ForeignRunError if it does not hold a run.
 */
export async function readRun(runDir: string): Promise<RunData> {
  const directory = resolve(runDir);
  const status = await stat(directory).catch(nullIfAbsent);
  if (status === null) throw new MissingRunError(`no such run directory: ${directory}`);
  if (!status.isDirectory()) throw new ForeignRunError(`not a directory: ${directory}`);

  const manifest = await readManifest(directory);
  if (manifest === null) throw new ForeignRunError(`no config.json in ${directory}: not a run directory`);
  const config = validConfig(manifest.config, join(directory, "config.json"));
  const records = await readMetrics(directory);
  const summary = await readSummary(directory);
  const references = summary?.references ?? (records.length > 0 ? referencesOf(config) : {});
  const { events, detector } = readEvents(records, references, config.task.modulus);
  return {
    directory,
    name: basename(directory),
    config,
    hash: typeof manifest.hash === "string" ? manifest.hash : null,
    records,
    answers: (await readAnswers(directory)).filter(({ step }) => step <= (records.at(-1)?.step ?? -1)),
    summary,
    references,
    detector,
    events: summary ?? events,
    environment: await readEnvironment(directory),
  };
}

/** Computed anew: only a finished run has them in its summary. */
function referencesOf(config: Config): References {
  return Object.fromEntries(createProbeSets(config).map(({ name, reference }) => [name, reference]));
}

/** @throws ForeignRunError for what is no configuration of this version */
export function validConfig(value: unknown, path: string): Config {
  try {
    return storedConfig(value, path);
  } catch (error) {
    throw new ForeignRunError(messageOf(error));
  }
}

/** The manifest of the run in `directory`, or null if there is none. One from before there were pools has none. */
export async function readManifest(directory: string): Promise<Manifest | null> {
  const manifest = await readObject<Manifest>(directory, "config.json");
  const task = manifest?.config?.task;
  return task
    ? { ...manifest, config: { ...manifest.config, task: { ...task, promptPool: task.promptPool ?? 0 } } }
    : manifest;
}

export function readEnvironment(directory: string): Promise<Record<string, unknown> | null> {
  return readObject(directory, "environment.json");
}

/** null for an unfinished run. */
export async function readSummary(directory: string): Promise<RunSummary | null> {
  const summary = await readObject<RunSummary>(directory, "summary.json");
  if (summary && summary.schema !== "epigrok-run/2" && summary.schema !== "epigrok-run/1")
    throw new ForeignRunError(
      `${join(directory, "summary.json")}: schema is ${JSON.stringify(summary.schema)}, expected "epigrok-run/2" or "epigrok-run/1"`,
    );
  return summary;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** By probe set, objects of measures. */
const areSets = (value: unknown) => isObject(value) && Object.values(value).every(isObject);

const METRICS: RecordFile = {
  file: "metrics.jsonl",
  what: "an evaluation record (step, members, ensemble)",
  matches: ({ step, members, ensemble }) =>
    Number.isInteger(step) &&
    Array.isArray(members) &&
    members.every((each) => isObject(each) && Number.isInteger(each.member) && areSets(each.sets)) &&
    areSets(ensemble),
};

/** The evaluations so far, in order of step. */
export async function readMetrics(directory: string): Promise<MetricsRecord[]> {
  const records = await readRecords<MetricsRecord>(directory, METRICS);
  return records.sort((a, b) => a.step - b.step);
}

const ANSWERS: RecordFile = {
  file: "answers.jsonl",
  what: "a record of the answer table (step, tasks, inputs, fresh)",
  matches: ({ step, tasks, inputs, fresh }) =>
    Number.isInteger(step) && Array.isArray(tasks) && Array.isArray(inputs) && isObject(fresh),
};

/** The answer tables so far, in order of step; none for a run of before there were any. */
export function readAnswers(directory: string): Promise<AnswerRecord[]> {
  return readRecords(directory, ANSWERS);
}

const TIMING: RecordFile = {
  file: "timing.jsonl",
  what: "a timing record (trainSeconds)",
  matches: ({ trainSeconds }) => typeof trainSeconds === "number",
};

export function readTiming(directory: string): Promise<TimingRecord[]> {
  return readRecords(directory, TIMING);
}

/** The records of a file, in the order of its lines; none if it is absent. */
export async function readRecords<T>(directory: string, records: RecordFile): Promise<T[]> {
  const path = join(directory, records.file);
  const text = await readFile(path, "utf8").catch(nullIfAbsent);
  return text === null ? [] : parseLines(text, path, records);
}

/** The saved state of a member, or null if it has none yet. */
export async function readMember(directory: string, member: number): Promise<MemberProgress | null> {
  const path = join(directory, stateFile(member));
  const bytes = await readFile(path).catch(nullIfAbsent);
  try {
    return bytes && decodeMember(bytes);
  } catch (error) {
    throw new ForeignRunError(`${path} is damaged: ${messageOf(error)}`);
  }
}

/** Parts of evaluations that were reported without a member that had crashed. */
export async function readWaiting(directory: string): Promise<MemberEvaluation[]> {
  const folder = join(directory, WAITING);
  const names = (await readdir(folder, { recursive: true }).catch(nullIfAbsent)) ?? [];
  const paths = names.filter((name) => isRunFile(join(WAITING, name))).map((name) => join(folder, name));
  const parts = await Promise.all(
    paths.map(async (path) => {
      try {
        return decodeMember(await readFile(path)).pending;
      } catch (error) {
        throw new ForeignRunError(`${path} is damaged: ${messageOf(error)}`);
      }
    }),
  );
  return parts.flat();
}

async function readObject<T extends object>(directory: string, file: WholeFile): Promise<T | null> {
  const path = join(directory, file);
  const text = await readFile(path, "utf8").catch(nullIfAbsent);
  return text === null ? null : (parseObject(text, path) as T);
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
  throw error;
}
