// The micro-kernel of the narrow builds.
import { madd } from "../simd";
import { MR, NR } from "./shape";

/**
 * C[MR, 8] at pc (rows ldc bytes apart) = or += packed strip pa times packed panel pb over `k` steps. The accumulators
 * start from C: adding it at the end makes V8 spill them. V8 adds the offset of a splat to the start of memory in every
 * round, unless code behind the loop needs the same sum: rows 1 and 2 are stored at the loop's offsets, in halves because
 * V8 of Node 22 leaves the offset of a whole store to the instruction.
 */
export function narrow(k: i32, pa: usize, pb: usize, pc: usize, ldc: usize, accumulate: bool): void {
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
