// The exports: numbers and addresses only. TypeScript (src/core) plans the layout, refuses what does not fit, grows
// memory once, writes inputs into it and calls these.
import * as layout from "./layout";
import { gemm, gemmNaive, packB, PACKED_A_FLOATS } from "./gemm";
import { NR } from "./kernels/shape";
import { adamw_step, ivon_accumulate, ivon_begin, ivon_restore, ivon_sample, ivon_step } from "./optimizers";
import {
  elbo_begin,
  elbo_factor,
  elbo_inputs,
  elbo_labels,
  elbo_mean,
  elbo_measure,
  elbo_measures,
  elbo_plan,
  elbo_step,
  elbo_stride,
  elbo_teacher,
} from "./linear_elbo";
import { normals16, philox_blocks } from "./random";
import { addTo, squaredNorm } from "./rows";
import { activation_backward, activation_forward } from "./layers/activation";
import { exp4, madd1, tanh4 } from "./simd";
import { softmax_forward } from "./layers/crossentropy";
import { dropout_select, dropout_sequence } from "./layers/dropout";
import { logit_root_column, logit_root_signs } from "./layers/logit_root";
import { kronecker_backward, kronecker_clear, kronecker_forward } from "./kronecker";
import { squares_backward, squares_clear } from "./squares";
import { Q, predictions } from "./micro_batch";
import { tangent } from "./tangent";
import {
  backward,
  forward,
  forward_backward,
  forward_jvp,
  ggn_vector,
  hessian_vector,
  initialise,
  pack_direction,
  pack_weights,
} from "./transformer";

export { adamw_step as adamwStep };
export {
  ivon_accumulate as ivonAccumulate,
  ivon_begin as ivonBegin,
  ivon_restore as ivonRestore,
  ivon_sample as ivonSample,
  ivon_step as ivonStep,
};
export { dropout_select as selectDropout, dropout_sequence as setFirstSequence };
export {
  elbo_begin as elboBegin,
  elbo_factor as elboFactor,
  elbo_inputs as elboInputs,
  elbo_labels as elboLabels,
  elbo_mean as elboMean,
  elbo_measure as elboMeasure,
  elbo_measures as elboMeasures,
  elbo_plan as elboPlan,
  elbo_step as elboStep,
  elbo_stride as elboStride,
  elbo_teacher as elboTeacher,
};
export { forward, forward_backward as forwardBackward, initialise, pack_weights as packWeights };
export {
  forward_jvp as forwardJvp,
  ggn_vector as ggnVector,
  hessian_vector as hessianVector,
  pack_direction as packDirection,
};
export {
  kronecker_backward as kroneckerBackward,
  kronecker_clear as kroneckerClear,
  kronecker_forward as kroneckerForward,
};
export { squares_backward as squaresBackward, squares_clear as squaresClear };
/** The model, to be written before `plan`. */
export {
  ACTIVATION as activation,
  CURVATURE as curvature,
  D as dModel,
  F as dMlp,
  H as nHeads,
  IVON as ivon,
  GRADIENTS as gradients,
  KRONECKER as kronecker,
  L as nLayers,
  MOMENTS as moments,
  NCTX as nCtx,
  NT as microBatchTokens,
  ROLES as roles,
  TIED as tiedEmbeddings,
  V as dVocab,
} from "./layout";
export { plan, selectTensor, tensorCount } from "./layout";

export function grow(bytes: f64): bool {
  const pages = <i32>Math.ceil(bytes / 65536) - memory.size();
  return pages <= 0 || memory.grow(pages) >= 0;
}

export function parameterCount(): i32 {
  return layout.PARAMETERS;
}
export function tensorKind(): i32 {
  return layout.tensorKind;
}
export function tensorBlock(): i32 {
  return layout.tensorBlock;
}
export function tensorOffset(): i32 {
  return layout.tensorOffset;
}
export function tensorRows(): i32 {
  return layout.tensorRows;
}
export function tensorColumns(): i32 {
  return layout.tensorColumns;
}

export function parametersPointer(): usize {
  return layout.parameters;
}
export function gradientPointer(): usize {
  return layout.gradient;
}
export function firstMomentPointer(): usize {
  return layout.firstMoment;
}
export function secondMomentPointer(): usize {
  return layout.secondMoment;
}
export function tokensPointer(): usize {
  return layout.tokens;
}
export function positionsPointer(): usize {
  return layout.positions;
}
export function targetsPointer(): usize {
  return layout.targets;
}
export function logitsPointer(): usize {
  return layout.logits;
}
export function logitsStride(): i32 {
  return layout.VS;
}
/** (rows, D) input of the unembedding after `forward`. */
export function featuresPointer(): usize {
  return layout.finalLn;
}
export function factorsPointer(): usize {
  return layout.factors;
}
export function squaresPointer(): usize {
  return layout.squares;
}
export function factorsLength(): i32 {
  return layout.FACTORS;
}
/** The direction v of the second-order products, and J v after `forwardJvp`. */
export function directionPointer(): usize {
  return tangent(layout.parameters);
}
export function logitsTangentPointer(): usize {
  return tangent(layout.logits);
}

/** `gradient` += the gradient of sum(cotangent x logits), the cotangent having been written over the logits. */
export function backwardLogits(): void {
  backward(layout.logits, false);
}

export function zeroGradient(): void {
  memory.fill(layout.gradient, 0, (<usize>layout.PARAMETERS) << 2);
}

/** gradientTotal = 0. */
export function clearTotal(): void {
  memory.fill(layout.gradientTotal, 0, (<usize>layout.PARAMETERS) << 2);
}

/** gradientTotal += gradient. */
export function addToTotal(): void {
  addTo(layout.gradientTotal, layout.gradient, layout.PARAMETERS);
}

/** gradient = gradientTotal. */
export function totalToGradient(): void {
  memory.copy(layout.gradient, layout.gradientTotal, (<usize>layout.PARAMETERS) << 2);
}

export function gradientSquaredNorm(): f64 {
  return squaredNorm(layout.gradient, layout.PARAMETERS);
}

/** Turn the `rows` rows of logits into probabilities in place. */
export function softmax(rows: i32): void {
  softmax_forward(layout.logits, rows);
}

/** dLogits of the micro-batch's probabilities, for `kroneckerBackward` or `squaresBackward`. */
export function logitRootColumn(position: i32, c: i32): void {
  logit_root_column(layout.logits, Q, predictions, position, c);
}
export function logitRootSigns(seed: i32, stream: i32, probe: i32, first: i32, weight: f32): void {
  logit_root_signs(layout.logits, Q, seed, stream, probe, first, weight);
}

// ---- entry points of tests and benchmarks: operate on addresses the caller lays out itself ----------------------
export function heapBase(): usize {
  return __heap_base;
}
export function packedAFloats(): i32 {
  return PACKED_A_FLOATS;
}
/** B is packed in panels of so many columns: space for k (n + this) floats is enough. */
export function panelColumns(): i32 {
  return NR;
}
/** Of the activation planned. */
export { activation_backward as activationBackward, activation_forward as activationForward };
export { gemm, gemmNaive, normals16, packB, philox_blocks as philox };

export function exp(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}
export function tanh(x: f32): f32 {
  return f32x4.extract_lane(tanh4(f32x4.splat(x)), 0);
}
/** Tells the builds apart: a b + c rounded once (fast) or twice (strict). */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 {
  return madd1(a, b, c);
}
export { ceiling, ceilingFlops, ceilingUnrolled } from "./ceiling";
