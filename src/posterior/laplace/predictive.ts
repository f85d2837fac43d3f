/** From logits to predictive probabilities, (rows, classes). */
import { softmaxRows } from "../../curvature/model.ts";
import type { Vector } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import { refuse } from "../../validate.ts";

/** softmax(f_k / sqrt(1 + pi S_kk / 8)) for logits f with variances S_kk (MacKay 1992), per row. */
export function probit(logits: Vector, variances: Vector, classes: number): Float32Array {
  const scaled = Float64Array.from(logits, (f, i) => f / Math.sqrt(1 + (Math.PI * variances[i]) / 8));
  return Float32Array.from(softmaxRows(scaled, classes));
}

/** softmax(logits + change), per row. */
export function shiftedSoftmax(logits: Vector, change: Vector, classes: number): Float32Array {
  return Float32Array.from(
    softmaxRows(
      Float64Array.from(logits, (f, i) => f + change[i]),
      classes,
    ),
  );
}

/** S vectors of standard normal numbers. */
export function normalVectors(rng: RandomGenerator, count: number, length: number): Float64Array[] {
  return Array.from({ length: count }, () => {
    const z = new Float64Array(length);
    normals(rng, z);
    return z;
  });
}

/**
 * softmax(logits + draws of their changes), (rows, classes) for each draw.
 * @param features (rows, width)
 * @param changes the draws of one row, one after the other, for its features
 */
export function drawnSoftmax(
  logits: Vector,
  features: Vector,
  changes: (features: Float64Array) => Float64Array,
  { rows, classes, count }: { rows: number; classes: number; count: number },
): Float32Array[] {
  const out = Array.from({ length: count }, () => new Float32Array(logits.length));
  const width = features.length / rows;
  for (let n = 0; n < rows; n++) {
    const start = n * classes;
    const f = changes(Float64Array.from(features.subarray(n * width, (n + 1) * width)));
    for (let s = 0; s < count; s++)
      softmaxInto(out[s], start, logits, f.subarray(s * classes, (s + 1) * classes));
  }
  return out;
}

/** softmax of the logits from `start` on plus `change` (classes), at the same place of `out`; overwrites `change`. */
function softmaxInto(out: Float32Array, start: number, logits: Vector, change: Float64Array): void {
  let [most, sum] = [-Infinity, 0];
  for (let c = 0; c < change.length; c++) {
    change[c] += logits[start + c];
    if (change[c] > most) most = change[c];
  }
  for (let c = 0; c < change.length; c++) {
    change[c] = Math.exp(change[c] - most);
    sum += change[c];
  }
  // Of the largest alone it is 1, unless something is not finite.
  if (!(sum >= 1)) refuse("logits", `${sum} at prediction ${start / change.length}`, "finite numbers");
  for (let c = 0; c < change.length; c++) out[start + c] = change[c] / sum;
}

/** F W' for features F (rows, width) and W (classes, width): (rows, classes). */
export function unembed(features: Vector, w: Float64Array, width: number): Float64Array {
  const rows = features.length / width;
  const classes = w.length / width;
  const out = new Float64Array(rows * classes);
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < classes; c++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += features[n * width + i] * w[c * width + i];
      out[n * classes + c] = sum;
    }
  }
  return out;
}

/** NLL (nats) of the average of sample predictives at each target. */
export function predictiveNll(
  samples: readonly Float32Array[],
  targets: Int32Array,
  classes: number,
): Float64Array {
  return Float64Array.from(targets, (target, row) => {
    let p = 0;
    for (const sample of samples) p += sample[row * classes + target];
    // A float32 softmax may underflow to 0: the smallest normal number keeps a grid search comparable.
    return -Math.log(Math.max(p / samples.length, 2 ** -126));
  });
}
