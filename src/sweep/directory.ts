/**
 * The directory of a sweep: sweep.json says which runs there are, runs/<hash>/ is a run directory like any other. How far
 * they are is read off their files, so that any number of processes can work on them.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { messageOf, UsageError } from "../errors.ts";
import { FileFault } from "../run/errors.ts";
import { cannotWrite, makeFolder } from "../run/folders.ts";
import { requireWhole } from "../run/identity.ts";
import { parseObject } from "../run/json.ts";
import { acquireLock, type Lock, LockedError } from "../run/lock.ts";
import { seal } from "../run/seal.ts";
import { UNSEALED } from "../run/unsealed.ts";
import { isTemporary, writeWhole } from "../run/write-file.ts";
import type { Builds } from "./builds.ts";
import type { SweepDefinition } from "./definition.ts";
import { inWords, RUN_NAME, type SweepRun } from "./expand.ts";
import { requireAtomicRename } from "./file-system.ts";

const SWEEP_FILE = "sweep.json";
const SWEEP_SCHEMA = "epigrok-sweep/1";
const LOCK = "lock";
/** To change sweep.json takes a moment only. */
const LOCK_ATTEMPTS = 100;
const LOCK_PAUSE_MS = 100;

/** What sweep.json holds. */
export interface Sweep {
  definition: SweepDefinition;
  /** With which it was begun. */
  builds: Builds;
  /** In an order that stays: an extension adds to its end. */
  runs: SweepRun[];
  /** Arguments of the commands that made and extended it; none of library calls. */
  commandLines: string[][];
}

export const runDirectory = (directory: string, run: string) => join(directory, "runs", run);

/** A run that failed, and its retry too. */
export interface Failure {
  message: string;
  at: string;
  host: string;
  pid: number;
}

const failureFile = (directory: string, run: string) => join(directory, "failures", `${run}.json`);

/** null if it has not failed. It has where its file is damaged, which is then what is known of it. */
export function readFailure(directory: string, run: string): Failure | null {
  const path = failureFile(directory, run);
  let problem = "says no message";
  try {
    const failure: Partial<Failure> | null = JSON.parse(readFileSync(path, "utf8"));
    if (typeof failure?.message === "string") return { ...UNKNOWN, ...failure, message: failure.message };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    problem = messageOf(error);
  }
  return { ...UNKNOWN, message: `the reason cannot be read: ${path}: ${problem}` };
}

const UNKNOWN = { at: "unknown", host: "unknown", pid: 0 };

export async function writeFailure(directory: string, run: string, failure: Failure): Promise<void> {
  await mkdir(join(directory, "failures"), { recursive: true });
  await writeWhole(failureFile(directory, run), `${JSON.stringify(failure, null, 2)}\n`);
}

/** The run may be tried again. */
export async function removeFailure(directory: string, run: string): Promise<void> {
  await rm(failureFile(directory, run), { force: true });
}

/** Whether `path` is the directory of a sweep. */
export const holdsSweep = (path: string) => existsSync(join(path, SWEEP_FILE));

