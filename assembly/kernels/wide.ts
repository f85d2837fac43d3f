// The micro-kernels of the wide builds: every accumulator is a pair of vectors that V8 of Node 24 and 26 merges into a
// 256-bit register. It finds the pairs from stores of neighbouring vectors, the higher address first, and goes on from there
// to what is stored. Whether C is added is known at compile time: a pair that starts from "0 or C" is not merged.
import { madd } from "../simd";
import { MR, NR } from "./shape";

export function setPacked(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize): void {
  tile(false, false, k, pa, 4, MR * 4, pb, pc, ldc);
}

export function addPacked(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize): void {
  tile(false, true, k, pa, 4, MR * 4, pb, pc, ldc);
}

/** `strips` tiles one below the other, which in the strict build, where nothing is read in place, would spill. */
export function setDirect(
  strips: i32,
  k: i32,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
): void {
  for (; strips > 0; strips--) {
    tile(true, false, k, pa, aRow, aStep, pb, pc, ldc);
    pa += MR * aRow;
    pc += MR * ldc;
  }
}

export function addDirect(
  strips: i32,
  k: i32,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
): void {
  for (; strips > 0; strips--) {
    tile(true, true, k, pa, aRow, aStep, pb, pc, ldc);
    pa += MR * aRow;
    pc += MR * ldc;
  }
}

/**
 * C[MR, 16] at pc (rows ldc bytes apart) = or += the packed strip at pa times the packed panel at pb over `k` steps. If
 * `direct`, A[i, k] is read from pa + i aRow + k aStep, in bytes.
 */
// @ts-ignore: decorator
@inline
function tile(
  direct: bool,
  accumulate: bool,
  k: i32,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
): void {
  const end = <usize>k * aStep;
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
  let b = pb;
  for (let at: usize = 0; at < end; at += aStep) {
    const b0 = v128.load(b),
      b1 = v128.load(b, 16),
      b2 = v128.load(b, 32),
      b3 = v128.load(b, 48);
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
    b += NR * 4;
  }
  store16(pc, c00, c01, c02, c03);
  store16(row1, c10, c11, c12, c13);
  store16(row2, c20, c21, c22, c23);
  store16(row3, c30, c31, c32, c33);
  if (MR > 4) store16(row4, c40, c41, c42, c43);
  if (MR > 5) store16(row5, c50, c51, c52, c53);
}

// @ts-ignore: decorator
@inline
function store16(at: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  v128.store(at, c3, 48);
  v128.store(at, c2, 32);
  v128.store(at, c1, 16);
  v128.store(at, c0);
}
