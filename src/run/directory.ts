/**
 * The files of a run directory. Whole files appear atomically (temporary file, fsync, rename); lines are appended
 * with fsync, and a line that a crash cut off is dropped when the run is opened again.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { mkdir, open, readFile, rm, truncate } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import writeFileAtomic from "write-file-atomic";
import type { Config } from "../config/schema.ts";
import type { ParameterInfo } from "../core/layout.ts";
import { messageOf, UsageError } from "../errors.ts";
import type { MemberEvaluation, MemberProgress } from "../pool/controller.ts";
import { encodeSafetensors, type Tensor } from "../safetensors.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { checkpointFile, ivonFile, memberName, namedTensors, stepName } from "./checkpoints.ts";
import { acquireLock } from "./lock.ts";
import { decodeMember, encodeMember } from "./member-file.ts";
import type { MetricsRecord, RunSummary } from "./records.ts";

/** config.json. */
export interface Manifest {
  /** The complete configuration, defaults included. */
  config: Config;
  /** SHA-256 of `config` as JSON. */
  hash: string;
  /** Where the values that differ from the defaults came from, lowest precedence first. */
  overrides: { source: string; values: Record<string, unknown> }[];
  /** Arguments of the command that started the run; empty when a library call did. */
  commandLine: string[];
}

/** One line of timing.jsonl: what metrics.jsonl leaves out because it differs between equal runs. */
export interface TimingRecord {
  step: number;
  /** Wall-clock seconds that the run had taken, interruptions not counted. */
  seconds: number;
  /** Training tokens of all members so far. */
  tokens: number;
  /** Seconds that workers spent in training steps and in predictions so far, all members together. */
  trainSeconds: number;
  evaluationSeconds: number;
}

export type OpenMode = "new" | "resume" | "overwrite";

const FILES = [
  "config.json",
  "environment.json",
  "metrics.jsonl",
  "timing.jsonl",
  "posteriors.jsonl",
  "spectrum.jsonl",
  "summary.json",
  "report.html",
] as const;

/** A file of one JSON object a line. */
export type LinesFile = Extract<(typeof FILES)[number], `${string}.jsonl`>;

const FOLDERS = ["checkpoints", "predictions", "state"];

/** What write-file-atomic calls the file that is to replace another one. */
const TEMPORARY =
  /^((config|environment|summary)\.json|report\.html|(checkpoints|predictions|state)[\\/].+\.(json|safetensors))\.\d+$/;

/** SHA-256 of a configuration, hexadecimal. The schema fixes the order of the keys. */
export function configHash(config: Config): string {
  return createHash("sha256").update(JSON.stringify(config)).digest("hex");
}

/** runs/<date>-<name>, with a number if that is taken. */
export function defaultRunDirectory(name: string, date = new Date()): string {
  const base = join("runs", `${date.toISOString().slice(0, 10)}-${name}`);
  let path = base;
  for (let i = 2; existsSync(path); i++) path = `${base}-${i}`;
  return path;
}

/** The manifest of the run at `path`, or null if there is none. */
export async function readManifest(path: string): Promise<Manifest | null> {
  return readJson(join(path, "config.json"));
}

