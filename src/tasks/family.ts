/** The family of modular linear tasks z = a.x (+ c) mod p, its numbering, and the checks on a task configuration. */
import type { TaskConfig } from "../config/schema.ts";

/** Largest number of tasks that is enumerated: splits and exact references visit every task of the family. */
const MAX_TASKS = 2 ** 24;

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}

export interface FamilyOptions {
  /** p, a prime. */
  modulus: number;
  /** v, the number of inputs x1..xv. */
  variables: number;
  /** Whether a task has a constant besides its v coefficients. */
  constantTerm?: boolean;
  /** Whether the zero vector is one of the tasks. Default true. */
  zeroTask?: boolean;
}

/**
 * All tasks of one family. A task is a vector of Z_p^taskLength, coefficients first and the constant last; the zero
 * vector belongs to the family unless `zeroTask` is false. Tasks and inputs are numbered in lexicographic order: the
 * first coordinate is the most significant digit, base p, of the index (of the index plus one without the zero task).
 *
 * @throws RangeError if p is not prime (over Z_p with composite p the tasks are not told apart by a basis of
 *   inputs), if `variables` is not a positive integer, or if there are more than 2^24 tasks
 */
export class TaskFamily {
  readonly modulus: number;
  readonly variables: number;
  readonly constantTerm: boolean;
  /** Length of a task vector: variables, plus one with a constant term. */
  readonly taskLength: number;
  readonly zeroTask: boolean;
  /** p^taskLength, less one without the zero task. */
  readonly taskCount: number;
  /** p^variables */
  readonly inputCount: number;

  constructor({ modulus, variables, constantTerm = false, zeroTask = true }: FamilyOptions) {
    if (!Number.isInteger(modulus) || !isPrime(modulus)) {
      throw new RangeError(`task.modulus must be a prime number, got ${modulus}`);
    }
    if (!Number.isInteger(variables) || variables < 1) {
      throw new RangeError(`task.variables must be a positive integer, got ${variables}`);
    }
    this.modulus = modulus;
    this.variables = variables;
    this.constantTerm = constantTerm;
    this.taskLength = variables + (constantTerm ? 1 : 0);
    this.zeroTask = zeroTask;
    this.taskCount = modulus ** this.taskLength - this.firstTask;
    this.inputCount = modulus ** variables;
    if (this.taskCount > MAX_TASKS) {
      throw new RangeError(
        `task.modulus ${modulus} with task.variables ${variables}${constantTerm ? " and task.constantTerm" : ""} ` +
          `gives ${this.taskCount} tasks; at most ${MAX_TASKS} can be enumerated`,
      );
    }
  }

  /** Lexicographic number of the first task among all vectors of Z_p^taskLength: 1 without the zero task. */
  get firstTask(): number {
    return this.zeroTask ? 0 : 1;
  }

  /** The task vector with this index. */
  task(index: number): number[] {
    if (!Number.isInteger(index) || index < 0 || index >= this.taskCount) {
      throw new RangeError(`task index must be an integer from 0 to ${this.taskCount - 1}, got ${index}`);
    }
    return this.digits(index + this.firstTask, this.taskLength);
  }

  /** The index of a task vector. */
  taskIndex(task: ArrayLike<number>): number {
    const index = this.number("task", task, this.taskLength) - this.firstTask;
    if (index < 0) throw new RangeError("task must not be the zero vector with zeroTask false");
    return index;
  }

  /** The input vector with this index. */
  input(index: number): number[] {
    if (!Number.isInteger(index) || index < 0 || index >= this.inputCount) {
      throw new RangeError(`input index must be an integer from 0 to ${this.inputCount - 1}, got ${index}`);
    }
    return this.digits(index, this.variables);
  }

  /** The index of an input vector. */
  inputIndex(input: ArrayLike<number>): number {
    return this.number("input", input, this.variables);
  }

  /** z = task . input (+ constant) mod p. Both are residue vectors of the family's lengths (not checked). */
  evaluate(task: ArrayLike<number>, input: ArrayLike<number>): number {
    let sum = this.constantTerm ? task[this.variables] : 0;
    for (let i = 0; i < this.variables; i++) sum += task[i] * input[i];
    return sum % this.modulus;
  }

  /** @throws RangeError unless `value` is one of 0..p-1 */
  checkResidue(name: string, value: number): void {
    if (!Number.isInteger(value) || value < 0 || value >= this.modulus) {
      throw new RangeError(`${name} must be a residue 0..${this.modulus - 1}, got ${value}`);
    }
  }

  private digits(index: number, length: number): number[] {
    const digits = new Array<number>(length);
    let rest = index;
    for (let i = length - 1; i >= 0; i--) {
      digits[i] = rest % this.modulus;
      rest = Math.floor(rest / this.modulus);
    }
    return digits;
  }

  private number(name: string, digits: ArrayLike<number>, length: number): number {
    if (digits.length !== length) {
      throw new RangeError(`${name} must have ${length} coordinates, got ${digits.length}`);
    }
    let index = 0;
    for (let i = 0; i < length; i++) {
      this.checkResidue(`${name}[${i}]`, digits[i]);
      index = index * this.modulus + digits[i];
    }
    return index;
  }
}

/** Number of inputs seen in training: the nearest integer to inputFraction p^v. */
export function seenInputCount(task: TaskConfig): number {
  return Math.round(task.inputFraction * task.modulus ** task.variables);
}

/**
 * Check what the schema cannot see in one field alone. Held-out tasks must remain, because the probe sets on unseen
 * tasks are what grokking is measured on.
 *
 * @throws RangeError naming the field, its value and what is allowed
 */
export function validateTask(task: TaskConfig): void {
  const { taskCount, inputCount } = new TaskFamily(task);
  if (task.trainTasks >= taskCount) {
    throw new RangeError(
      `task.trainTasks must be below the ${taskCount} tasks of the family, so that unseen tasks remain, got ${task.trainTasks}`,
    );
  }
  if (task.taskSplit === "rectangular") {
    if (task.variables !== 2 || task.constantTerm || !task.zeroTask) {
      throw new RangeError(
        `task.taskSplit "rectangular" needs task.variables 2, no task.constantTerm and the zero task, got variables ${task.variables}, constantTerm ${task.constantTerm}, zeroTask ${task.zeroTask}`,
      );
    }
    if (task.trainTasks % 4 !== 0) {
      throw new RangeError(
        `task.trainTasks must be a multiple of 4 with task.taskSplit "rectangular", got ${task.trainTasks}`,
      );
    }
  }
  const seen = seenInputCount(task);
  if (seen < 1 || (task.inputFraction < 1 && seen >= inputCount)) {
    throw new RangeError(
      `task.inputFraction ${task.inputFraction} makes ${seen} of ${inputCount} inputs seen; at least one must be seen and, below 1, at least one unseen`,
    );
  }
  if (task.distinctInputs) {
    const available = task.inputFraction < 1 ? Math.min(seen, inputCount - seen) : seen;
    if (task.examples > available) {
      throw new RangeError(
        `task.examples must be at most ${available} with task.distinctInputs (${seen} seen and ${inputCount - seen} unseen inputs), got ${task.examples}`,
      );
    }
  }
}
