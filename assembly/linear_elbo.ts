// Bayesian linear regression y = X w + noise with posterior N(m, C), by plain gradient descent on the negative ELBO
// times sig2/N:
//
//   |y - X m|^2/2N + tr(SC)/2 + (gam/2)(|m|^2 + tr C) - (tau/2) log det C,   S = X'X/N, tau = sig2/N, C = R R'.
//
// Gradients: -X'(y - X m)/N + gam m for the mean and (S + gam I) R - tau (R')^-1 for the factor. R is any square
// matrix, or a diagonal one (mean field). The full factor costs products of (d, d) matrices only: its inverse follows R
// by Newton-Schulz iterations, each of which squares the defect I - R'Y, from the inverse of the step before.
//
// Vectors over d and rows of matrices have the stride LD = d rounded up to 4; what is beyond d stays 0.
import { gemm, packB, packedSize, PACKED_A_FLOATS } from "./gemm";
import { madd, splatOnce } from "./simd";

/** How sig2 is set in a step. */
const RESIDUAL: i32 = 1;
const ELBO: i32 = 2;

/** |I - R'Y|_F^2 before the iteration that ends the inversion; afterwards no mode of the inverse is off by more. */
const SMALL_DEFECT: f64 = 1e-5;
/**
 * Where rounding, which grows with the condition number of R, keeps it from falling that far, the mean square over the D
 * modes that still counts as an inverse.
 */
const ROUNDED_DEFECT: f64 = 1e-4;
const MAX_ITERATIONS: i32 = 60;

let D: i32 = 0,
  N: i32 = 0,
  LD: i32 = 0;
let FULL: bool = false;
/** Floats of the factor: D rows of LD, or one. */
let FACTOR: i32 = 0;

let inputs: usize = 0,
  labels: usize = 0,
  teacher: usize = 0,
  mean: usize = 0,
  factor: usize = 0;
let residuals: usize = 0,
  descent: usize = 0,
  error: usize = 0;
/** S (D, LD), or its diagonal; S R; Y, which tends to (R')^-1; 2I - R'Y; where the next Y is formed. */
let gram: usize = 0,
  gramFactor: usize = 0,
  inverse: usize = 0,
  defect: usize = 0,
  spare: usize = 0;
let packed: usize = 0,
  scratch: usize = 0;

/** G, T, R, V, VS of the last `elbo_measure`. */
const measures: usize = memory.data(5 * 8, 8);

let cursor: f64 = 0;
function reserve(floats: f64): usize {
  const at = cursor;
  cursor += Math.ceil((floats * 4) / 64) * 64;
  return <usize>at;
}

/** Lay out a problem with n points in d dimensions. Returns the end of the memory it needs, in bytes. */
export function elbo_plan(d: i32, n: i32, full: bool): f64 {
  D = d;
  N = n;
  LD = (d + 3) & ~3;
  FULL = full;
  const floats = full ? <f64>D * <f64>LD : <f64>LD;
  FACTOR = <i32>floats;
  cursor = <f64>((__heap_base + 63) & ~63);
  inputs = reserve(<f64>n * <f64>LD);
  labels = reserve(n);
  residuals = reserve(n);
  teacher = reserve(LD);
  mean = reserve(LD);
  descent = reserve(LD);
  error = reserve(LD);
  factor = reserve(floats);
  gram = reserve(floats);
  gramFactor = reserve(floats);
  inverse = reserve(floats);
  if (full) {
    defect = reserve(floats);
    spare = reserve(floats);
    packed = reserve(<f64>max(d, n) * <f64>packedSize(1, d));
    scratch = reserve(PACKED_A_FLOATS);
  }
  return cursor;
}

export function elbo_stride(): i32 {
  return LD;
}
/** (N, LD) */
export function elbo_inputs(): usize {
  return inputs;
}
/** (N) */
export function elbo_labels(): usize {
  return labels;
}
/** (LD): the teacher, for the errors only. */
export function elbo_teacher(): usize {
  return teacher;
}
/** (LD) */
export function elbo_mean(): usize {
  return mean;
}
/** (D, LD), or (LD) standard deviations. */
export function elbo_factor(): usize {
  return factor;
}
/** 5 float64: G, T, R, V, VS. */
export function elbo_measures(): usize {
  return measures;
}

