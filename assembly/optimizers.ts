// Optimiser updates over flat parameter vectors.
// prettier-ignore
import {
  PARAMETERS, Tensor, firstMoment, gradient, gradientSum, hessianSum, mean, parameters, secondMoment,
  selectTensor, tensorColumns, tensorCount, tensorKind, tensorOffset, tensorRows,
} from "./layout";
import { NOISE, normals16, philox } from "./random";
import { STEP, madd, splatOnce, storeHalves, upperHalf } from "./simd";

/** Parameter groups that weight decay can leave out, as bits of a mask. */
const EXCLUDE_LAYER_NORM: i32 = 1;
const EXCLUDE_EMBEDDINGS: i32 = 2;

function decays(kind: i32, exclude: i32): bool {
  switch (kind) {
    case Tensor.WTE:
    case Tensor.WRE:
    case Tensor.LM_HEAD:
      return (exclude & EXCLUDE_EMBEDDINGS) == 0;
    case Tensor.QKV:
    case Tensor.ATTN_O:
    case Tensor.MLP_FC:
    case Tensor.MLP_PROJ:
      return true;
    default:
      return (exclude & EXCLUDE_LAYER_NORM) == 0;
  }
}

/**
 * One AdamW step (Loshchilov & Hutter, arXiv 1711.05101; PyTorch's form), t counted from 1:
 *   theta <- (1 - lr wd) theta;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
 *   theta <- theta - lr m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + eps),   g = scale x gradient.
 */
export function adamw_step(
  t: i32,
  lr: f64,
  weightDecay: f64,
  beta1: f64,
  beta2: f64,
  epsilon: f64,
  scale: f64,
  exclude: i32,
): void {
  const b1 = splatOnce(<f32>beta1),
    c1 = splatOnce(<f32>(1 - beta1));
  const b2 = splatOnce(<f32>beta2),
    c2 = splatOnce(<f32>(1 - beta2));
  const stepSize = splatOnce(<f32>(lr / (1 - Math.pow(beta1, <f64>t))));
  const correction2 = splatOnce(<f32>(1 / Math.sqrt(1 - Math.pow(beta2, <f64>t))));
  const epsilon4 = splatOnce(<f32>epsilon);
  const scale4 = splatOnce(<f32>scale);
  const tensors = tensorCount();
  for (let i = 0; i < tensors; i++) {
    selectTensor(i);
    const keep = splatOnce(decays(tensorKind, exclude) ? <f32>(1 - lr * weightDecay) : 1);
    const size = tensorRows * max(tensorColumns, 1);
    let offset = (<usize>tensorOffset) << 2;
    const end = offset + ((<usize>size) << 2);
    for (; offset + STEP <= end; offset += STEP) {
      const gradientAt = gradient + offset,
        mAt = firstMoment + offset,
        vAt = secondMoment + offset;
      const thetaAt = parameters + offset;
      const g0 = f32x4.mul(v128.load(gradientAt), scale4),
        g1 = f32x4.mul(upperHalf(gradientAt), scale4);
      const m0 = average(b1, v128.load(mAt), c1, g0),
        m1 = average(b1, upperHalf(mAt), c1, g1);
      const v0 = average(b2, v128.load(vAt), c2, f32x4.mul(g0, g0));
      const v1 = average(b2, upperHalf(vAt), c2, f32x4.mul(g1, g1));
      const u0 = adamw_update(m0, v0, stepSize, correction2, epsilon4);
      const u1 = adamw_update(m1, v1, stepSize, correction2, epsilon4);
      const theta0 = f32x4.sub(f32x4.mul(v128.load(thetaAt), keep), u0);
      const theta1 = f32x4.sub(f32x4.mul(upperHalf(thetaAt), keep), u1);
      storeHalves(mAt, m0, m1);
      storeHalves(vAt, v0, v1);
      storeHalves(thetaAt, theta0, theta1);
    }
    // The rest is done on lane copies so that the next tensor is not touched.
    for (; offset < end; offset += 16) {
      const lanes = min<usize>(4, (end - offset) >> 2);
      const g = f32x4.mul(v128.load(gradient + offset), scale4);
      const m = average(b1, v128.load(firstMoment + offset), c1, g);
      const v = average(b2, v128.load(secondMoment + offset), c2, f32x4.mul(g, g));
      const update = adamw_update(m, v, stepSize, correction2, epsilon4);
      storeLanes(firstMoment + offset, m, lanes);
      storeLanes(secondMoment + offset, v, lanes);
      storeLanes(
        parameters + offset,
        f32x4.sub(f32x4.mul(v128.load(parameters + offset), keep), update),
        lanes,
      );
    }
  }
}

