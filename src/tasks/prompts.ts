/** Batches of training prompts: fresh ones, or those of the pool. */
import type { Batch } from "../core/batch.ts";
import { type RandomGenerator, stream } from "../random.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import { type Bootstrap, memberPrompts, memberTasks } from "./bootstrap.ts";
import { drawPromptPool, EpochOrder, type PromptPool } from "./prompt-pool.ts";
import type { TaskConfig } from "./settings.ts";
import { splitTasks } from "./split.ts";
import { TrainingSource } from "./training-source.ts";

/** What training prompts depend on: a part of a configuration. */
export interface PromptOptions {
  task: TaskConfig;
  seed: number;
  /** Prompts in each probe set, which are kept out of training. */
  evaluation: { prompts: number };
  ensemble: { bootstrap?: Bootstrap };
}

/**
 * Samples training batches. A batch is a function of the options, member and step alone.
 */
export class PromptSampler {
  /** T */
  readonly length: number;
  /** (n): all predicting positions. */
  readonly positions: Int32Array;

  private readonly fill: Fill;

  /**
   * @throws RangeError for an invalid task configuration, or when the probe sets would take more than a tenth of the
   *   training prompts or leave fewer than the pool is to have
   */
  constructor(options: PromptOptions) {
    const { task, seed, evaluation } = options;
    this.length = promptLength(task.variables, task.examples);
    this.positions = predictingPositions(task.variables, task.examples);
    const pool = drawPromptPool(task, seed, evaluation.prompts);
    this.fill = pool ? pooledPrompts(options, pool) : freshPrompts(options);
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

function freshPrompts({ task, seed, evaluation, ensemble: { bootstrap = "none" } }: PromptOptions): Fill {
  const source = new TrainingSource(task, seed, evaluation.prompts);
  const draw = task.batching === "balanced" ? balanced(source) : independent(source);
  // A member trains for many steps before there is another.
  let last: { member: number; rows: Int32Array } = { member: -1, rows: new Int32Array() };
  return ({ batchSize, length, positions, tokens, targets }, member, step) => {
    const rng = stream(seed, member, "data", step);
    if (member !== last.member)
      last = { member, rows: memberTasks(bootstrap, task.trainTasks, seed, member) };
    const { rows } = last;
    const asked = positions.length;
    const first = source.targets.length - asked;
    for (let b = 0; b < batchSize; b++) {
      draw(rng, rows, b);
      source.prompt.writeTokens(tokens, b * length);
      for (let k = 0; k < asked; k++) targets[b * asked + k] = source.targets[first + k];
    }
  };
}

/** Draws prompt number b of a batch, of one of the training tasks with these numbers. */
type Draw = (rng: RandomGenerator, rows: Int32Array, b: number) => void;

const independent =
  (source: TrainingSource): Draw =>
  (rng, rows) =>
    source.draw(rng, rows);

/** As in He et al. (arXiv 2406.02550): each sequence of inputs is answered by every training task. */
function balanced(source: TrainingSource): Draw {
  const { inputs } = source.prompt;
  const shared = inputs.slice();
  return (rng, rows, b) => {
    const next = b % rows.length;
    if (next === 0) {
      source.prompt.drawInputs(rng);
      shared.set(inputs);
    } else inputs.set(shared);
    source.answer(rng, rows[next]);
  };
}

function pooledPrompts(
  { task, seed, ensemble: { bootstrap = "none" } }: PromptOptions,
  pool: PromptPool,
): Fill {
  const { train } = splitTasks(task, seed);
  const order = new EpochOrder(seed, (member) => memberPrompts(pool, bootstrap, train, seed, member));
  const { tokens: poolTokens, targets: poolTargets, positions: poolPositions } = pool.batch;
  const examples = poolPositions.length;
  return ({ batchSize, length, positions, tokens, targets }, member, step) => {
    const asked = positions.length;
    for (let b = 0; b < batchSize; b++) {
      const prompt = order.at(member, (step - 1) * batchSize + b);
      for (let t = 0; t < length; t++) tokens[b * length + t] = poolTokens[prompt * length + t];
      const first = (prompt + 1) * examples - asked;
      for (let k = 0; k < asked; k++) targets[b * asked + k] = poolTargets[first + k];
    }
  };
}
