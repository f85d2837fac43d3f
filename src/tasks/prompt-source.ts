/** Draws single prompts: a task, n inputs, the clean outputs and the outputs as shown under context noise. */

import { type RandomGenerator, uniform, uniformInt } from "../random.ts";
import type { TaskFamily } from "./family.ts";

export interface PromptSourceOptions {
  family: TaskFamily;
  /** Family indices of the tasks to draw from. */
  tasks: Int32Array;
  /** Indices of the inputs to draw from. */
  inputs: Int32Array;
  /** n */
  examples: number;
  /** Inputs of one prompt without replacement. */
  distinctInputs: boolean;
  /** Probability that an output is replaced by one of the other p-1 residues, uniformly. */
  noise: number;
  /** Whether the last output, which is asked and not fed, is subject to the noise too. */
  noisyLast: boolean;
}

/** Outputs of all (task, input) pairs are tabulated up to this many pairs. */
const MAX_TABLE = 4_000_000;

/** Holds the prompt drawn last. */
export class PromptSource {
  /** Family index of the task. */
  task = 0;
  /** (n): input indices. */
  readonly inputs: Int32Array;
  /** (n): the task's output for each example. */
  readonly clean: Int32Array;
  /** (n): the outputs after noise. */
  readonly shown: Int32Array;

  private readonly family: TaskFamily;
  private readonly tasks: Int32Array;
  /** A permutation of the inputs, put back in order after each draw so that draws do not depend on earlier ones. */
  private readonly pool: Int32Array;
  private readonly swaps: Int32Array;
  private readonly distinct: boolean;
  private readonly noise: number;
  private readonly noisyExamples: number;
  /** (inputCount, v), by input index. */
  private readonly inputDigits: Int32Array;
  /** (tasks, inputCount), or null when that is too large. */
  private readonly table: Uint16Array | null;

  constructor({ family, tasks, inputs, examples, distinctInputs, noise, noisyLast }: PromptSourceOptions) {
    this.family = family;
    this.tasks = tasks;
    this.pool = inputs.slice();
    this.swaps = new Int32Array(examples);
    this.distinct = distinctInputs;
    this.noise = noise;
    this.noisyExamples = noise > 0 ? (noisyLast ? examples : examples - 1) : 0;
    this.inputs = new Int32Array(examples);
    this.clean = new Int32Array(examples);
    this.shown = new Int32Array(examples);
    this.inputDigits = new Int32Array(family.inputCount * family.variables);
    for (const index of inputs) this.inputDigits.set(family.input(index), index * family.variables);
    this.table = tabulate(family, tasks, inputs);
  }

  /** Draw the next prompt into `task`, `inputs`, `clean` and `shown`: of one of the tasks with these numbers, or of any. */
  draw(rng: RandomGenerator, rows?: Int32Array): void {
    const drawn = uniformInt(rng, (rows ?? this.tasks).length);
    const row = rows ? rows[drawn] : drawn;
    this.drawInputs(rng);
    this.answer(rng, row);
  }

  /** Draw the inputs alone. */
  drawInputs(rng: RandomGenerator): void {
    const { inputs, pool } = this;
    if (this.distinct) this.drawDistinctInputs(rng);
    else for (let k = 0; k < inputs.length; k++) inputs[k] = pool[uniformInt(rng, pool.length)];
  }

  /** The outputs of the task with number `row` among the given ones for the present inputs, and their noise. */
  answer(rng: RandomGenerator, row: number): void {
    const { inputs, clean, shown, table } = this;
    this.task = this.tasks[row];
    if (table) {
      const tableRow = row * this.family.inputCount;
      for (let k = 0; k < inputs.length; k++) clean[k] = table[tableRow + inputs[k]];
    } else {
      const task = this.family.task(this.task);
      for (let k = 0; k < inputs.length; k++)
        clean[k] = this.family.evaluate(task, this.family.input(inputs[k]));
    }
    shown.set(clean);
    for (let k = 0; k < this.noisyExamples; k++) {
      if (uniform(rng) < this.noise) {
        const other = uniformInt(rng, this.family.modulus - 1);
        shown[k] = other < clean[k] ? other : other + 1;
      }
    }
  }

  /** Write the prompt as T tokens from `offset` on; the last output is left out. */
  writeTokens(tokens: Int32Array, offset: number): void {
    const { variables } = this.family;
    const last = this.inputs.length - 1;
    let at = offset;
    for (let k = 0; k <= last; k++) {
      const digits = this.inputs[k] * variables;
      for (let i = 0; i < variables; i++) tokens[at++] = this.inputDigits[digits + i];
      if (k < last) tokens[at++] = this.shown[k];
    }
  }

  /** The first n steps of a Fisher-Yates shuffle of the pool, undone afterwards. */
  private drawDistinctInputs(rng: RandomGenerator): void {
    const { inputs, pool, swaps } = this;
    for (let k = 0; k < inputs.length; k++) {
      const j = k + uniformInt(rng, pool.length - k);
      swaps[k] = j;
      inputs[k] = pool[j];
      pool[j] = pool[k];
      pool[k] = inputs[k];
    }
    for (let k = inputs.length - 1; k >= 0; k--) {
      pool[k] = pool[swaps[k]];
      pool[swaps[k]] = inputs[k];
    }
  }
}

/** (tasks, inputCount): the outputs of these tasks at these inputs, or null when that is too large. */
function tabulate(family: TaskFamily, tasks: Int32Array, inputs: Int32Array): Uint16Array | null {
  const { modulus, inputCount } = family;
  if (modulus > 0x10000 || tasks.length * inputCount > MAX_TABLE) return null;
  const table = new Uint16Array(tasks.length * inputCount);
  const vectors = Array.from(tasks, (index) => family.task(index));
  for (const index of inputs) {
    const evaluate = family.evaluateAt(family.input(index));
    for (let row = 0; row < vectors.length; row++) table[row * inputCount + index] = evaluate(vectors[row]);
  }
  return table;
}