/** As mkdirSync with `recursive`, which on Node 20 never returns where an existing parent refuses with ENOENT (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (!existsSync(dirname(path))) makeDirectory(dirname(path));
  mkdirSync(path);
}

export class RunDirectory {
  readonly path: string;
  readonly #release: () => void;

  private constructor(path: string, release: () => void) {
    this.path = path;
    this.#release = release;
  }

  /**
   * Opens `path` for writing and locks it. `new` wants it absent or empty, `overwrite` deletes the run that is
   * there, `resume` keeps it; `resume` of an absent or empty directory is `new`.
   * @throws UsageError if the directory cannot be used in this way.
   */
  static async open(path: string, mode: OpenMode): Promise<RunDirectory> {
    const absolute = resolve(path);
    const entries = listDirectory(absolute).filter((name) => name !== "lock" && !TEMPORARY.test(name));
    const isRun = entries.length === 0 || existsSync(join(absolute, "config.json"));
    if (!isRun) throw new UsageError(`${path} is not empty and not a run directory: choose another one`);
    if (mode === "new" && entries.length > 0)
      throw new UsageError(
        `${path} already holds a run: continue it with --resume, replace it with --overwrite, or choose another --out`,
      );
    let release: () => void;
    try {
      makeDirectory(absolute);
      release = acquireLock(join(absolute, "lock"));
    } catch (error) {
      throw error instanceof UsageError
        ? error
        : new UsageError(`cannot write to ${path}: ${messageOf(error)}`);
    }
    const directory = new RunDirectory(absolute, release);
    await directory.#removeTemporaries();
    if (mode === "overwrite") await directory.#clear();
    return directory;
  }

  close(): void {
    this.#release();
  }

  async readManifest(): Promise<Manifest | null> {
    return readManifest(this.path);
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    await this.#write("config.json", json(manifest));
  }

  async writeEnvironment(environment: Record<string, unknown>): Promise<void> {
    await this.#write("environment.json", json(environment));
  }

  async readEnvironment(): Promise<Record<string, unknown> | null> {
    return readJson(join(this.path, "environment.json"));
  }

  async writeSummary(summary: RunSummary): Promise<void> {
    await this.#write("summary.json", json(summary));
  }

  async readSummary(): Promise<RunSummary | null> {
    return readJson(join(this.path, "summary.json"));
  }

  /** The evaluations so far; a cut-off last line is removed from the file. */
  async readMetrics(): Promise<MetricsRecord[]> {
    return this.readLines("metrics.jsonl");
  }

  async readTiming(): Promise<TimingRecord[]> {
    return this.readLines("timing.jsonl");
  }

  async appendMetrics(record: MetricsRecord): Promise<void> {
    await this.appendLine("metrics.jsonl", record);
  }

  async appendTiming(record: TimingRecord): Promise<void> {
    await this.appendLine("timing.jsonl", record);
  }

  /** The records of a file, none if it is absent; a cut-off last line is removed from the file. */
  async readLines<T>(name: LinesFile): Promise<T[]> {
    const path = join(this.path, name);
    const bytes = await readFile(path).catch(nullIfAbsent);
    if (!bytes) return [];
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end < bytes.length) await truncate(path, end);
    const lines = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1);
    return lines.map((line, i) => named(`${path}, line ${i + 1}`, () => JSON.parse(line)));
  }

  /** One record more, on the disk when the promise resolves. */
  async appendLine(name: LinesFile, record: object): Promise<void> {
    const file = await open(join(this.path, name), "a");
    try {
      await file.appendFile(`${JSON.stringify(record)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async saveMember(progress: MemberProgress): Promise<void> {
    await this.#write(join("state", memberName(progress.member)), encodeMember(progress));
  }

  /** The saved state of a member, or null if it has none yet. */
  async readMember(member: number): Promise<MemberProgress | null> {
    const path = join(this.path, "state", memberName(member));
    const bytes = await readFile(path).catch(nullIfAbsent);
    return bytes && named(path, () => decodeMember(bytes));
  }

  /** The parameters of one member under their names, with the model's configuration beside it. */
  async saveCheckpoint(
    { step, member }: { step: number; member: number },
    parameters: Float32Array,
    table: readonly ParameterInfo[],
    model: Record<string, unknown>,
  ): Promise<void> {
    await this.#write(
      join(dirname(checkpointFile({ step, member })), "config.json"),
      json({ ...model, step }),
    );
    const metadata = { step: String(step), member: String(member) };
    await this.#write(
      checkpointFile({ step, member }),
      encodeSafetensors(namedTensors(parameters, table), metadata),
    );
  }

  /** What the checkpoint of an IVON member needs to be a posterior: h under the parameters' names, lambda and delta. */
  async saveIvonCurvature(
    { step, member }: { step: number; member: number },
    { hessian, effectiveSampleSize, weightDecay }: IvonCurvature,
    table: readonly ParameterInfo[],
  ): Promise<void> {
    const metadata = {
      ...{ step: String(step), member: String(member) },
      ...{ effectiveSampleSize: String(effectiveSampleSize), weightDecay: String(weightDecay) },
    };
    await this.#write(ivonFile({ step, member }), encodeSafetensors(namedTensors(hessian, table), metadata));
  }

  /**
   * The probabilities of one evaluation: a tensor for each probe set, (members, prompts, positions, classes), or
   * (members, prompts, classes) if only the last position is kept.
   */
  async savePredictions(
    step: number,
    members: readonly MemberEvaluation[],
    which: "last" | "all",
    { prompts, classes }: { prompts: number; classes: number },
  ): Promise<void> {
    const tensors = members[0].predictions.map(({ set }, i): [string, Tensor] => {
      const parts = members.map((m) => m.predictions[i].probabilities);
      const positions = parts[0].length / (prompts * classes);
      return which === "all"
        ? [set, { shape: [parts.length, prompts, positions, classes], data: concatenate(parts) }]
        : [
            set,
            {
              shape: [parts.length, prompts, classes],
              data: concatenate(parts.map((part) => lastPosition(part, positions, classes))),
            },
          ];
    });
    const metadata = { step: String(step), members: JSON.stringify(members.map((m) => m.member)) };
    await this.#write(
      join("predictions", `${stepName(step)}.safetensors`),
      encodeSafetensors(tensors, metadata),
    );
  }

  async #write(name: string, data: string | Uint8Array): Promise<void> {
    const path = join(this.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(
      path,
      typeof data === "string" ? data : Buffer.from(data.buffer, data.byteOffset, data.length),
    );
  }

  /** Deletes the temporary files that a killed process left beside the ones it was about to replace. */
  async #removeTemporaries(): Promise<void> {
    for (const name of readdirSync(this.path, { recursive: true, encoding: "utf8" }))
      if (TEMPORARY.test(name)) await rm(join(this.path, name), { force: true });
  }

  async #clear(): Promise<void> {
    for (const name of [...FILES, ...FOLDERS])
      await rm(join(this.path, name), { recursive: true, force: true });
  }
}

const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** (prompts, positions, classes) -> (prompts, classes) of the last position. */
function lastPosition(probabilities: Float32Array, positions: number, classes: number): Float32Array {
  const prompts = probabilities.length / (positions * classes);
  return concatenate(
    Array.from({ length: prompts }, (_, i) =>
      probabilities.subarray(((i + 1) * positions - 1) * classes, (i + 1) * positions * classes),
    ),
  );
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

async function readJson<T>(path: string): Promise<T | null> {
  const text = await readFile(path, "utf8").catch(nullIfAbsent);
  return text === null ? null : named(path, () => JSON.parse(text));
}

/** What `read` returns; if it throws, an error that says where the damage is. */
function named<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${where} is damaged: ${messageOf(error)}`);
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
