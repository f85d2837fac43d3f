/**
 * Training prompts. Each is a training task drawn uniformly, with n seen inputs.
 *
 * The probe prompts are kept out of training: a prompt is drawn again, task and all, if its inputs and its clean
 * outputs are those of a probe prompt on seen inputs (so no noisy version of a probe prompt is trained on either), or
 * if what it shows is what a probe prompt shows. Prompts are compared by a 32-bit hash, so an innocent prompt is
 * drawn again once in 2^32 / (number of probe prompts) draws, and a probe prompt never passes. Families so small that
 * this would remove more than a tenth of the training prompts are refused, because the training distribution would
 * no longer be the one the exact references describe.
 */
import type { Batch } from "../core/batch.ts";
import { stream } from "../random.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import { TaskFamily } from "./family.ts";
import { drawProbePrompts } from "./probe-prompts.ts";
import { PROBE_SETS } from "./probe-sets.ts";
import { PromptSet } from "./prompt-set.ts";
import { PromptSource } from "./prompt-source.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

/** Largest share of the training prompts that the probe prompts may take away. */
const MAX_RESERVED_SHARE = 0.1;

/**
 * Samples training batches. A batch is a function of (task, seed, probePrompts, member, step) alone.
 */
export class PromptSampler {
  /** T */
  readonly length: number;
  /** (n): all predicting positions. */
  readonly positions: Int32Array;

  private readonly seed: number;
  private readonly source: PromptSource;
  private readonly reserved: PromptSet;
  private readonly noisy: boolean;
  private readonly noisyTargets: boolean;

  /**
   * @param probePrompts evaluation.prompts, the number of prompts in each probe set
   * @throws RangeError for an invalid task configuration, or when the probe sets would take more than a tenth of the
   *   training prompts
   */
  constructor(task: TaskConfig, seed: number, probePrompts: number) {
    const { examples, variables, distinctInputs, trainNoise, noisyTargets } = task;
    const { train } = splitTasks(task, seed);
    const { seen } = splitInputs(task, seed);
    this.length = promptLength(variables, examples);
    this.positions = predictingPositions(variables, examples);
    this.seed = seed;
    this.noisy = trainNoise > 0;
    this.noisyTargets = noisyTargets;
    this.source = new PromptSource({
      family: new TaskFamily(task),
      tasks: train,
      inputs: seen,
      examples,
      distinctInputs,
      noise: trainNoise,
      noisyLast: noisyTargets,
    });
    this.reserved = reserveProbePrompts(task, seed, probePrompts, train, seen.length);
  }

  /** A batch to be filled by `sampleInto`, with all n predicting positions or only the last one. */
  createBatch(batchSize: number, lossPositions: "all" | "last"): Batch {
    const positions = lossPositions === "all" ? this.positions : this.positions.slice(-1);
    return emptyBatch(batchSize, this.length, positions);
  }

  /**
   * Fill a batch made by `createBatch` with the prompts of one member and step. Targets are the clean outputs, or
   * with noisyTargets the outputs after noise.
   */
  sampleInto(batch: Batch, member: number, step: number): void {
    const { source, reserved } = this;
    const rng = stream(this.seed, member, "data", step);
    const outputs = this.noisyTargets ? source.shown : source.clean;
    const asked = batch.positions.length;
    const first = outputs.length - asked;
    for (let b = 0; b < batch.batchSize; b++) {
      do source.draw(rng);
      while (
        reserved.has(source.inputs, source.clean) ||
        (this.noisy && reserved.has(source.inputs, source.shown))
      );
      source.writeTokens(batch.tokens, b * this.length);
      for (let k = 0; k < asked; k++) batch.targets[b * asked + k] = outputs[first + k];
    }
  }
}

/** The set of probe prompts that could come up in training, after a check of the share they take. */
function reserveProbePrompts(
  task: TaskConfig,
  seed: number,
  probePrompts: number,
  train: Int32Array,
  seenInputs: number,
): PromptSet {
  const { examples } = task;
  const family = new TaskFamily(task);
  const trainTasks = Array.from(train, (index) => family.task(index));
  const reachable = drawProbePrompts(task, seed, probePrompts).filter(
    ({ name }) => PROBE_SETS[name].inputs === "seen",
  );
  const reserved = new PromptSet(2 * probePrompts * reachable.length);
  let taken = 0;
  for (const { batch, inputs } of reachable) {
    for (let b = 0; b < probePrompts; b++) {
      const at = b * examples;
      const prompt = inputs.subarray(at, at + examples);
      const clean = batch.targets.subarray(at, at + examples);
      if (reserved.add(prompt, clean)) taken += countFits(family, trainTasks, prompt, clean);
    }
  }
  for (const { inputs, outputs } of reachable) {
    for (let b = 0; b < probePrompts; b++) {
      const at = b * examples;
      reserved.add(inputs.subarray(at, at + examples), outputs.subarray(at, at + examples));
    }
  }
  // Training prompts are pairs of a training task and a sequence of inputs, all equally likely.
  let total = train.length;
  for (let k = 0; k < examples; k++) total *= task.distinctInputs ? seenInputs - k : seenInputs;
  const share = taken / total;
  if (share > MAX_RESERVED_SHARE) {
    const allowed = Math.max(1, Math.floor((probePrompts * MAX_RESERVED_SHARE) / share));
    throw new RangeError(
      `evaluation.prompts ${probePrompts} would keep ${taken} of the ${total} training prompts out of training, more than ` +
        `${100 * MAX_RESERVED_SHARE} %: lower it to about ${allowed}, or raise task.examples or task.trainTasks`,
    );
  }
  return reserved;
}

/** How many of the tasks give these outputs for these inputs. */
function countFits(family: TaskFamily, tasks: number[][], inputs: Int32Array, outputs: Int32Array): number {
  const evaluate = Array.from(inputs, (index) => family.evaluateAt(family.input(index)));
  return tasks.filter((task) => evaluate.every((of, k) => of(task) === outputs[k])).length;
}
