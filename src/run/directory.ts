/**
 * Writing a run directory: one writer at a time. Whole files appear atomically (temporary file, fsync, rename); lines are
 * appended with fsync, and a line that a crash cut off is dropped when the run is opened again.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, readFile, rename, rm, rmdir, truncate } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { ParameterInfo } from "../core/layout.ts";
import { messageOf, UsageError } from "../errors.ts";
import { type MemberEvaluation, type MemberProgress, newMember } from "../pool/controller.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { encodeCheckpoint, encodeIvonCurvature } from "./checkpoints.ts";
import { named } from "./errors.ts";
import {
  type CheckpointKey,
  checkpointFile,
  initialFile,
  isRunFile,
  isRunFolder,
  ivonFile,
  LINES_FILES,
  type LinesFile,
  LOCK,
  modelFile,
  predictionsFile,
  previousStateFile,
  setAsideFile,
  stateFile,
  WAITING,
  waitingFile,
} from "./files.ts";
import { cannotWrite, makeFolder } from "./folders.ts";
import { encodeLine, encodeObject } from "./json.ts";
import { acquireLock, isLockEntry, type Lock, removeAttempts } from "./lock.ts";
import type { Manifest } from "./manifest.ts";
import { encodeMember } from "./member-file.ts";
import { encodePredictions } from "./predictions.ts";
import type { RunSummary } from "./records.ts";
import { appendWhole, isTemporary, syncDirectory, writeWhole } from "./write-file.ts";

export const OPEN_MODES = ["new", "resume", "overwrite"] as const;
export type OpenMode = (typeof OPEN_MODES)[number];

/** Where runs are that have been given no place. */
export const RUNS = "runs";

/**
 * Makes runs/<date>-<name>, with a number if that is taken: processes that ask at the same time get one each.
 * @throws UsageError if it cannot be made
 */
export function makeDefaultRunDirectory(name: string, date = new Date()): string {
  const base = join(RUNS, `${date.toISOString().slice(0, 10)}-${name}`);
  for (let i = 1; ; i++) {
    const path = i === 1 ? base : `${base}-${i}`;
    if (makeFolder(path)) return path;
  }
}

export class RunDirectory {
  readonly path: string;
  /** What its files say they belong to: `runHash` of the configuration. */
  readonly #run: string;
  readonly #lock: Lock;

  private constructor(path: string, run: string, lock: Lock) {
    this.path = path;
    this.#run = run;
    this.#lock = lock;
  }

