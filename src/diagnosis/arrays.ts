/** Arrays of predictions from any program: their shape, and that their rows are distributions. */
import { refuse, requireTypedArray } from "../validate.ts";

/** Numbers in row-major order. */
export interface NumberArray {
  shape: readonly number[];
  data: Float32Array | Float64Array;
}

/** How far the sum of a row may be from 1: what float16 and bfloat16 lose in rounding, and no more. */
const ROW_SUM_TOLERANCE = 5e-3;

const MOST_CLASSES = 2 ** 24;

/**
 * Checks dimensions and length.
 * @param name in messages
 * @param axes what the dimensions are
 * @throws RangeError naming the array, its shape and what it must be
 */
export function requireShape(name: string, array: NumberArray, axes: readonly string[]): void {
  if (typeof array !== "object" || array === null) refuse(name, array, "an array, with shape and data");
  const { shape, data } = array;
  requireTypedArray(`data of ${name}`, data, "Float32Array", "Float64Array");
  const isShape = Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 1);
  if (!isShape || shape.length !== axes.length)
    refuse(`shape of ${name}`, `[${shape}]`, `${axes.length} dimensions of at least 1: ${axes.join(", ")}`);
  const size = shape.reduce((product, n) => product * n, 1);
  if (data.length !== size)
    refuse(`length of ${name}`, data.length, `${size}, the product of its shape [${shape}]`);
  const classes = shape[shape.length - 1];
  if (classes < 2 || classes > MOST_CLASSES)
    refuse(`classes of ${name}`, classes, `from 2 to ${MOST_CLASSES}`);
}

/**
 * The distributions in a part of an array, in float64 and summing to 1.
 *
 * @param values rows of `classes`: probabilities, or logits
 * @param describe names row and class in messages, or the row alone
 * @throws RangeError for the first value that cannot be, and the first row that does not sum to 1
 */
export function distributions(
  values: Float32Array | Float64Array,
  classes: number,
  logits: boolean,
  describe: (row: number, entry?: number) => string,
): Float64Array {
  const result = new Float64Array(values.length);
  const normalise = logits ? softmax : checked;
  for (let row = 0; row < values.length / classes; row++) {
    const begin = row * classes;
    normalise(values.subarray(begin, begin + classes), result.subarray(begin, begin + classes), (entry) =>
      describe(row, entry),
    );
  }
  return result;
}

type Row = Float32Array | Float64Array;

function checked(row: Row, out: Float64Array, describe: (entry?: number) => string): void {
  let sum = 0;
  for (let c = 0; c < row.length; c++) {
    if (!(row[c] >= 0 && row[c] < Infinity))
      refuse(describe(c), row[c], "a probability: finite and at least 0");
    sum += row[c];
  }
  if (!(Math.abs(sum - 1) <= ROW_SUM_TOLERANCE))
    refuse(
      `sum of ${describe()}`,
      sum,
      `1 within ${ROW_SUM_TOLERANCE}: probabilities, or logits that are said to be logits`,
    );
  for (let c = 0; c < row.length; c++) out[c] = row[c] / sum;
}

/** -Infinity is a class that is ruled out. */
function softmax(row: Row, out: Float64Array, describe: (entry?: number) => string): void {
  let largest = -Infinity;
  for (let c = 0; c < row.length; c++) {
    if (!(row[c] < Infinity)) refuse(describe(c), row[c], "a logit: a number below Infinity");
    largest = Math.max(largest, row[c]);
  }
  if (largest === -Infinity) refuse(describe(), "-Infinity alone", "logits with a finite one among them");
  let sum = 0;
  for (let c = 0; c < row.length; c++) {
    out[c] = Math.exp(row[c] - largest);
    sum += out[c];
  }
  for (let c = 0; c < row.length; c++) out[c] /= sum;
}
