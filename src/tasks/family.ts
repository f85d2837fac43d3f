/** The tasks and inputs of a family at one size: how many there are, their numbers, and the output of each pair. */
import {
  type Contradiction,
  refuse,
  requireConsistent,
  requireLength,
  requireOneOf,
  requireWhole,
} from "../validate.ts";
import type { FamilyShape, TaskRule } from "./families/family.ts";
import { DEFAULT_FAMILY, FAMILIES, FAMILY_NAMES, type FamilyName } from "./families/index.ts";
import type { TaskConfig } from "./settings.ts";

/** Largest number of tasks that is enumerated: splits and exact references visit every task of the family. */
const MAX_TASKS = 2 ** 24;

export interface FamilyOptions {
  /** Default linear. */
  family?: FamilyName;
  /** p, a prime. */
  modulus: number;
  /** v, the number of inputs x1..xv. */
  variables: number;
  /** Whether a task has a constant besides its coefficients. Default false. */
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
 *   inputs), if `variables` is not a positive integer or does not suit the family, or if there are more than 2^24 tasks
 */
export class TaskFamily {
  readonly modulus: number;
  readonly variables: number;
  /** Length of a task vector. */
  readonly taskLength: number;
  /** What the tasks compute, for example z = a1 x1 + a2 x2 mod 7. */
  readonly formula: string;
  /** Lexicographic number of the first task among all vectors of Z_p^taskLength: 1 without the zero task. */
  readonly firstTask: number;
  /** p^taskLength, less one without the zero task. */
  readonly taskCount: number;
  /** p^variables */
  readonly inputCount: number;

  private readonly rule: TaskRule;

  constructor(options: FamilyOptions) {
    requireConsistent(familyContradictions(options));
    const { modulus, variables, zeroTask = true } = options;
    this.rule = ruleOf(options);
    this.modulus = modulus;
    this.variables = variables;
    this.taskLength = this.rule.taskLength;
    this.formula = this.rule.formula;
    this.firstTask = zeroTask ? 0 : 1;
    this.taskCount = modulus ** this.taskLength - this.firstTask;
    this.inputCount = modulus ** variables;
  }

  /** The task vector with this index. */
  task(index: number): number[] {
    requireWhole("task index", index, this.taskCount - 1);
    return this.digits(index + this.firstTask, this.taskLength);
  }

  /** The index of a task vector. */
  taskIndex(task: ArrayLike<number>): number {
    const index = this.number("task", task, this.taskLength) - this.firstTask;
    if (index < 0) refuse("task", Array.from(task), "another vector than zero with zeroTask false");
    return index;
  }

  /** The input vector with this index. */
  input(index: number): number[] {
    requireWhole("input index", index, this.inputCount - 1);
    return this.digits(index, this.variables);
  }

  /** The index of an input vector. */
  inputIndex(input: ArrayLike<number>): number {
    return this.number("input", input, this.variables);
  }

  /** @throws RangeError unless `input` is an input vector */
  checkInput(name: string, input: ArrayLike<number>): void {
    this.number(name, input, this.variables);
  }

  /** The output z of a task at an input. Both are residue vectors of the family's lengths (not checked). */
  evaluate(task: ArrayLike<number>, input: ArrayLike<number>): number {
    return this.rule.evaluateAt(input)(task);
  }

  /** The function that gives z of a task at this input: for many tasks at one input. */
  evaluateAt(input: ArrayLike<number>): (task: ArrayLike<number>) => number {
    return this.rule.evaluateAt(input);
  }

  /**
   * Write z at this input into out (p^taskLength) for every vector of Z_p^taskLength in lexicographic order, the zero
   * vector included.
   */
  outputsAt(input: ArrayLike<number>, out: Int32Array): void {
    this.rule.outputsAt(input, out);
  }

  /** @throws RangeError unless `value` is one of 0..p-1 */
  checkResidue(name: string, value: number): void {
    requireWhole(name, value, this.modulus - 1);
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
    requireLength(name, digits, length);
    let index = 0;
    for (let i = 0; i < length; i++) {
      this.checkResidue(`${name}[${i}]`, digits[i]);
      index = index * this.modulus + digits[i];
    }
    return index;
  }
}

const shapeOf = ({ modulus, variables, constantTerm = false }: FamilyOptions): FamilyShape => ({
  modulus,
  variables,
  constantTerm,
});

const ruleOf = (options: FamilyOptions) => FAMILIES[options.family ?? DEFAULT_FAMILY].rule(shapeOf(options));

function isPrime(n: number): boolean {
  if (!Number.isInteger(n) || n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}

/** Why there is no such family; empty if there is. */
export function familyContradictions(options: FamilyOptions): Contradiction[] {
  const { family = DEFAULT_FAMILY, modulus, variables } = options;
  requireOneOf("task.family", family, FAMILY_NAMES);
  if (!isPrime(modulus))
    return [{ path: "task.modulus", value: modulus, allowed: "a prime number", given: [] }];
  if (!Number.isInteger(variables) || variables < 1)
    return [{ path: "task.variables", value: variables, allowed: "a positive integer", given: [] }];
  const found = FAMILIES[family].validate(shapeOf(options));
  if (found.length > 0) return found;
  const { taskLength } = ruleOf(options);
  if (modulus ** taskLength <= MAX_TASKS) return [];
  const largest = Math.floor(MAX_TASKS ** (1 / taskLength));
  return [
    {
      path: "task.modulus",
      value: modulus,
      allowed: `at most ${largest} for tasks of ${taskLength} coefficients: all ${modulus ** taskLength} tasks are enumerated, which must not be more than ${MAX_TASKS}`,
      given: ["task.family", "task.variables", "task.constantTerm"],
    },
  ];
}

/** Number of inputs seen in training: the nearest integer to inputFraction p^v. */
export function seenInputCount({ inputFraction, modulus, variables }: TaskConfig): number {
  return Math.round(inputFraction * modulus ** variables);
}
