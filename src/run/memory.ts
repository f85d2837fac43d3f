/** What a run takes of the machine's memory, counted before it begins. */
import { totalmem } from "node:os";
import type { Config } from "../config/schema.ts";
import { memoryBytes } from "../core/layout.ts";
import type { CoreModule } from "../core/module.ts";
import { messageOf, UsageError } from "../errors.ts";
import { promptLength } from "../tasks/batch.ts";
import { probeSetsOf } from "../tasks/probe-sets.ts";
import { estimateCost } from "../training/cost.ts";
import { transformerShape } from "../training/model.ts";
import { teamSizeOf, threadsFor } from "../training/team-size.ts";
import { inMebibytes } from "./mebibytes.ts";

const FLOAT = 4;
const DOUBLE = 8;
const MEBIBYTE = 2 ** 20;

/** Measured on Node 20: the engine with this program in its main thread, and in one more thread. */
const MAIN_BYTES = 85 * MEBIBYTE;
const THREAD_BYTES = 13 * MEBIBYTE;

/** What drawing a pool leaves on the heap of a thread until it is collected: so much a prompt, and so much at most. */
const POOL_GARBAGE_BYTES = 640;
const MOST_GARBAGE_BYTES = 12 * MEBIBYTE;

export interface RunMemory {
  /** Of each worker thread: WebAssembly, its member's state, probe prompts and predictions. */
  workerBytes: number;
  /** Of the process: all workers, all states, predictions and exact references. */
  totalBytes: number;
}

/** @throws RangeError if the model does not fit 4 GiB */
export function runMemory(config: Config, core: CoreModule, wantedWorkers: number): RunMemory {
  const { task, training, evaluation, ensemble } = config;
  const { members } = ensemble;
  const { examples, variables, promptPool = 0 } = task;
  const { used } = threadsFor(config, wantedWorkers);
  const wasm = memoryBytes(core, transformerShape(config), { optimizer: training.optimizer });
  const parameterBytes = FLOAT * estimateCost(config).parameters;
  const state = 3 * parameterBytes;

  // Tokens, targets, inputs, outputs and task of a prompt; its hashes among those that training leaves out.
  const prompt = FLOAT * (promptLength(variables, examples) + 3 * examples + 1);
  const probePrompts = probeSetsOf(task).length * evaluation.prompts;
  const probes = probePrompts * (prompt + 40);
  const pool = promptPool * prompt + Math.min(MOST_GARBAGE_BYTES, promptPool * POOL_GARBAGE_BYTES);
  const batch = training.batchSize * prompt;
  const predicted = probePrompts * examples * task.modulus;
  const samples = evaluation.posteriorSamples ?? 0;
  const prediction = predicted * FLOAT;

  // The state in hand and the one on its way.
  const workerBytes =
    THREAD_BYTES +
    wasm +
    2 * state +
    probes +
    pool +
    batch +
    prediction * (1 + samples / probeSetsOf(task).length);
  const team = used > 1 ? teamSizeOf(config, wantedWorkers) : null;
  const teams = team ? Math.min(used, members) * (1 + team.slots) * parameterBytes : 0;
  // Predictions wait and are written; references of both predictors, and the means of the measures.
  const evaluated = predicted * (2 * FLOAT * members + 4 * DOUBLE);
  const totalBytes =
    MAIN_BYTES + used * workerBytes + teams + (members + 1) * state + probes + pool + evaluated;
  return { workerBytes, totalBytes };
}

/** @throws UsageError if the model does not fit 4 GiB, or the run the machine's memory */
export function requireMemory(config: Config, core: CoreModule, wantedWorkers: number): void {
  let memory: RunMemory;
  try {
    memory = runMemory(config, core, wantedWorkers);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
  const there = availableBytes();
  if (memory.totalBytes <= there) return;
  throw new UsageError(
    `the run would take about ${inMebibytes(memory.totalBytes)} of memory, ${inMebibytes(memory.workerBytes)} of them for each ` +
      `worker, and there are ${inMebibytes(there)}. ${advice(config, core, wantedWorkers, there)}`,
  );
}

/** The machine's memory, or what this process may have of it. */
export function availableBytes(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/**
 * @param count of what is in memory together
 * @param bytes of each, at least
 * @throws UsageError for more than the machine has memory for
 */
export function requireFits(name: string, count: number, bytes: number): void {
  const there = availableBytes();
  const most = Math.floor(there / bytes);
  if (count > most)
    throw new UsageError(
      `${name}: got ${count}, must be at most ${most}, which ${inMebibytes(there)} of memory hold`,
    );
}

/** A change that is enough: fewer workers, or with one of them fewer probe prompts. */
function advice(config: Config, core: CoreModule, wantedWorkers: number, there: number): string {
  const fits = (changed: Config, workers: number) => runMemory(changed, core, workers).totalBytes <= there;
  let workers = threadsFor(config, wantedWorkers).used;
  while (workers > 1 && !fits(config, workers)) workers--;
  if (fits(config, workers)) return `With --workers ${workers} it fits`;
  let { prompts } = config.evaluation;
  const fewer = () => ({ ...config, evaluation: { ...config.evaluation, prompts } });
  while (prompts > 1 && !fits(fewer(), 1)) prompts = Math.floor(prompts / 2);
  if (fits(fewer(), 1)) return `With --workers 1 and evaluation.prompts ${prompts} it fits`;
  return "Choose a smaller model, ensemble, pool or batch";
}
