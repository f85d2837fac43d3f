/**
 * Families of polynomials in the inputs, whose coefficients are the task: z = sum_i task_i m_i(x) mod p with monomials
 * m_i. A constant, the coefficient of the empty product, comes last.
 */
import type { Family, FamilyShape, TaskRule } from "./family.ts";

export interface PolynomialOptions {
  description: string;
  /** The products with a coefficient, in the order of the task vector, each as indices of the inputs multiplied. */
  monomials(variables: number): number[][];
  validate?: Family["validate"];
}

export function polynomialFamily({ description, monomials, validate }: PolynomialOptions): Family {
  return {
    description,
    validate: validate ?? (() => []),
    rule: (shape) =>
      polynomialRule(shape, [...monomials(shape.variables), ...(shape.constantTerm ? [[]] : [])]),
  };
}

function polynomialRule({ modulus, variables }: FamilyShape, monomials: number[][]): TaskRule {
  const valuesAt = (input: ArrayLike<number>) =>
    monomials.map((factors) => factors.reduce((product, i) => (product * input[i]) % modulus, 1));
  return {
    taskLength: monomials.length,
    formula: `z = ${monomials.map((factors) => term(factors, variables)).join(" + ")} mod ${modulus}`,
    evaluateAt(input) {
      const values = valuesAt(input);
      return (task) => {
        let sum = 0;
        for (let i = 0; i < values.length; i++) sum += task[i] * values[i];
        return sum % modulus;
      };
    },
    outputsAt(input, out) {
      // Outer sums from the least significant coefficient on: each new one repeats the block p times, shifted.
      const values = valuesAt(input);
      out[0] = 0;
      for (let i = values.length - 1, block = 1; i >= 0; i--, block *= modulus) {
        const step = values[i];
        for (let at = block; at < block * modulus; at++) {
          const sum = out[at - block] + step;
          out[at] = sum >= modulus ? sum - modulus : sum;
        }
      }
    },
  };
}

/** a2 x2, a12 x1 x2, a x of one variable, c of the constant. */
function term(factors: number[], variables: number): string {
  if (factors.length === 0) return "c";
  const name = (i: number) => (variables === 1 ? "" : String(i + 1));
  return [`a${factors.map(name).join("")}`, ...factors.map((i) => `x${name(i)}`)].join(" ");
}
