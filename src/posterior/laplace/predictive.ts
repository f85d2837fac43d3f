/** From logits to predictive probabilities, (rows, classes). */
import { softmaxRows } from "../../curvature/model.ts";
import type { Vector } from "../../curvature/vector.ts";

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