  /**
   * Opens `path` for writing and locks it. `new` wants it absent or empty, `overwrite` deletes the files of the run that
   * is there but for its config.json, which is for the next one to replace, `resume` keeps them; `resume` of an absent
   * or empty directory is `new`.
   * @param run `runHash` of the configuration, which the files that are written say they belong to
   * @throws UsageError if the directory cannot be used in this way.
   */
  static async open(path: string, mode: OpenMode, run: string): Promise<RunDirectory> {
    if (path === "") throw new UsageError('the run directory: got "", must be a path');
    const absolute = resolve(path);
    requireUsable(path, mode);
    let lock: Lock;
    try {
      makeFolder(absolute);
      lock = acquireLock(join(absolute, LOCK));
    } catch (error) {
      throw error instanceof UsageError ? error : cannotWrite(path, error);
    }
    try {
      // Another process may have made a run here in the meantime.
      requireUsable(path, mode);
      removeAttempts(join(absolute, LOCK));
      const directory = new RunDirectory(absolute, run, lock);
      if (mode === "overwrite") await directory.#clear();
      await directory.#removeLeftovers();
      return directory;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  close(): void {
    this.#lock.release();
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    await this.#write("config.json", encodeObject(manifest, this.#run));
  }

  async writeEnvironment(environment: Record<string, unknown>): Promise<void> {
    await this.#write("environment.json", encodeObject(environment, this.#run));
  }

  async writeSummary(summary: RunSummary): Promise<void> {
    await this.#write("summary.json", encodeObject(summary, this.#run));
  }

  /** One record more, on the disk when the promise resolves. */
  async appendLine(name: LinesFile, record: object): Promise<void> {
    this.#lock.assertHeld();
    await appendWhole(join(this.path, name), encodeLine(record, this.#run));
  }

  /** The parameters that a member begins with, as a checkpoint at step 0. */
  async saveInitial(
    member: number,
    parameters: Float32Array,
    table: readonly ParameterInfo[],
  ): Promise<void> {
    await this.#write(
      initialFile(member),
      encodeCheckpoint({ member, step: 0 }, parameters, table, this.#run),
    );
  }

  async saveMember(progress: MemberProgress): Promise<void> {
    const { member } = progress;
    await this.#write(stateFile(member), encodeMember(progress, this.#run), {
      keepAs: previousStateFile(member),
    });
  }

  /** A member's part of an evaluation that was reported without another one, which may come to it later. */
  async saveWaiting(evaluation: MemberEvaluation): Promise<void> {
    const part = encodeMember({ ...newMember(evaluation.member), pending: [evaluation] }, this.#run);
    await this.#write(waitingFile(evaluation), part);
  }

  async removeWaiting(): Promise<void> {
    this.#lock.assertHeld();
    await rm(join(this.path, WAITING), { recursive: true, force: true });
  }

  /** Takes back the summary, and what the evaluations after `step` came to. */
  async rewind(step: number): Promise<void> {
    this.#lock.assertHeld();
    await rm(join(this.path, "summary.json"), { force: true });
    for (const name of ["metrics.jsonl", "answers.jsonl"] as const) {
      const path = join(this.path, name);
      if (!existsSync(path)) continue;
      const lines = (await readFile(path, "utf8").catch(named(path))).split("\n");
      const kept = lines.filter((line) => line !== "" && JSON.parse(line).step <= step);
      await this.#write(name, kept.map((line) => `${line}\n`).join(""));
    }
  }

  /** The parameters of one member, with the model's configuration beside it. */
  async saveCheckpoint(
    key: CheckpointKey,
    parameters: Float32Array,
    table: readonly ParameterInfo[],
    model: Record<string, unknown>,
  ): Promise<void> {
    await this.#write(modelFile(key.step), encodeObject({ ...model, step: key.step }, this.#run));
    await this.#write(checkpointFile(key), encodeCheckpoint(key, parameters, table, this.#run));
  }

  /** What makes the checkpoint of an IVON member a posterior. */
  async saveIvonCurvature(
    key: CheckpointKey,
    curvature: IvonCurvature,
    table: readonly ParameterInfo[],
  ): Promise<void> {
    await this.#write(ivonFile(key), encodeIvonCurvature(key, curvature, table, this.#run));
  }

  /** The probabilities of one evaluation, of all positions or of the last one. */
  async savePredictions(
    step: number,
    members: readonly MemberEvaluation[],
    which: "last" | "all",
    shape: { positions: number; classes: number },
  ): Promise<void> {
    await this.#write(predictionsFile(step), encodePredictions(step, members, which, shape, this.#run));
  }

  /** Replaces a file of lines by some of its lines. What it was is kept in set-aside/. */
  async keepLines(name: LinesFile, lines: readonly string[]): Promise<void> {
    const path = join(this.path, name);
    await this.#write(this.#freeName(setAsideFile(name)), await readFile(path));
    await this.#write(name, lines.map((line) => `${line}\n`).join(""));
  }

  /** Moves a file that cannot be of the run, or not any more, to set-aside/; not if there is none. */
  async setAside(name: string): Promise<void> {
    this.#lock.assertHeld();
    if (!existsSync(join(this.path, name))) return;
    const aside = join(this.path, this.#freeName(setAsideFile(name)));
    await mkdir(dirname(aside), { recursive: true });
    await rename(join(this.path, name), aside);
  }

  /** With a number if there is such a file. */
  #freeName(name: string): string {
    let free = name;
    for (let i = 2; existsSync(join(this.path, free)); i++) free = `${name}.${i}`;
    return free;
  }

  async #write(name: string, data: string | Uint8Array, { keepAs }: { keepAs?: string } = {}): Promise<void> {
    this.#lock.assertHeld();
    const path = join(this.path, name);
    const created = await mkdir(dirname(path), { recursive: true });
    if (created) await syncDirectory(dirname(created));
    await writeWhole(path, data, { keepAs: keepAs && join(this.path, keepAs) });
  }

  /** What a killed process left: temporary files beside the ones they were to replace, and lines without their end. */
  async #removeLeftovers(): Promise<void> {
    for (const name of this.#names()) if (isTemporary(name)) await rm(join(this.path, name), { force: true });
    for (const name of LINES_FILES) await endLastLine(join(this.path, name));
  }

  /** config.json stays, so that it is a run directory at every moment; so does what is not the run's. */
  async #clear(): Promise<void> {
    const names = this.#names();
    for (const name of names)
      if (isRunFile(name) && name !== "config.json") await rm(join(this.path, name), { force: true });
    const folders = names.filter(isRunFolder).sort((a, b) => b.length - a.length);
    // Not if there is something else in it.
    for (const name of folders) await rmdir(join(this.path, name)).catch(() => {});
  }

  #names(): string[] {
    return readdirSync(this.path, { recursive: true, encoding: "utf8" });
  }
}

/** Whether the directory has the config.json of a run, which is not anybody's config.json. */
function holdsRun(path: string): boolean {
  try {
    const { config, hash } = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
    return typeof config === "object" && typeof hash === "string";
  } catch {
    return false;
  }
}

/** @throws UsageError if the directory cannot be opened in this way */
function requireUsable(path: string, mode: OpenMode): void {
  const entries = listDirectory(path).filter((name) => !isLockEntry(name, LOCK) && !isTemporary(name));
  if (entries.length > 0 && !holdsRun(path))
    throw new UsageError(
      `${path} is not empty and not a run directory${entries.includes("config.json") ? ", its config.json is none of a run" : ""}: choose another one`,
    );
  if (mode === "new" && entries.length > 0)
    throw new UsageError(
      `${path} already holds a run: continue it with --resume, replace it with --overwrite, or choose another --out`,
    );
}

/** Whatever follows the last newline: the beginning of a line, or one that lacks only its newline. */
async function endLastLine(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const bytes = await readFile(path).catch(named(path));
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end === bytes.length) return;
  if (isJson(bytes.toString("utf8", end))) await appendWhole(path, "\n");
  else await truncate(path, end);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Names in a directory; none if it does not exist. @throws UsageError if the path is something else. */
function listDirectory(path: string): string[] {
  try {
    if (statSync(path).isDirectory()) return readdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new UsageError(`cannot use ${path}: ${messageOf(error)}`);
  }
  throw new UsageError(`cannot use ${path}: it is not a directory`);
}
