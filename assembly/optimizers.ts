// Optimiser updates over flat parameter vectors.
import {
  LM_HEAD, LN1_BIAS, LN1_WEIGHT, LN2_BIAS, LN2_WEIGHT, LNF_BIAS, LNF_WEIGHT, WRE, WTE, firstMoment, gradient,
  parameters, secondMoment, selectTensor, tensorColumns, tensorCount, tensorKind, tensorOffset, tensorRows,
} from "./layout";

/** Parameter groups that weight decay can leave out, as bits of a mask. */
const EXCLUDE_LAYER_NORM: i32 = 1;
const EXCLUDE_EMBEDDINGS: i32 = 2;

function decays(kind: i32, exclude: i32): bool {
  if (kind == WTE || kind == WRE || kind == LM_HEAD) return (exclude & EXCLUDE_EMBEDDINGS) == 0;
  if (
    kind == LN1_WEIGHT || kind == LN1_BIAS || kind == LN2_WEIGHT || kind == LN2_BIAS || kind == LNF_WEIGHT ||
    kind == LNF_BIAS
  ) return (exclude & EXCLUDE_LAYER_NORM) == 0;
  return true;
}

/**
 * One AdamW step (Loshchilov & Hutter, arXiv 1711.05101; PyTorch's form), t counted from 1:
 *   theta <- (1 - lr wd) theta;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
 *   theta <- theta - lr m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + eps),   g = scale x gradient.
 */
export function adamw_step(
  t: i32, lr: f64, weightDecay: f64, beta1: f64, beta2: f64, epsilon: f64, scale: f64, exclude: i32,
): void {
  const b1 = f32x4.splat(<f32>beta1), c1 = f32x4.splat(<f32>(1 - beta1));
  const b2 = f32x4.splat(<f32>beta2), c2 = f32x4.splat(<f32>(1 - beta2));
  const stepSize = f32x4.splat(<f32>(lr / (1 - Math.pow(beta1, <f64>t))));
  const correction2 = f32x4.splat(<f32>(1 / Math.sqrt(1 - Math.pow(beta2, <f64>t))));
  const epsilon4 = f32x4.splat(<f32>epsilon);
  const scale4 = f32x4.splat(<f32>scale);
  const tensors = tensorCount();
  for (let i = 0; i < tensors; i++) {
    selectTensor(i);
    const keep = f32x4.splat(decays(tensorKind, exclude) ? <f32>(1 - lr * weightDecay) : 1);
    const size = tensorRows * max(tensorColumns, 1);
    let offset = <usize>tensorOffset << 2;
    const end = offset + (<usize>size << 2);
    // The last vector is done on lane copies so that the next tensor is not touched.
    while (offset < end) {
      const lanes = min<usize>(4, (end - offset) >> 2);
      const g = f32x4.mul(v128.load(gradient + offset), scale4);
      const m = f32x4.add(f32x4.mul(b1, v128.load(firstMoment + offset)), f32x4.mul(c1, g));
      const v = f32x4.add(f32x4.mul(b2, v128.load(secondMoment + offset)), f32x4.mul(c2, f32x4.mul(g, g)));
      const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(v), correction2), epsilon4);
      const update = f32x4.div(f32x4.mul(stepSize, m), denominator);
      const theta = f32x4.sub(f32x4.mul(v128.load(parameters + offset), keep), update);
      if (lanes == 4) {
        v128.store(firstMoment + offset, m);
        v128.store(secondMoment + offset, v);
        v128.store(parameters + offset, theta);
      } else {
        storeLanes(firstMoment + offset, m, lanes);
        storeLanes(secondMoment + offset, v, lanes);
        storeLanes(parameters + offset, theta, lanes);
      }
      offset += 16;
    }
  }
}

/** Store the first 1 to 3 lanes of x. */
function storeLanes(to: usize, x: v128, lanes: usize): void {
  store<f32>(to, f32x4.extract_lane(x, 0));
  if (lanes > 1) store<f32>(to, f32x4.extract_lane(x, 1), 4);
  if (lanes > 2) store<f32>(to, f32x4.extract_lane(x, 2), 8);
}
