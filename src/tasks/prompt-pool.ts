/**
 * A prompt pool: N prompts drawn once, which all training goes through again and again. They are N different pairs of a
 * training task and an ordered sequence of inputs, each with the context noise that it was drawn with. The pool is that
 * of all members; which of its prompts a member trains on is a matter of the bootstrap.
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

/** The pool drawn last, which sampler, probe sets and answer table of a configuration share: nobody writes to it. */
let latest: { key: string; pool: PromptPool } | undefined;

/**
 * The pool of a configuration, a function of (task, seed, probePrompts) alone; null if every step draws fresh prompts.
 * Callers that ask for the same pool get the same arrays.
 *
 * @throws RangeError as TrainingSource
 */
export function drawPromptPool(task: TaskConfig, seed: number, probePrompts: number): PromptPool | null {
  if (task.promptPool === 0) return null;
  const key = JSON.stringify([task, seed, probePrompts]);
  if (latest?.key !== key) latest = { key, pool: draw(task, seed, probePrompts) };
  return latest.pool;
}

function draw(task: TaskConfig, seed: number, probePrompts: number): PromptPool {
  const { promptPool: size, examples, variables } = task;
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
    drawn.add(promptKey(prompt.task, prompt.inputs));
    if (drawn.size === at) continue;
    prompt.writeTokens(pool.batch.tokens, at * length);
    pool.batch.targets.set(targets, at * examples);
    pool.tasks[at] = prompt.task;
    pool.inputs.set(prompt.inputs, at * examples);
    pool.outputs.set(prompt.shown, at * examples);
  }
  return pool;
}

/** Tells the prompts of a pool apart: a task and its inputs in their order. */
export const promptKey = (task: number, inputs: Int32Array) => `${task}:${inputs.join()}`;

/**
 * The order in which each member goes through its prompts: a new permutation every epoch, a function of (seed, member,
 * epoch) and these prompts alone.
 */
export class EpochOrder {
  private readonly seed: number;
  private readonly promptsOf: (member: number) => Int32Array;
  private member = -1;
  private epoch = -1;
  /** Of the present member, and in the order of its present epoch. */
  private prompts: Int32Array = new Int32Array();
  private permutation: Int32Array = new Int32Array();

  /** @param promptsOf what a member is shown in an epoch, at least one prompt */
  constructor(seed: number, promptsOf: (member: number) => Int32Array) {
    this.seed = seed;
    this.promptsOf = promptsOf;
  }

  /** Which prompt a member is shown as number `place`, from 0, of all its training. */
  at(member: number, place: number): number {
    if (member !== this.member) {
      this.prompts = this.promptsOf(member);
      this.member = member;
      this.epoch = -1;
    }
    const size = this.prompts.length;
    const epoch = Math.floor(place / size);
    if (epoch !== this.epoch) {
      this.permutation = this.prompts.slice();
      shuffle(stream(this.seed, member, "poolOrder", epoch), this.permutation);
      this.epoch = epoch;
    }
    return this.permutation[place - epoch * size];
  }
}