/** keep x + rest y, each product rounded. */
// @ts-ignore: decorator
@inline
function average(keep: v128, x: v128, rest: v128, y: v128): v128 {
  return f32x4.add(f32x4.mul(keep, x), f32x4.mul(rest, y));
}

/** lr mhat / (sqrt(vhat) + eps). */
// @ts-ignore: decorator
@inline
function adamw_update(m: v128, v: v128, stepSize: v128, correction2: v128, epsilon: v128): v128 {
  return f32x4.div(f32x4.mul(stepSize, m), f32x4.add(f32x4.mul(f32x4.sqrt(v), correction2), epsilon));
}

/** Store the first 1 to 4 lanes of x. */
function storeLanes(to: usize, x: v128, lanes: usize): void {
  if (lanes == 4) return v128.store(to, x);
  store<f32>(to, f32x4.extract_lane(x, 0));
  if (lanes > 1) store<f32>(to, f32x4.extract_lane(x, 1), 4);
  if (lanes > 2) store<f32>(to, f32x4.extract_lane(x, 2), 8);
}

// IVON (Shen et al. 2024, arXiv 2402.17641): a Gaussian posterior N(m, sigma^2), sigma^2 = 1 / (lambda (h + delta)),
// learnt from gradients at samples of it. Between steps `parameters` is m, the first moment is the momentum and the
// second one h. All loops run over whole vectors: the buffers have slack past their end.

/** Start a step: keep the mean aside, forget the sums over samples. */
export function ivon_begin(): void {
  const bytes = (<usize>PARAMETERS) << 2;
  memory.copy(mean, parameters, bytes);
  memory.fill(gradientSum, 0, bytes);
  memory.fill(hessianSum, 0, bytes);
}

/** Back to the mean. */
export function ivon_restore(): void {
  memory.copy(parameters, mean, (<usize>PARAMETERS) << 2);
}

const noise: usize = memory.data(64, 16);

/** theta = m + sigma e, e standard normal of the key (seed, stream) and the counter (element, sample, step). */
export function ivon_sample(lambda: f64, delta: f64, seed: i32, stream: i32, step: i32, sample: i32): void {
  const lambda4 = splatOnce(<f32>lambda),
    delta4 = splatOnce(<f32>delta);
  const end = (<usize>PARAMETERS) << 2;
  for (let offset: usize = 0; offset < end; offset += 64) {
    philox(noise, <i32>(offset >> 6), sample, NOISE, step, seed, stream);
    normals16(noise);
    for (let c: usize = 0; c < 64 && offset + c < end; c += STEP) {
      const e = noise + c,
        h = secondMoment + offset + c,
        m = mean + offset + c;
      const precision0 = f32x4.mul(lambda4, f32x4.add(v128.load(h), delta4));
      const precision1 = f32x4.mul(lambda4, f32x4.add(upperHalf(h), delta4));
      const theta0 = f32x4.add(v128.load(m), f32x4.div(v128.load(e), f32x4.sqrt(precision0)));
      const theta1 = f32x4.add(upperHalf(m), f32x4.div(upperHalf(e), f32x4.sqrt(precision1)));
      storeHalves(parameters + offset + c, theta0, theta1);
    }
  }
}

/** Add the gradient g at the current sample, and its estimate of the Hessian's diagonal, g (theta - m) / sigma^2. */
export function ivon_accumulate(lambda: f64, delta: f64): void {
  const lambda4 = splatOnce(<f32>lambda),
    delta4 = splatOnce(<f32>delta);
  const end = (<usize>PARAMETERS) << 2;
  for (let offset: usize = 0; offset < end; offset += STEP) {
    const gradientAt = gradient + offset,
      hAt = secondMoment + offset;
    const thetaAt = parameters + offset,
      meanAt = mean + offset;
    const g0 = v128.load(gradientAt),
      g1 = upperHalf(gradientAt);
    const precision0 = f32x4.mul(lambda4, f32x4.add(v128.load(hAt), delta4));
    const precision1 = f32x4.mul(lambda4, f32x4.add(upperHalf(hAt), delta4));
    const deviation0 = f32x4.sub(v128.load(thetaAt), v128.load(meanAt));
    const deviation1 = f32x4.sub(upperHalf(thetaAt), upperHalf(meanAt));
    addAt(gradientSum + offset, g0, g1);
    addAt(
      hessianSum + offset,
      f32x4.mul(f32x4.mul(g0, deviation0), precision0),
      f32x4.mul(f32x4.mul(g1, deviation1), precision1),
    );
  }
}

