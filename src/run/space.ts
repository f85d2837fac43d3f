/** Whether the files of a run fit onto its disk: asked before it begins. */
import { readdirSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { answerTableSize } from "../tasks/answer-table.ts";
import { probeSetsOf } from "../tasks/probe-sets.ts";
import { estimateCost } from "../training/cost.ts";
import { isRunFile } from "./files.ts";
import { inMebibytes } from "./mebibytes.ts";
import { answerSteps, checkpointSteps, evaluationSteps } from "./schedule.ts";

/** What a file takes is a multiple of this on most disks. */
const BLOCK = 4096;
/** Header and metadata of a safetensors file. */
const HEADER = 1024;
/** Of a line of metrics.jsonl, for each member and each probe set: numbers in decimal notation. */
const MEASURES = 300;
/** Of a line of answers.jsonl, for each prompt. */
const ANSWER = 8;

const FLOAT = 4;

const inBlocks = (bytes: number) => Math.ceil(bytes / BLOCK) * BLOCK;

/** What all files of a run take in the end, about, with the largest of them written beside its place once more. */
export function runBytes(config: Config): number {
  const { task, model, training, evaluation, ensemble } = config;
  const { parameters } = estimateCost(config);
  const { members } = ensemble;
  const evaluations = evaluationSteps(config).length;
  const set = evaluation.prompts * task.modulus;
  const rows = set * probeSetsOf(task).length;
  const tensors = (count: number) => inBlocks(HEADER + FLOAT * count);

  const asked = answerTableSize(task);
  const state = tensors(3 * parameters + rows * task.examples + set + 2 * asked);
  const checkpoint = tensors(parameters) * (training.ivon ? 2 : 1);
  const kept = { none: 0, last: 1, all: task.examples }[evaluation.savePredictions];
  const predictions = kept === 0 ? 0 : tensors(members * (rows * kept + set));
  const line = MEASURES * members * probeSetsOf(task).length;
  return (
    // The last state and the one before it, of each member.
    2 * members * state +
    Math.max(state, predictions) +
    checkpointSteps(config).size * (members * checkpoint + BLOCK) +
    (model.initFrom === undefined ? 0 : members * tensors(parameters)) +
    evaluations * predictions +
    inBlocks(evaluations * line) +
    inBlocks(answerSteps(config).size * asked * ANSWER)
  );
}

/**
 * @param path the run directory, which need not exist
 * @throws UsageError if what the run has still to write does not fit
 */
export async function requireSpace(path: string, config: Config): Promise<void> {
  await requireFree("the run", path, runBytes(config) - bytesOfRun(path));
}

/** Something does not fit onto its disk. */
class NoSpaceError extends UsageError {
  readonly code = "ENOSPC";
}

/** Whether it was for want of disk space that something failed. */
export function isOutOfSpace(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT" || isOutOfSpace(error.cause);
}

/**
 * @param what is to be written, for the message
 * @param path a directory, which need not exist
 * @param needed bytes
 * @throws NoSpaceError if it does not fit
 */
export async function requireFree(what: string, path: string, needed: number): Promise<void> {
  const free = await freeBytes(resolve(path));
  if (free === null || needed <= free) return;
  throw new NoSpaceError(
    `${what} needs about ${inMebibytes(needed)} of disk in ${path}, where ${inMebibytes(free)} are free. Free some, choose another ` +
      "directory, or keep less: checkpoints.keep, evaluation.savePredictions, evaluation.every",
  );
}

/** null where the file system does not say. */
async function freeBytes(path: string): Promise<number | null> {
  try {
    const { bavail, bsize, blocks } = await statfs(path);
    return blocks === 0 ? null : bavail * bsize;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" && dirname(path) !== path ? freeBytes(dirname(path)) : null;
  }
}

/** What the run takes that is there: it will be replaced, or need not be written again. */
export function bytesOfRun(path: string): number {
  try {
    return readdirSync(path, { recursive: true, encoding: "utf8" })
      .filter(isRunFile)
      .reduce((sum, name) => sum + inBlocks(statSync(join(path, name)).size), 0);
  } catch {
    return 0;
  }
}
