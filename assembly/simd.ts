// Vector primitives. Every multiply-add of the core goes through `madd`, the one place where the two builds differ:
// fused (one rounding) in the fast build, multiply then add (two roundings, the same on every CPU) in the strict one.
//
// Minima and maxima are f32x4.pmin and pmax, one x64 instruction where min and max take eight for NaN and -0:
// pmax(x, bound) is x where x is NaN.

// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** Scalar twin of `madd`, computed in a vector lane so that both round alike. */
// @ts-ignore: decorator
@inline
export function madd1(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

// Elementwise loops of the wide builds take two vectors a round, lower and upper half of what V8 merges into one register of
// twice the width: both are loaded, then both are stored, and nothing else is stored between. In the narrow builds what is
// computed of the upper half is never used and leaves no code.

/** Floats of a round. */
export const LANES: i32 = WIDE ? 8 : 4;
/** Their bytes. */
export const STEP: usize = LANES * 4;

// @ts-ignore: decorator
@inline
export function upperHalf(at: usize): v128 {
  return WIDE ? v128.load(at, 16) : f32x4.splat(0);
}

/** V8 looks for pairs of stores from the higher address down. */
// @ts-ignore: decorator
@inline
export function storeHalves(at: usize, low: v128, high: v128): void {
  if (WIDE) v128.store(at, high, 16);
  v128.store(at, low);
}

/** sum + low, then + high: in the order of the narrow builds, so that all give the same bytes. */
// @ts-ignore: decorator
@inline
export function addHalves(sum: v128, low: v128, high: v128): v128 {
  sum = f32x4.add(sum, low);
  return WIDE ? f32x4.add(sum, high) : sum;
}

/** a0 b0 + sum, then a1 b1 +, in the same order. */
// @ts-ignore: decorator
@inline
export function maddHalves(a0: v128, b0: v128, a1: v128, b1: v128, sum: v128): v128 {
  sum = madd(a0, b0, sum);
  return WIDE ? madd(a1, b1, sum) : sum;
}

const slot: usize = memory.data(16, 16);

/**
 * x in every lane, for a loop that follows: by way of memory, because V8 moves arithmetic whose result only a loop uses
 * into the loop, to be done again in every round, but leaves a load where it is.
 */
// @ts-ignore: decorator
@inline
export function splatOnce(x: f32): v128 {
  store<f32>(slot, x);
  return v128.load32_splat(slot);
}

// @ts-ignore: decorator
@inline
export function horizontalSum(x: v128): f32 {
  const pairs = f32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

// @ts-ignore: decorator
@inline
export function horizontalMax(x: v128): f32 {
  const pairs = f32x4.pmax(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(
    f32x4.pmax(pairs, i8x16.shuffle(pairs, pairs, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)),
    0,
  );
}

// Constants of exp4, each in four lanes: V8 builds a constant vector anew at every use, through general registers; loading
// it is cheaper. Halves of wide registers can only be filled alike from one lane.
// @ts-ignore: decorator
@inline
function constant(at: usize): v128 {
  return WIDE ? v128.load32_splat(at) : v128.load(at);
}
const LOWEST: usize = memory.data<f32>([-87.3, -87.3, -87.3, -87.3], 16);
const HIGHEST: usize = memory.data<f32>([88.0, 88.0, 88.0, 88.0], 16);
const LOG2E: usize = memory.data<f32>(
  [1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341],
  16,
);
const MAGIC: usize = memory.data<f32>([12582912.0, 12582912.0, 12582912.0, 12582912.0], 16);
const MINUS_LN2_HIGH: usize = memory.data<f32>([-0.693359375, -0.693359375, -0.693359375, -0.693359375], 16);
const MINUS_LN2_LOW: usize = memory.data<f32>([2.1219444e-4, 2.1219444e-4, 2.1219444e-4, 2.1219444e-4], 16);
const EXP_6: usize = memory.data<f32>([1.98756915e-4, 1.98756915e-4, 1.98756915e-4, 1.98756915e-4], 16);
const EXP_5: usize = memory.data<f32>(
  [1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3],
  16,
);
const EXP_4: usize = memory.data<f32>(
  [8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3],
  16,
);
const EXP_3: usize = memory.data<f32>(
  [4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2],
  16,
);
const EXP_2: usize = memory.data<f32>(
  [1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1],
  16,
);
const EXP_1: usize = memory.data<f32>(
  [5.0000001201e-1, 5.0000001201e-1, 5.0000001201e-1, 5.0000001201e-1],
  16,
);
const ONE: usize = memory.data<f32>([1.0, 1.0, 1.0, 1.0], 16);

/**
 * e^x in each lane: 2^n * e^r with |r| <= ln2/2 and a degree-6 Taylor-minimax polynomial (Cephes coefficients).
 * Below -87.3 (where float32 turns subnormal) the result is exactly 0; above 88 it saturates at e^88. NaN stays NaN.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const lowest = constant(LOWEST);
  const clamped = f32x4.pmin(f32x4.pmax(x, lowest), constant(HIGHEST));
  // Adding 1.5 2^23 rounds to an integer n and leaves it in the lowest bits, to be shifted into the exponent.
  const magic = constant(MAGIC);
  const rounded = madd(clamped, constant(LOG2E), magic);
  const n = f32x4.sub(rounded, magic);
  let r = madd(n, constant(MINUS_LN2_HIGH), clamped);
  r = madd(n, constant(MINUS_LN2_LOW), r);
  let y = constant(EXP_6);
  y = madd(y, r, constant(EXP_5));
  y = madd(y, r, constant(EXP_4));
  y = madd(y, r, constant(EXP_3));
  y = madd(y, r, constant(EXP_2));
  y = madd(y, r, constant(EXP_1));
  const one = constant(ONE);
  y = f32x4.add(madd(y, f32x4.mul(r, r), r), one);
  const power = i32x4.add(i32x4.shl(rounded, 23), one);
  return v128.andnot(f32x4.mul(y, power), f32x4.lt(x, lowest));
}

/** tanh x in each lane: odd polynomial below 0.625 (Cephes coefficients), 1 - 2/(e^2|x| + 1) above. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  const z = f32x4.mul(x, x);
  let p = f32x4.splat(-5.70498872745e-3);
  p = madd(p, z, f32x4.splat(2.06390887954e-2));
  p = madd(p, z, f32x4.splat(-5.37397155531e-2));
  p = madd(p, z, f32x4.splat(1.33314422036e-1));
  p = madd(p, z, f32x4.splat(-3.33332819422e-1));
  const small = madd(f32x4.mul(p, z), x, x);
  const e = exp4(f32x4.add(magnitude, magnitude));
  const large = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
  return v128.bitselect(small, v128.or(large, sign), f32x4.lt(magnitude, f32x4.splat(0.625)));
}
