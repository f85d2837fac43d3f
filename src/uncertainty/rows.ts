/** One row of class probabilities inside a longer array: the checks and reductions every measure starts from. */
import { refuse } from "../validate.ts";

/** Class probabilities as the workers return them (float32) or as a caller computed them. */
export type Probabilities = Float32Array | Float64Array;

/** How far the sum of a row may be from 1: what a float32 softmax over thousands of classes can lose, and no more. */
const ROW_SUM_TOLERANCE = 1e-4;

/**
 * The sum of the row that starts at `offset`, after checking that it is a distribution up to float32 rounding.
 * Dividing by it makes the row sum to 1 in float64, which the bounds on the mutual information rely on.
 *
 * @param describe names the row in the error message
 * @throws RangeError if an entry is negative or not finite, or the sum is off by more than ROW_SUM_TOLERANCE
 */
export function rowSum(
  p: ArrayLike<number>,
  offset: number,
  classes: number,
  describe: () => string,
): number {
  let sum = 0;
  for (let c = 0; c < classes; c++) {
    const value = p[offset + c];
    if (!(typeof value === "number" && value >= 0)) {
      refuse(`${describe()}, class ${c}`, value, "a probability: finite and at least 0");
    }
    sum += value;
  }
  if (!(Math.abs(sum - 1) <= ROW_SUM_TOLERANCE)) {
    refuse(
      `${describe()}, sum of probabilities`,
      sum,
      `1 within ${ROW_SUM_TOLERANCE} (logits are not accepted)`,
    );
  }
  return sum;
}

/** Index of the largest of the `classes` entries from `offset` on; among equals the lowest. */
export function argmax(p: ArrayLike<number>, offset: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (p[offset + c] > p[offset + best]) best = c;
  return best;
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Whether no element is NaN or infinite. */
export const allFinite = (values: Float32Array): boolean => values.every(Number.isFinite);
