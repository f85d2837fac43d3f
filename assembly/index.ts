// The exports: numbers and addresses only. TypeScript (src/core) plans the layout, refuses what does not fit, grows
// memory once, writes inputs into it and calls these.
import * as layout from "./layout";
import { gemm, gemmNaive, packB, PACKED_A_FLOATS } from "./gemm";
import { adamw_step } from "./optimizers";
import { squaredNorm } from "./rows";
import { exp4, madd, madd1, tanh4 } from "./simd";
import { softmax_forward } from "./layers/crossentropy";
import { forward, forward_backward, initialise, pack_weights } from "./transformer";

export { adamw_step as adamwStep };
export { forward, forward_backward as forwardBackward, initialise, pack_weights as packWeights };
export { plan, selectTensor, tensorCount } from "./layout";

export function grow(bytes: f64): bool {
  const pages = <i32>Math.ceil(bytes / 65536) - memory.size();
  return pages <= 0 || memory.grow(pages) >= 0;
}

export function parameterCount(): i32 { return layout.PARAMETERS; }
export function tensorKind(): i32 { return layout.tensorKind; }
export function tensorBlock(): i32 { return layout.tensorBlock; }
export function tensorOffset(): i32 { return layout.tensorOffset; }
export function tensorRows(): i32 { return layout.tensorRows; }
export function tensorColumns(): i32 { return layout.tensorColumns; }

export function parametersPointer(): usize { return layout.parameters; }
export function gradientPointer(): usize { return layout.gradient; }
export function firstMomentPointer(): usize { return layout.firstMoment; }
export function secondMomentPointer(): usize { return layout.secondMoment; }
export function tokensPointer(): usize { return layout.tokens; }
export function positionsPointer(): usize { return layout.positions; }
export function targetsPointer(): usize { return layout.targets; }
export function logitsPointer(): usize { return layout.logits; }
export function logitsStride(): i32 { return layout.VS; }

export function zeroGradient(): void {
  memory.fill(layout.gradient, 0, <usize>layout.PARAMETERS << 2);
}

export function gradientSquaredNorm(): f64 {
  return squaredNorm(layout.gradient, layout.PARAMETERS);
}

/** Turn the `rows` rows of logits into probabilities in place. */
export function softmax(rows: i32): void {
  softmax_forward(layout.logits, rows);
}

// ---- entry points of tests and benchmarks: operate on addresses the caller lays out itself ----------------------
export function heapBase(): usize { return __heap_base; }
export function packedAFloats(): i32 { return PACKED_A_FLOATS; }
export { gemm, gemmNaive, packB };

export function exp(x: f32): f32 { return f32x4.extract_lane(exp4(f32x4.splat(x)), 0); }
export function tanh(x: f32): f32 { return f32x4.extract_lane(tanh4(f32x4.splat(x)), 0); }
/** Tells the builds apart: a b + c rounded once (fast) or twice (strict). */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 { return madd1(a, b, c); }

/** Independent chains of `ceiling`. A multiply and an add take about 6 cycles in sequence, two of each start a cycle. */
const CEILING_CHAINS: i32 = 12;
export function ceilingChains(): i32 { return CEILING_CHAINS; }

/** Multiply-adds on registers only, CEILING_CHAINS chains of `n` each: the most this build can do on this machine. */
export function ceiling(n: i32): f32 {
  const a = f32x4.splat(0.999), b = f32x4.splat(0.001);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(1);
  let s2 = f32x4.splat(2);
  let s3 = f32x4.splat(3);
  let s4 = f32x4.splat(4);
  let s5 = f32x4.splat(5);
  let s6 = f32x4.splat(6);
  let s7 = f32x4.splat(7);
  let s8 = f32x4.splat(8);
  let s9 = f32x4.splat(9);
  let sa = f32x4.splat(10);
  let sb = f32x4.splat(11);
  for (let i = 0; i < n; i++) {
    s0 = madd(s0, a, b);
    s1 = madd(s1, a, b);
    s2 = madd(s2, a, b);
    s3 = madd(s3, a, b);
    s4 = madd(s4, a, b);
    s5 = madd(s5, a, b);
    s6 = madd(s6, a, b);
    s7 = madd(s7, a, b);
    s8 = madd(s8, a, b);
    s9 = madd(s9, a, b);
    sa = madd(sa, a, b);
    sb = madd(sb, a, b);
  }
  let sum = s0;
  sum = f32x4.add(sum, s1);
  sum = f32x4.add(sum, s2);
  sum = f32x4.add(sum, s3);
  sum = f32x4.add(sum, s4);
  sum = f32x4.add(sum, s5);
  sum = f32x4.add(sum, s6);
  sum = f32x4.add(sum, s7);
  sum = f32x4.add(sum, s8);
  sum = f32x4.add(sum, s9);
  sum = f32x4.add(sum, sa);
  sum = f32x4.add(sum, sb);
  return f32x4.extract_lane(sum, 0);
}
