// Softmax cross-entropy in nats over rows of logits with stride VS (V rounded up to LANES).
import { V, VS } from "../layout";
import {
  STEP,
  addHalves,
  exp4,
  horizontalMax,
  horizontalSum,
  madd,
  splatOnce,
  storeHalves,
  upperHalf,
} from "../simd";
import { TANGENT } from "../tangent";

/** Maximum of the row's V logits; the padding up to VS is set to -1e30, which exp turns into 0. */
// @ts-ignore: decorator
@inline
function paddedMax(row: usize): f32 {
  for (let c = V; c < VS; c++) store<f32>(row + ((<usize>c) << 2), -1e30);
  let max4 = v128.load(row);
  for (let c: usize = 16; c < (<usize>VS) << 2; c += 16) max4 = f32x4.pmax(max4, v128.load(row + c));
  return horizontalMax(max4);
}

/** The row's VS floats x become exp(x - max); their sum. */
// @ts-ignore: decorator
@inline
function exponentials(row: usize, max: f32): f32 {
  const max4 = splatOnce(max);
  const end = row + ((<usize>VS) << 2);
  let sum4 = f32x4.splat(0);
  for (; row < end; row += STEP) {
    const x0 = v128.load(row),
      x1 = upperHalf(row);
    const e0 = exp4(f32x4.sub(x0, max4)),
      e1 = exp4(f32x4.sub(x1, max4));
    sum4 = addHalves(sum4, e0, e1);
    storeHalves(row, e0, e1);
  }
  return horizontalSum(sum4);
}

/** The row's VS floats times `factor`. */
// @ts-ignore: decorator
@inline
function scaleRow(row: usize, factor: f32): void {
  const factor4 = splatOnce(factor);
  const end = row + ((<usize>VS) << 2);
  for (; row < end; row += STEP) {
    const x0 = v128.load(row),
      x1 = upperHalf(row);
    storeHalves(row, f32x4.mul(x0, factor4), f32x4.mul(x1, factor4));
  }
}

/**
 * Sum over `predictions` of -log softmax(logits[queries[i]])[targets[i]], where `counts` says how many predictions each
 * of the rows has; logits (rows, VS) become their gradient times weight, weight (count softmax - sum of onehots).
 */
export function crossentropy_forward_backward(
  logits: usize,
  targets: usize,
  queries: usize,
  predictions: i32,
  counts: usize,
  rows: i32,
  weight: f32,
): f64 {
  const bytes = (<usize>VS) << 2;
  let loss: f64 = 0;
  for (let i = 0; i < predictions; i++) loss -= <f64>load<f32>(targetLogit(logits, targets, queries, i));
  for (let r = 0; r < rows; r++) {
    const row = logits + <usize>r * bytes;
    const count = load<i32>(counts + ((<usize>r) << 2));
    const highest = paddedMax(row);
    const sum = exponentials(row, highest);
    loss += <f64>count * (Math.log(<f64>sum) + <f64>highest);
    scaleRow(row, (weight * <f32>count) / sum);
  }
  for (let i = 0; i < predictions; i++) {
    const target = targetLogit(logits, targets, queries, i);
    store<f32>(target, load<f32>(target) - weight);
  }
  return loss;
}

/** Address of the target's logit of prediction i. */
// @ts-ignore: decorator
@inline
function targetLogit(logits: usize, targets: usize, queries: usize, i: i32): usize {
  const offset = (<usize>i) << 2;
  return logits + ((<usize>(load<i32>(queries + offset) * VS + load<i32>(targets + offset))) << 2);
}

/** logits (rows, VS) become probabilities; the padding becomes 0. */
export function softmax_forward(logits: usize, rows: i32): void {
  const bytes = (<usize>VS) << 2;
  for (let r = 0; r < rows; r++) {
    scaleRow(logits, <f32>1 / exponentials(logits, paddedMax(logits)));
    logits += bytes;
  }
}

/** Probabilities (rows, VS) become dlogits = weight (count p - sum of onehots), as crossentropy_forward_backward. */
export function crossentropy_backward(
  probabilities: usize,
  targets: usize,
  queries: usize,
  predictions: i32,
  counts: usize,
  rows: i32,
  weight: f32,
): void {
  const bytes = (<usize>VS) << 2;
  for (let r = 0; r < rows; r++) {
    scaleRow(probabilities + <usize>r * bytes, weight * <f32>load<i32>(counts + ((<usize>r) << 2)));
  }
  for (let i = 0; i < predictions; i++) {
    const target = targetLogit(probabilities, targets, queries, i);
    store<f32>(target, load<f32>(target) - weight);
  }
}

/** The place of the largest of the row's V probabilities. */
export function likeliest(row: usize): i32 {
  let top = 0;
  for (let c = 1; c < V; c++) {
    if (load<f32>(row + ((<usize>c) << 2)) > load<f32>(row + ((<usize>top) << 2))) top = c;
  }
  return top;
}

/**
 * The tangent z' (rows, VS) of the logits becomes weight count (diag p - p p^T) z', p being the probabilities and count
 * the predictions of the row: the tangent of the loss's gradient by the logits, and the cotangent of the Gauss-Newton product.
 * z' is taken relative to that of the likeliest class, so that nothing cancels where that is nearly certain.
 */
export function crossentropy_backward_jvp(probabilities: usize, counts: usize, rows: i32, weight: f32): void {
  const bytes = (<usize>VS) << 2;
  for (let r = 0; r < rows; r++) {
    const weight4 = splatOnce(weight * <f32>load<i32>(counts + ((<usize>r) << 2)));
    const logitsTangent = probabilities + TANGENT;
    for (let c = V; c < VS; c++) store<f32>(logitsTangent + ((<usize>c) << 2), 0);
    const origin = load<f32>(logitsTangent + ((<usize>likeliest(probabilities)) << 2));
    const origin4 = f32x4.splat(origin);
    let sum4 = f32x4.splat(0);
    for (let c: usize = 0; c < bytes; c += 16) {
      const relative = f32x4.sub(v128.load(logitsTangent + c), origin4);
      sum4 = madd(v128.load(probabilities + c), relative, sum4);
    }
    const from4 = splatOnce(origin),
      mean4 = splatOnce(horizontalSum(sum4));
    for (let c: usize = 0; c < bytes; c += STEP) {
      const from = probabilities + c,
        to = logitsTangent + c;
      const p0 = f32x4.mul(v128.load(from), weight4),
        p1 = f32x4.mul(upperHalf(from), weight4);
      const centred0 = f32x4.sub(f32x4.sub(v128.load(to), from4), mean4),
        centred1 = f32x4.sub(f32x4.sub(upperHalf(to), from4), mean4);
      storeHalves(to, f32x4.mul(p0, centred0), f32x4.mul(p1, centred1));
    }
    probabilities += bytes;
  }
}
