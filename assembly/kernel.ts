// The micro-kernel of the matrix product: a tile of C in registers, one step of k an iteration.
import { madd } from "./simd";

/**
 * Rows and columns of a tile. Narrow: 2 MR accumulators, 2 columns of B and 1 splat of A in the 15 vector registers that
 * V8 gives away on x64. A fused multiply-add has a latency of 4 cycles and starts twice a cycle, so that 8 accumulators
 * are just enough and never make up for a cycle lost: with 12 it comes closer to the ceiling. Without it the product needs
 * a register of its own. Wide: the same in registers of twice the width, of which a row takes two.
 */
export const MR: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : WIDE ? 4 : 5;
export const NR: i32 = WIDE ? 16 : 8;

/** C[MR, NR] at pc (rows ldc bytes apart) = or += packed strip pa times packed panel pb over `k` steps. */
// @ts-ignore: decorator
@inline
export function kernel(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize, accumulate: bool): void {
  if (!WIDE) narrow(k, pa, pb, pc, ldc, accumulate);
  else if (accumulate) addPacked(k, pa, pb, pc, ldc);
  else setPacked(k, pa, pb, pc, ldc);
}

/** The same with A[i, k] at pa + i aRow + k aStep, in bytes; wide builds only. */
// @ts-ignore: decorator
@inline
export function kernelDirect(
  k: i32,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
  accumulate: bool,
): void {
  if (accumulate) addDirect(k, pa, aRow, aStep, pb, pc, ldc);
  else setDirect(k, pa, aRow, aStep, pb, pc, ldc);
}

/**
 * C[MR, 8]. The accumulators start from C: adding it at the end makes V8 spill them. V8 adds the offset of a splat to the start of memory in every
 * round, unless code behind the loop needs the same sum: rows 1 and 2 are stored at the loop's offsets, in halves because
 * V8 of Node 22 leaves the offset of a whole store to the instruction.
 */
function narrow(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0),
    c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0),
    c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0),
    c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0),
    c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0),
    c41 = f32x4.splat(0);
  let c50 = f32x4.splat(0),
    c51 = f32x4.splat(0);
  if (accumulate) {
    c00 = v128.load(pc);
    c01 = v128.load(pc, 16);
    c10 = v128.load(pc + ldc);
    c11 = v128.load(pc + ldc, 16);
    c20 = v128.load(pc + 2 * ldc);
    c21 = v128.load(pc + 2 * ldc, 16);
    c30 = v128.load(pc + 3 * ldc);
    c31 = v128.load(pc + 3 * ldc, 16);
    c40 = v128.load(pc + 4 * ldc);
    c41 = v128.load(pc + 4 * ldc, 16);
    if (MR == 6) {
      c50 = v128.load(pc + 5 * ldc);
      c51 = v128.load(pc + 5 * ldc, 16);
    }
  }
  const end = pa + <usize>(k * MR * 4);
  while (pa < end) {
    const b0 = v128.load(pb);
    const b1 = v128.load(pb, 16);
    let a = v128.load32_splat(pa);
    c00 = madd(a, b0, c00);
    c01 = madd(a, b1, c01);
    a = v128.load32_splat(pa, 4);
    c10 = madd(a, b0, c10);
    c11 = madd(a, b1, c11);
    a = v128.load32_splat(pa, 8);
    c20 = madd(a, b0, c20);
    c21 = madd(a, b1, c21);
    a = v128.load32_splat(pa, 12);
    c30 = madd(a, b0, c30);
    c31 = madd(a, b1, c31);
    a = v128.load32_splat(pa, 16);
    c40 = madd(a, b0, c40);
    c41 = madd(a, b1, c41);
    if (MR == 6) {
      a = v128.load32_splat(pa, 20);
      c50 = madd(a, b0, c50);
      c51 = madd(a, b1, c51);
    }
    pa += MR * 4;
    pb += NR * 4;
  }
  v128.store(pc, c00);
  v128.store(pc, c01, 16);
  const row1 = pc + ldc - 4;
  v128.store64_lane(row1, c10, 0, 4);
  v128.store64_lane(row1, c10, 1, 12);
  v128.store(row1, c11, 20);
  const row2 = pc + 2 * ldc - 8;
  v128.store64_lane(row2, c20, 0, 8);
  v128.store64_lane(row2, c20, 1, 16);
  v128.store(row2, c21, 24);
  v128.store(pc + 3 * ldc, c30);
  v128.store(pc + 3 * ldc, c31, 16);
  v128.store(pc + 4 * ldc, c40);
  v128.store(pc + 4 * ldc, c41, 16);
  if (MR == 6) {
    v128.store(pc + 5 * ldc, c50);
    v128.store(pc + 5 * ldc, c51, 16);
  }
}

function setPacked(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize): void {
  wide(k, false, pa, 4, MR * 4, pb, pc, ldc, false);
}
function addPacked(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize): void {
  wide(k, false, pa, 4, MR * 4, pb, pc, ldc, true);
}
function setDirect(k: i32, pa: usize, aRow: usize, aStep: usize, pb: usize, pc: usize, ldc: usize): void {
  wide(k, true, pa, aRow, aStep, pb, pc, ldc, false);
}
function addDirect(k: i32, pa: usize, aRow: usize, aStep: usize, pb: usize, pc: usize, ldc: usize): void {
  wide(k, true, pa, aRow, aStep, pb, pc, ldc, true);
}

