/**
 * A prompt pool: N prompts drawn once, which all training of all members goes through again and again. They are N
 * different pairs of a training task and an ordered sequence of inputs, each with the context noise that it was drawn
 * with.
 */
import type { Batch } from "../core/batch.ts";
import { shuffle, stream } from "../random.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import type { TaskConfig } from "./settings.ts";
import { TrainingSource } from "./training-source.ts";

export interface PromptPool {
  /** N prompts with all n positions; the targets are those of training. */
  batch: Batch;
  /** (N): family indices. */
  tasks: Int32Array;
  /** (N, n): input indices. */
  inputs: Int32Array;
  /** (N, n): outputs after noise. */
  outputs: Int32Array;
}

/**
 * The pool of a configuration, a function of (task, seed, probePrompts) alone; null if every step draws fresh prompts.
 *
 * @throws RangeError as TrainingSource
 */
export function drawPromptPool(task: TaskConfig, seed: number, probePrompts: number): PromptPool | null {
  const { promptPool: size, examples, variables } = task;
  if (size === undefined) return null;
  const source = new TrainingSource(task, seed, probePrompts);
  const { prompt, targets } = source;
  const length = promptLength(variables, examples);
  const pool = {
    batch: emptyBatch(size, length, predictingPositions(variables, examples)),
    tasks: new Int32Array(size),
    inputs: new Int32Array(size * examples),
    outputs: new Int32Array(size * examples),
  };
  const rng = stream(seed, 0, "promptPool");
  const drawn = new Set<string>();
  while (drawn.size < size) {
    source.draw(rng);
    const at = drawn.size;
    drawn.add(`${prompt.task}:${prompt.inputs.join()}`);
    if (drawn.size === at) continue;
    prompt.writeTokens(pool.batch.tokens, at * length);
    pool.batch.targets.set(targets, at * examples);
    pool.tasks[at] = prompt.task;
    pool.inputs.set(prompt.inputs, at * examples);
    pool.outputs.set(prompt.shown, at * examples);
  }
  return pool;
}

/**
 * The order in which each member goes through N prompts: a new permutation every epoch, a function of (seed, member,
 * epoch) alone.
 */
export class EpochOrder {
  private readonly seed: number;
  private readonly permutation: Int32Array;
  private member = -1;
  private epoch = -1;

  constructor(seed: number, size: number) {
    this.seed = seed;
    this.permutation = new Int32Array(size);
  }

  /** Which prompt a member is shown as number `place`, from 0, of all its training. */
  at(member: number, place: number): number {
    const size = this.permutation.length;
    const epoch = Math.floor(place / size);
    if (member !== this.member || epoch !== this.epoch) this.permute(member, epoch);
    return this.permutation[place - epoch * size];
  }

  private permute(member: number, epoch: number): void {
    for (let i = 0; i < this.permutation.length; i++) this.permutation[i] = i;
    shuffle(stream(this.seed, member, "poolOrder", epoch), this.permutation);
    this.member = member;
    this.epoch = epoch;
  }
}
