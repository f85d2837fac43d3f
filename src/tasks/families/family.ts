/** What a family of tasks is made of. The family itself, with its numbers of tasks and inputs, is `TaskFamily`. */
import type { Contradiction } from "../../validate.ts";

/** The sizes of a family. */
export interface FamilyShape {
  /** p, a prime. */
  modulus: number;
  /** v, the number of inputs x1..xv. */
  variables: number;
  /** Whether a constant is added to z. */
  constantTerm: boolean;
}

/** How a task, which is a hidden vector of Z_p^taskLength, and an input x of Z_p^v give an output z of Z_p. */
export interface TaskRule {
  readonly taskLength: number;
  /** For example z = a1 x1 + a2 x2 mod 7. */
  readonly formula: string;
  /** z of any task at one input. */
  evaluateAt(input: ArrayLike<number>): (task: ArrayLike<number>) => number;
  /** Write z of every vector of Z_p^taskLength, in lexicographic order, at one input into out (p^taskLength). */
  outputsAt(input: ArrayLike<number>, out: Int32Array): void;
}

export interface Family {
  /** z as a formula in any number of variables, for help and documents. */
  readonly description: string;
  /** What is wrong with a shape beyond what no family allows. */
  validate(shape: FamilyShape): Contradiction[];
  rule(shape: FamilyShape): TaskRule;
}
