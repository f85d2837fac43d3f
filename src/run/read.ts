/** Reading a run directory; one that is still being written can be read too. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { storedConfig } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import type { MemberEvaluation, MemberProgress } from "../pool/controller.ts";
import { createProbeSets } from "../tasks/probes.ts";
import type { DetectorState } from "../uncertainty/detector.ts";
import {
  FileFault,
  type FilePlace,
  ForeignRunError,
  MissingRunError,
  named,
  nullIfAbsent,
} from "./errors.ts";
import { readEvents } from "./events.ts";
import { isRunFile, stateFile, WAITING, type WholeFile } from "./files.ts";
import { type RunIdentity, requireRun, requireWhole } from "./identity.ts";
import { openObject, parseObject, type RecordFile, type RecordLine, readLines } from "./json.ts";
import { identityOf, type Manifest } from "./manifest.ts";
import { decodeMember } from "./member-file.ts";
import type {
  AnswerRecord,
  MetricsRecord,
  References,
  RunEvents,
  RunSummary,
  TimingRecord,
} from "./records.ts";
import { readTensors } from "./tensors.ts";

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

/** Told of a file or line that is damaged or another run's, which is then left out. */
export type OnFault = (fault: FileFault) => void;

const refuse: OnFault = (fault) => {
  throw fault;
};

/**
 * Reads `config.json` and, where present, `metrics.jsonl`, `answers.jsonl`, `summary.json` and `environment.json`.
 * @throws MissingRunError if there is no such directory; ForeignRunError if it does not hold a run, and without
 *   `onFault` for a damaged file
 */
export async function readRun(runDir: string, onFault = refuse): Promise<RunData> {
  requireRunPath(runDir);
  const directory = resolve(runDir);
  const status = await stat(directory).catch(nullIfAbsent);
  if (status === null) throw new MissingRunError(`no such run directory: ${directory}`);
  if (!status.isDirectory()) throw new ForeignRunError(`not a directory: ${directory}`);

  const manifest = await readManifest(directory);
  if (manifest === null) throw new ForeignRunError(`no config.json in ${directory}: not a run directory`);
  const { config, hash } = manifest;
  const told = (error: unknown): null => {
    if (!(error instanceof FileFault)) throw error;
    onFault(error);
    return null;
  };
  const records = await readMetrics(directory, onFault);
  const summary = await readSummary(directory).catch(told);
  const references = summary?.references ?? (records.length > 0 ? referencesOf(config) : {});
  const { events, detector } = readEvents(records, references, config.task.modulus);
  return {
    directory,
    name: basename(directory),
    config,
    hash: typeof hash === "string" ? hash : null,
    records,
    answers: (await readAnswers(directory, onFault)).filter(
      ({ step }) => step <= (records.at(-1)?.step ?? -1),
    ),
    summary,
    references,
    detector,
    events: summary ?? events,
    environment: await readEnvironment(directory).catch(told),
  };
}

/** @throws MissingRunError for what is no path */
export function requireRunPath(runDir: string): void {
  if (typeof runDir !== "string" || runDir === "")
    throw new MissingRunError(`the run directory: got ${JSON.stringify(runDir)}, must be a path`);
}

/** Computed anew: only a finished run has them in its summary. */
function referencesOf(config: Config): References {
  return Object.fromEntries(createProbeSets(config).map(({ name, reference }) => [name, reference]));
}

/**
 * The manifest of the run in `directory`, or null if there is none.
 * @throws FileFault if it is damaged, or none of a run
 */
export async function readManifest(directory: string): Promise<Manifest | null> {
  const place = { directory, file: "config.json" };
  const text = await textOf(place);
  if (text === null) return null;
  const { sha256, run, ...value } = parseObject(text, place);
  // Before anything it says is believed.
  requireWhole(Buffer.from(text), place, null);
  const { config, earlier = [], ...manifest } = value as unknown as Manifest;
  const path = join(directory, place.file);
  const read = {
    ...manifest,
    config: validConfig(config, path),
    ...(earlier.length > 0 && {
      earlier: earlier.map(({ until, ...era }) => ({ until, config: validConfig(era.config, path) })),
    }),
  };
  requireWhole(Buffer.from(text), place, identityOf(read));
  requireRun(run, place, identityOf(read));
  return read;
}

/**
 * A configuration from before there were pools has none.
 * @throws ForeignRunError for what is no configuration of this version
 */
function validConfig(value: Config, path: string): Config {
  try {
    const { task } = value ?? {};
    return storedConfig(
      task ? { ...value, task: { ...task, promptPool: task.promptPool ?? 0 } } : value,
      path,
    );
  } catch (error) {
    throw new ForeignRunError(messageOf(error));
  }
}

/** What the files of the run in `directory` must agree with; null if it has no manifest. */
async function readIdentity(directory: string): Promise<RunIdentity | null> {
  const manifest = await readManifest(directory);
  return manifest && identityOf(manifest);
}

export function readEnvironment(directory: string): Promise<Record<string, unknown> | null> {
  return readObject(directory, "environment.json");
}

/**
 * null for an unfinished run, also one that is to be continued after what was its end.
 * @throws FileFault if it is damaged, or another run's
 */