/** @throws UsageError if there is none in `directory`, FileFault if sweep.json is damaged */
export function readSweep(directory: string): Sweep {
  const place = { directory: resolve(directory), file: SWEEP_FILE };
  let text: string;
  try {
    text = readFileSync(join(directory, SWEEP_FILE), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") throw new UsageError(`there is no sweep in ${directory}`);
    throw new UsageError(`${join(directory, SWEEP_FILE)}: ${messageOf(error)}`);
  }
  const { sha256, schema, ...sweep } = parseObject(text, place);
  if (schema !== SWEEP_SCHEMA)
    throw new UsageError(
      `${join(directory, SWEEP_FILE)}: schema is ${JSON.stringify(schema)}, expected "${SWEEP_SCHEMA}"`,
    );
  requireWhole(Buffer.from(text), place, { run: "", sealed: true });
  const read = sweep as unknown as Sweep;
  // They are names of directories below that of the sweep.
  const stray = read.runs.find(({ run }) => !RUN_NAME.test(run));
  if (stray)
    throw new FileFault(place, `run: got ${JSON.stringify(stray.run)}, must be 16 hexadecimal digits`);
  return read;
}

/**
 * Makes the directory of a sweep, or finds that it is there already, with more runs perhaps.
 * @returns the sweep that is there now
 * @throws UsageError if the directory holds something else, or another sweep
 */
export async function makeSweep(directory: string, sweep: Sweep): Promise<Sweep> {
  if (directory === "") throw new UsageError('the directory of the sweep: got "", must be a path');
  const there = () => {
    const found = readSweep(directory);
    requireContained(directory, sweep.runs, found.runs);
    return found;
  };
  if (holdsSweep(directory)) return there();
  return locked(directory, async () => {
    if (holdsSweep(directory)) return there();
    const others = readdirSync(directory).filter((name) => !name.startsWith(LOCK) && !isTemporary(name));
    if (others.length > 0)
      throw new UsageError(`${directory} is not empty and holds no sweep: choose another --out`);
    requireAtomicRename(directory);
    await writeSweep(directory, sweep);
    return sweep;
  });
}

/** Replaces the sweep by what `change` makes of it. */
export function changeSweep(directory: string, change: (sweep: Sweep) => Promise<Sweep>): Promise<Sweep> {
  readSweep(directory);
  return locked(directory, async () => {
    const changed = await change(readSweep(directory));
    await writeSweep(directory, changed);
    return changed;
  });
}

function writeSweep(directory: string, sweep: Sweep): Promise<void> {
  const content = { sha256: UNSEALED, schema: SWEEP_SCHEMA, ...sweep };
  return writeWhole(join(directory, SWEEP_FILE), seal(Buffer.from(`${JSON.stringify(content, null, 2)}\n`)));
}

/** One process at a time; the others wait. The directory is made where there is none. */
async function locked<Result>(directory: string, action: () => Promise<Result>): Promise<Result> {
  const lock = await takeLock(directory).catch((error) => {
    throw error instanceof LockedError
      ? new UsageError(`another process is changing the sweep in ${directory}; try again`)
      : new UsageError(`cannot write to ${directory}: ${messageOf(error)}`);
  });
  try {
    return await action();
  } finally {
    lock.release();
  }
}

async function takeLock(directory: string): Promise<Lock> {
  makeFolder(directory);
  for (let attempt = 1; ; attempt++) {
    try {
      return acquireLock(join(directory, LOCK));
    } catch (error) {
      if (!(error instanceof UsageError)) throw cannotWrite(directory, error);
      if (!(error instanceof LockedError) || attempt === LOCK_ATTEMPTS) throw error;
    }
    await wait(LOCK_PAUSE_MS);
  }
}

/** @throws UsageError if a run is not there, or there with other settings */
function requireContained(directory: string, runs: readonly SweepRun[], there: readonly SweepRun[]): void {
  const known = new Map(there.map((each) => [each.run, each]));
  const missing = runs.filter(({ run }) => !known.has(run));
  if (missing.length > 0)
    throw new UsageError(
      `${directory} holds another sweep: ${missing.length} of these ${runs.length} runs are not in it, such as ` +
        `${inWords(missing[0].settings)}. Choose another --out, or add to it with epigrok sweep extend`,
    );
  const changed = runs.find(({ run, config }) => known.get(run)!.config !== config);
  if (changed)
    throw new UsageError(
      `${directory} holds these runs with other numbers of steps, evaluations or checkpoints. epigrok sweep ${directory} ` +
        "goes on with them as they are, epigrok sweep extend makes them longer",
    );
}

const cancelFile = (directory: string) => join(directory, "cancelled");

/** Asks all processes that work on the sweep now to stop. */
export async function cancelSweep(directory: string): Promise<void> {
  const request = `${new Date().toISOString()} ${randomBytes(4).toString("hex")}\n`;
  await writeWhole(cancelFile(directory), request);
}

/** The last request to stop, which is for those who did not find it when they began; null for none. */
export function cancelRequest(directory: string): string | null {
  try {
    return readFileSync(cancelFile(directory), "utf8");
  } catch {
    return null;
  }
}