// @ts-ignore: decorator
@inline
function addAt(at: usize, low: v128, high: v128): void {
  const x0 = v128.load(at),
    x1 = upperHalf(at);
  storeHalves(at, f32x4.add(x0, low), f32x4.add(x1, high));
}

/**
 * One step from the means hhat and g over `samples` samples, t counted from 1:
 *   h <- h + (1 - b2)(hhat - h) + (1 - b2)^2 (hhat - h)^2 / (2 (h + delta));  gbar <- b1 gbar + (1 - b1) g;
 *   m <- m - lr clip((gbar / (1 - b1^t) + delta m) / (h + delta)),  each element clipped to [-clip, clip].
 */
export function ivon_step(
  t: i32,
  lr: f64,
  delta: f64,
  beta1: f64,
  beta2: f64,
  samples: i32,
  clip: f64,
): void {
  const inverseSamples = splatOnce(<f32>(1 / <f64>samples));
  const b1 = splatOnce(<f32>beta1),
    c1 = splatOnce(<f32>(1 - beta1));
  const c2 = splatOnce(<f32>(1 - beta2));
  const half = splatOnce(0.5);
  const delta4 = splatOnce(<f32>delta);
  const debias = splatOnce(<f32>(1 / (1 - Math.pow(beta1, <f64>t))));
  const minusRate = splatOnce(<f32>-lr);
  const highest = splatOnce(<f32>clip),
    lowest = splatOnce(<f32>-clip);
  const end = (<usize>PARAMETERS) << 2;
  for (let offset: usize = 0; offset < end; offset += STEP) {
    const hAt = secondMoment + offset,
      momentumAt = firstMoment + offset,
      meanAt = mean + offset;
    const hessianAt = hessianSum + offset,
      gradientAt = gradientSum + offset;
    const estimate0 = f32x4.mul(v128.load(hessianAt), inverseSamples);
    const estimate1 = f32x4.mul(upperHalf(hessianAt), inverseSamples);
    const h0 = ivon_hessian(v128.load(hAt), estimate0, c2, half, delta4);
    const h1 = ivon_hessian(upperHalf(hAt), estimate1, c2, half, delta4);
    const g0 = f32x4.mul(v128.load(gradientAt), inverseSamples),
      g1 = f32x4.mul(upperHalf(gradientAt), inverseSamples);
    const momentum0 = madd(b1, v128.load(momentumAt), f32x4.mul(c1, g0));
    const momentum1 = madd(b1, upperHalf(momentumAt), f32x4.mul(c1, g1));
    const m0 = v128.load(meanAt),
      m1 = upperHalf(meanAt);
    const direction0 = f32x4.div(madd(delta4, m0, f32x4.mul(momentum0, debias)), f32x4.add(h0, delta4));
    const direction1 = f32x4.div(madd(delta4, m1, f32x4.mul(momentum1, debias)), f32x4.add(h1, delta4));
    const clipped0 = f32x4.pmin(f32x4.pmax(direction0, lowest), highest);
    const clipped1 = f32x4.pmin(f32x4.pmax(direction1, lowest), highest);
    storeHalves(hAt, h0, h1);
    storeHalves(momentumAt, momentum0, momentum1);
    storeHalves(parameters + offset, madd(minusRate, clipped0, m0), madd(minusRate, clipped1, m1));
  }
}

/** h after a step, from the samples' mean estimate. */
// @ts-ignore: decorator
@inline
function ivon_hessian(h: v128, estimate: v128, c2: v128, half: v128, delta: v128): v128 {
  const change = f32x4.mul(c2, f32x4.sub(estimate, h));
  const square = f32x4.div(f32x4.mul(half, f32x4.mul(change, change)), f32x4.add(h, delta));
  return f32x4.add(h, f32x4.add(change, square));
}