export async function readSummary(directory: string): Promise<RunSummary | null> {
  const summary = await readObject<RunSummary>(directory, "summary.json");
  if (summary === null) return null;
  const place = { directory, file: "summary.json" };
  const { schema, steps, members, perMember } = summary;
  if (schema !== "epigrok-run/2" && schema !== "epigrok-run/1")
    throw new FileFault(
      place,
      `schema is ${JSON.stringify(schema)}, expected "epigrok-run/2" or "epigrok-run/1"`,
    );
  const manifest = await readManifest(directory);
  if (!manifest) return summary;
  if (members !== manifest.config.ensemble.members || perMember?.length !== members)
    throw new FileFault(place, `is of ${members} members, the run has ${manifest.config.ensemble.members}`);
  return steps === manifest.config.training.steps ? summary : null;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** By probe set, objects of measures. */
const areSets = (value: unknown) => isObject(value) && Object.values(value).every(isObject);

export const METRICS: RecordFile = {
  file: "metrics.jsonl",
  what: "an evaluation record (step, members, ensemble)",
  matches: ({ step, members, ensemble }) =>
    Number.isInteger(step) &&
    Array.isArray(members) &&
    members.every((each) => isObject(each) && Number.isInteger(each.member) && areSets(each.sets)) &&
    areSets(ensemble),
  oncePerStep: true,
};

/** The evaluations so far, in order of step. */
export async function readMetrics(directory: string, onFault = refuse): Promise<MetricsRecord[]> {
  const records = await readRecords<MetricsRecord>(directory, METRICS, onFault);
  return records.sort((a, b) => a.step - b.step);
}

export const ANSWERS: RecordFile = {
  file: "answers.jsonl",
  what: "a record of the answer table (step, tasks, inputs, fresh)",
  matches: ({ step, tasks, inputs, fresh }) =>
    Number.isInteger(step) && Array.isArray(tasks) && Array.isArray(inputs) && isObject(fresh),
  oncePerStep: true,
};

/** The answer tables so far, in order of step; none for a run of before there were any. */
function readAnswers(directory: string, onFault = refuse): Promise<AnswerRecord[]> {
  return readRecords(directory, ANSWERS, onFault);
}

export const TIMING: RecordFile = {
  file: "timing.jsonl",
  what: "a timing record (trainSeconds)",
  matches: ({ trainSeconds }) => typeof trainSeconds === "number",
  oncePerStep: true,
};

export function readTiming(directory: string): Promise<TimingRecord[]> {
  return readRecords(directory, TIMING);
}

/** The records of a file, in the order of its lines; none if it is absent. */
export async function readRecords<T>(
  directory: string,
  recordFile: RecordFile,
  onFault = refuse,
): Promise<T[]> {
  const { lines, faults } = await readRecordLines<T>(directory, recordFile);
  faults.forEach(onFault);
  return lines.map(({ record }) => record);
}

/** The lines with their text, and what is wrong with others. */
export async function readRecordLines<T>(
  directory: string,
  recordFile: RecordFile,
): Promise<{ lines: RecordLine<T>[]; faults: FileFault[] }> {
  const text = await textOf({ directory, file: recordFile.file });
  return text === null
    ? { lines: [], faults: [] }
    : readLines<T>(text, directory, recordFile, await readIdentity(directory));
}

/**
 * A saved state of a member.
 * @param file the last one, or the one before it
 * @param parameters how many the model has
 * @throws FileFault if it is missing, damaged, or of another member, run or model
 */
export async function readMember(
  directory: string,
  { member, file = stateFile(member), parameters }: { member: number; file?: string; parameters?: number },
  identity: RunIdentity | null,
): Promise<MemberProgress> {
  return readTensors({ directory, file }, identity, { member }, (saved) => {
    const progress = decodeMember(saved);
    const { member: found, state } = progress;
    if (found !== member) throw new RangeError(`it is of member ${found}, not of member ${member}`);
    for (const part of ["parameters", "firstMoment", "secondMoment"] as const)
      if (state && parameters !== undefined && state[part].length !== parameters)
        throw new RangeError(`it has ${state[part].length} ${part}, where the model has ${parameters}`);
    return progress;
  });
}

/** Parts of evaluations that were reported without a member that had crashed. Those that are damaged are told of. */
export async function readWaiting(directory: string, onFault = refuse): Promise<MemberEvaluation[]> {
  const identity = await readIdentity(directory);
  const names = (await readdir(join(directory, WAITING), { recursive: true }).catch(nullIfAbsent)) ?? [];
  const files = names.map((name) => join(WAITING, name)).filter(isRunFile);
  const parts = await Promise.all(
    files.map((file) =>
      readTensors({ directory, file }, identity, {}, (saved) => decodeMember(saved).pending).catch(
        (error) => {
          if (!(error instanceof FileFault)) throw error;
          onFault(error);
          return [];
        },
      ),
    ),
  );
  return parts.flat();
}

async function readObject<T extends object>(directory: string, file: WholeFile): Promise<T | null> {
  const place = { directory, file };
  const text = await textOf(place);
  return text === null ? null : (openObject(text, place, await readIdentity(directory)) as T);
}

/** null if there is no such file. */
function textOf({ directory, file }: FilePlace): Promise<string | null> {
  const path = join(directory, file);
  return readFile(path, "utf8").catch(named(path)).catch(nullIfAbsent);
}
