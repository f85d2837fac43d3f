/** How much memory a run takes, counted before it begins. */
import type { Config } from "../config/schema.ts";
import { memoryBytes } from "../core/layout.ts";
import type { CoreModule } from "../core/module.ts";
import { promptLength } from "../tasks/batch.ts";
import { probeSetsOf } from "../tasks/probe-sets.ts";
import { estimateCost } from "../training/cost.ts";
import { transformerShape } from "../training/model.ts";
import { teamSizeOf, threadsFor } from "../training/team-size.ts";

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
