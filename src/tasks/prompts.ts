/** Batches of training prompts: fresh ones, or those of the pool. */
import type { Batch } from "../core/batch.ts";
import { type RandomGenerator, stream } from "../random.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import { drawPromptPool, EpochOrder, type PromptPool } from "./prompt-pool.ts";
import type { TaskConfig } from "./settings.ts";
import { TrainingSource } from "./training-source.ts";

/**
 * Samples training batches. A batch is a function of (task, seed, probePrompts, member, step) alone.
 */
export class PromptSampler {
  /** T */
  readonly length: number;
  /** (n): all predicting positions. */
  readonly positions: Int32Array;

  private readonly fill: Fill;

  /**
   * @param probePrompts evaluation.prompts, the number of prompts in each probe set
   * @throws RangeError for an invalid task configuration, or when the probe sets would take more than a tenth of the
   *   training prompts or leave fewer than the pool is to have
   */
  constructor(task: TaskConfig, seed: number, probePrompts: number) {
    const { examples, variables } = task;
    this.length = promptLength(variables, examples);
    this.positions = predictingPositions(variables, examples);
    const pool = drawPromptPool(task, seed, probePrompts);
    this.fill = pool
      ? pooledPrompts(pool, seed)
      : freshPrompts(task, new TrainingSource(task, seed, probePrompts), seed);
  }

  /** A batch to be filled by `sampleInto`, with all n predicting positions or only the last one. */
  createBatch(batchSize: number, lossPositions: "all" | "last"): Batch {
    const positions = lossPositions === "all" ? this.positions : this.positions.slice(-1);
    return emptyBatch(batchSize, this.length, positions);
  }

  /**
   * Fill a batch made by `createBatch` with the prompts of one member and step, from 1. Targets are the clean outputs, or
   * with noisyTargets the outputs after noise. A pool is gone through epoch after epoch; a batch may begin in one and end
   * in the next.
   */
  sampleInto(batch: Batch, member: number, step: number): void {
    this.fill(batch, member, step);
  }
}

type Fill = (batch: Batch, member: number, step: number) => void;

function freshPrompts({ batching, trainTasks }: TaskConfig, source: TrainingSource, seed: number): Fill {
  const draw = batching === "balanced" ? balanced(source, trainTasks) : independent(source);
  return ({ batchSize, length, positions, tokens, targets }, member, step) => {
    const rng = stream(seed, member, "data", step);
    const asked = positions.length;
    const first = source.targets.length - asked;
    for (let b = 0; b < batchSize; b++) {
      draw(rng, b);
      source.prompt.writeTokens(tokens, b * length);
      for (let k = 0; k < asked; k++) targets[b * asked + k] = source.targets[first + k];
    }
  };
}

/** Draws prompt number b of a batch. */
type Draw = (rng: RandomGenerator, b: number) => void;

const independent =
  (source: TrainingSource): Draw =>
  (rng) =>
    source.draw(rng);

/** As in He et al. (arXiv 2406.02550): each sequence of inputs is answered by every training task. */
function balanced(source: TrainingSource, trainTasks: number): Draw {
  const { inputs } = source.prompt;
  const shared = inputs.slice();
  return (rng, b) => {
    const row = b % trainTasks;
    if (row === 0) {
      source.prompt.drawInputs(rng);
      shared.set(inputs);
    } else inputs.set(shared);
    source.answer(rng, row);
  };
}

function pooledPrompts({ batch: pool }: PromptPool, seed: number): Fill {
  const order = new EpochOrder(seed, pool.batchSize);
  const examples = pool.positions.length;
  return ({ batchSize, length, positions, tokens, targets }, member, step) => {
    const asked = positions.length;
    for (let b = 0; b < batchSize; b++) {
      const prompt = order.at(member, (step - 1) * batchSize + b);
      for (let t = 0; t < length; t++) tokens[b * length + t] = pool.tokens[prompt * length + t];
      const first = (prompt + 1) * examples - asked;
      for (let k = 0; k < asked; k++) targets[b * asked + k] = pool.targets[first + k];
    }
  };
}