/** Sum of x y over n floats, n a multiple of 4, in float64. */
function dot(x: usize, y: usize, n: i32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const end = x + ((<usize>n) << 2);
  while (x < end) {
    const a = v128.load(x);
    const b = v128.load(y);
    const aHigh = i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    const bHigh = i8x16.shuffle(b, b, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    low = f64x2.add(low, f64x2.mul(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b)));
    high = f64x2.add(high, f64x2.mul(f64x2.promote_low_f32x4(aHigh), f64x2.promote_low_f32x4(bHigh)));
    x += 16;
    y += 16;
  }
  const sum = f64x2.add(low, high);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** y += a x over n floats, n a multiple of 4. */
function axpy(y: usize, a: f32, x: usize, n: i32): void {
  const a4 = splatOnce(a);
  const end = x + ((<usize>n) << 2);
  while (x < end) {
    v128.store(y, madd(a4, v128.load(x), v128.load(y)));
    x += 16;
    y += 16;
  }
}

// @ts-ignore: decorator
@inline
function row(matrix: usize, i: i32): usize {
  return matrix + ((<usize>i * <usize>LD) << 2);
}

// @ts-ignore: decorator
@inline
function addToDiagonal(matrix: usize, value: f32): void {
  for (let i = 0; i < D; i++) {
    const at = row(matrix, i) + ((<usize>i) << 2);
    store<f32>(at, load<f32>(at) + value);
  }
}

/** Form S. Call once inputs, labels, teacher, mean and factor are in place; the factor has to be regular. */
export function elbo_begin(): void {
  if (FULL) {
    packB(packed, inputs, N, D, LD, 1);
    gemm(D, D, N, inputs, 1, LD, packed, gram, LD, false, scratch);
    const scale = splatOnce(1 / <f32>N);
    for (let i: usize = 0, bytes = (<usize>FACTOR) << 2; i < bytes; i += 16) {
      v128.store(gram + i, f32x4.mul(v128.load(gram + i), scale));
    }
    startInverse();
  } else {
    for (let j = 0; j < D; j++) {
      const offset = (<usize>j) << 2;
      let sum: f64 = 0;
      for (let n = 0; n < N; n++) {
        const x = <f64>load<f32>(row(inputs, n) + offset);
        sum += x * x;
      }
      store<f32>(gram + offset, <f32>(sum / <f64>N));
    }
  }
}

/** residuals = y - X m; their mean square. */
function fit(): f64 {
  let sum: f64 = 0;
  for (let n = 0; n < N; n++) {
    const at = (<usize>n) << 2;
    const r = <f64>load<f32>(labels + at) - dot(row(inputs, n), mean, LD);
    store<f32>(residuals + at, <f32>r);
    sum += r * r;
  }
  return sum / <f64>N;
}

/** gramFactor = S R; returns tr SC = <S R, R>. */
function spreadAtInputs(): f64 {
  if (FULL) {
    packB(packed, factor, D, D, LD, 1);
    gemm(D, D, D, gram, LD, 1, packed, gramFactor, LD, false, scratch);
  } else {
    for (let i: usize = 0, bytes = (<usize>LD) << 2; i < bytes; i += 16) {
      v128.store(gramFactor + i, f32x4.mul(v128.load(gram + i), v128.load(factor + i)));
    }
  }
  return dot(gramFactor, factor, FACTOR);
}

/** Y = R / (|R|_1 |R|_inf), from which the iterations converge for every regular R. */
function startInverse(): void {
  let largestRow: f64 = 0,
    largestColumn: f64 = 0;
  for (let i = 0; i < D; i++) {
    let acrossRow: f64 = 0,
      downColumn: f64 = 0;
    for (let j = 0; j < D; j++) {
      acrossRow += <f64>abs(load<f32>(row(factor, i) + ((<usize>j) << 2)));
      downColumn += <f64>abs(load<f32>(row(factor, j) + ((<usize>i) << 2)));
    }
    largestRow = max(largestRow, acrossRow);
    largestColumn = max(largestColumn, downColumn);
  }
  memory.fill(inverse, 0, (<usize>FACTOR) << 2);
  axpy(inverse, <f32>(1 / (largestRow * largestColumn)), factor, FACTOR);
}

/** defect = 2I - R'Y; returns |I - R'Y|_F^2. */
function inverseDefect(): f64 {
  packB(packed, inverse, D, D, LD, 1);
  gemm(D, D, D, factor, 1, LD, packed, defect, LD, false, scratch);
  for (let i: usize = 0, bytes = (<usize>FACTOR) << 2; i < bytes; i += 16) {
    v128.store(defect + i, f32x4.neg(v128.load(defect + i)));
  }
  addToDiagonal(defect, 1);
  const square = dot(defect, defect, FACTOR);
  addToDiagonal(defect, 1);
  return square;
}

/** Bring `inverse` to (R')^-1. False if float32 does not get there: R is too close to a singular matrix. */
function invert(): bool {
  if (!FULL) {
    for (let j = 0; j < D; j++) {
      const at = (<usize>j) << 2;
      store<f32>(inverse + at, 1 / load<f32>(factor + at));
    }
    return true;
  }
  // |I - R'Y|_F^2 is below D if the iterations contract in every direction. If they do not, it grows sooner or later.
  let previousSquare = <f64>D;
  const rounded = ROUNDED_DEFECT * <f64>D;
  let restarted = false;
  for (let i = 0; i < MAX_ITERATIONS; i++) {
    let square = inverseDefect();
    const stalled = square >= previousSquare;
    if (stalled && square >= rounded && !restarted) {
      restarted = true;
      startInverse();
      square = inverseDefect();
    }
    previousSquare = square;
    packB(packed, defect, D, D, LD, 1);
    gemm(D, D, D, inverse, LD, 1, packed, spare, LD, false, scratch);
    const previous = inverse;
    inverse = spare;
    spare = previous;
    if (square < SMALL_DEFECT || (stalled && square < rounded)) return true;
  }
  return false;
}

/**
 * One step of size eta. `noise`: 0 for sig2 as given, 1 for the mean squared residual, 2 for that plus tr SC. `prior`
 * is gam / sig2. Returns false, with the state unchanged, if the factor could not be inverted.
 */
export function elbo_step(eta: f64, noise: i32, sig2: f64, prior: f64): bool {
  const residual = fit();
  const spread = spreadAtInputs();
  if (noise == RESIDUAL) sig2 = residual;
  else if (noise == ELBO) sig2 = residual + spread;
  if (sig2 > 0 && !invert()) return false;

  memory.fill(descent, 0, (<usize>LD) << 2);
  for (let n = 0; n < N; n++) axpy(descent, load<f32>(residuals + ((<usize>n) << 2)), row(inputs, n), LD);
  const perPoint = splatOnce(1 / <f32>N);
  const step = splatOnce(<f32>eta);
  const gam = splatOnce(-(<f32>(prior * sig2)));
  for (let i: usize = 0, bytes = (<usize>LD) << 2; i < bytes; i += 16) {
    const m = v128.load(mean + i);
    const down = madd(gam, m, f32x4.mul(perPoint, v128.load(descent + i)));
    v128.store(mean + i, madd(step, down, m));
  }
  const tau = splatOnce(<f32>(sig2 / <f64>N));
  for (let i: usize = 0, bytes = (<usize>FACTOR) << 2; i < bytes; i += 16) {
    const r = v128.load(factor + i);
    const down = madd(gam, r, madd(tau, v128.load(inverse + i), f32x4.neg(v128.load(gramFactor + i))));
    v128.store(factor + i, madd(step, down, r));
  }
  return true;
}

/** Fill `measures`: G = |m - w*|^2, T = |X(m - w*)|^2/N, R = |y - Xm|^2/N, V = tr C, VS = tr SC. */
export function elbo_measure(): void {
  const residual = fit();
  memory.copy(error, mean, (<usize>LD) << 2);
  axpy(error, -1, teacher, LD);
  let train: f64 = 0;
  for (let n = 0; n < N; n++) {
    const e = dot(row(inputs, n), error, LD);
    train += e * e;
  }
  store<f64>(measures, dot(error, error, LD), 0);
  store<f64>(measures, train / <f64>N, 8);
  store<f64>(measures, residual, 16);
  store<f64>(measures, dot(factor, factor, FACTOR), 24);
  store<f64>(measures, spreadAtInputs(), 32);
}