/** C[MR, 16]. */
// @ts-ignore: decorator
@inline
function wide(
  k: i32,
  direct: bool,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
  accumulate: bool,
): void {
  const row1 = pc + ldc,
    row2 = row1 + ldc,
    row3 = row2 + ldc,
    row4 = row3 + ldc,
    row5 = row4 + ldc;
  const zero = f32x4.splat(0);
  let c00 = zero,
    c01 = zero,
    c02 = zero,
    c03 = zero;
  let c10 = zero,
    c11 = zero,
    c12 = zero,
    c13 = zero;
  let c20 = zero,
    c21 = zero,
    c22 = zero,
    c23 = zero;
  let c30 = zero,
    c31 = zero,
    c32 = zero,
    c33 = zero;
  let c40 = zero,
    c41 = zero,
    c42 = zero,
    c43 = zero;
  let c50 = zero,
    c51 = zero,
    c52 = zero,
    c53 = zero;
  if (accumulate) {
    c00 = v128.load(pc);
    c01 = v128.load(pc, 16);
    c02 = v128.load(pc, 32);
    c03 = v128.load(pc, 48);
    c10 = v128.load(row1);
    c11 = v128.load(row1, 16);
    c12 = v128.load(row1, 32);
    c13 = v128.load(row1, 48);
    c20 = v128.load(row2);
    c21 = v128.load(row2, 16);
    c22 = v128.load(row2, 32);
    c23 = v128.load(row2, 48);
    c30 = v128.load(row3);
    c31 = v128.load(row3, 16);
    c32 = v128.load(row3, 32);
    c33 = v128.load(row3, 48);
    if (MR > 4) {
      c40 = v128.load(row4);
      c41 = v128.load(row4, 16);
      c42 = v128.load(row4, 32);
      c43 = v128.load(row4, 48);
    }
    if (MR > 5) {
      c50 = v128.load(row5);
      c51 = v128.load(row5, 16);
      c52 = v128.load(row5, 32);
      c53 = v128.load(row5, 48);
    }
  }
  const a1 = pa + aRow,
    a2 = a1 + aRow,
    a3 = a2 + aRow,
    a4 = a3 + aRow,
    a5 = a4 + aRow;
  const end = <usize>k * aStep;
  for (let at: usize = 0; at < end; at += aStep) {
    const b0 = v128.load(pb),
      b1 = v128.load(pb, 16),
      b2 = v128.load(pb, 32),
      b3 = v128.load(pb, 48);
    let a = v128.load32_splat(pa + at);
    c00 = madd(a, b0, c00);
    c01 = madd(a, b1, c01);
    c02 = madd(a, b2, c02);
    c03 = madd(a, b3, c03);
    a = direct ? v128.load32_splat(a1 + at) : v128.load32_splat(pa + at, 4);
    c10 = madd(a, b0, c10);
    c11 = madd(a, b1, c11);
    c12 = madd(a, b2, c12);
    c13 = madd(a, b3, c13);
    a = direct ? v128.load32_splat(a2 + at) : v128.load32_splat(pa + at, 8);
    c20 = madd(a, b0, c20);
    c21 = madd(a, b1, c21);
    c22 = madd(a, b2, c22);
    c23 = madd(a, b3, c23);
    a = direct ? v128.load32_splat(a3 + at) : v128.load32_splat(pa + at, 12);
    c30 = madd(a, b0, c30);
    c31 = madd(a, b1, c31);
    c32 = madd(a, b2, c32);
    c33 = madd(a, b3, c33);
    if (MR > 4) {
      a = direct ? v128.load32_splat(a4 + at) : v128.load32_splat(pa + at, 16);
      c40 = madd(a, b0, c40);
      c41 = madd(a, b1, c41);
      c42 = madd(a, b2, c42);
      c43 = madd(a, b3, c43);
    }
    if (MR > 5) {
      a = direct ? v128.load32_splat(a5 + at) : v128.load32_splat(pa + at, 20);
      c50 = madd(a, b0, c50);
      c51 = madd(a, b1, c51);
      c52 = madd(a, b2, c52);
      c53 = madd(a, b3, c53);
    }
    pb += NR * 4;
  }
  store16(pc, c00, c01, c02, c03);
  store16(row1, c10, c11, c12, c13);
  store16(row2, c20, c21, c22, c23);
  store16(row3, c30, c31, c32, c33);
  if (MR > 4) store16(row4, c40, c41, c42, c43);
  if (MR > 5) store16(row5, c50, c51, c52, c53);
}

/** V8 looks for pairs of stores from the higher address down. */
// @ts-ignore: decorator
@inline
function store16(at: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  v128.store(at, c3, 48);
  v128.store(at, c2, 32);
  v128.store(at, c1, 16);
  v128.store(at, c0);
}
