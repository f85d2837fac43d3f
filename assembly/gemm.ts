// C[m,n] (+)= sum_k A[m,k] B[k,n], float32. B is packed into panels of NR columns (k-major, NR values a step) and A, as
// a rule, into strips of MR rows (k-major, MR values a step), so that the micro-kernel reads memory in order. One routine
// with arbitrary strides packs A, A^T, B and B^T. Weights are packed once per optimiser step and reused by every
// micro-batch; activations are packed per call into scratch owned by layout.ts.
import { narrow } from "./kernels/narrow";
import { MR, NR } from "./kernels/shape";
import { addDirect, addPacked, setDirect, setPacked } from "./kernels/wide";

/** Depth of one block: a panel of B (NR KC floats) and a strip of A (MR KC floats) stay in the first-level cache. */
export const KC: i32 = 256;
/** Rows of A packed at a time: MC x KC floats stay in the second-level cache. */
const MC: i32 = 16 * MR;

/**
 * Up to so many columns of C, packing A costs more than it saves, and strips are read in place, apart from one with
 * missing rows: where rows of A are contiguous, up to twice as many. The strict build, which has no instruction to spare
 * for the addresses of MR rows, always packs.
 */
const DIRECT: i32 = WIDE && ASC_FEATURE_RELAXED_SIMD ? 128 : 0;

/** Floats of packed-A scratch that `gemm` needs. */
export const PACKED_A_FLOATS: i32 = MC * KC;

/** Floats of B[k,n] when packed. */
// @ts-ignore: decorator
@inline
export function packedSize(k: i32, n: i32): i32 {
  return k * ((n + NR - 1) & ~(NR - 1));
}

/** Transpose 4 rows of 4 floats at src (row stride in bytes) to dst (row stride in bytes). */
// @ts-ignore: decorator
@inline
export function transpose4(src: usize, srcStride: usize, dst: usize, dstStride: usize): void {
  const a = v128.load(src);
  const b = v128.load(src + srcStride);
  const c = v128.load(src + 2 * srcStride);
  const d = v128.load(src + 3 * srcStride);
  const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(dst, i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(
    dst + dstStride,
    i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
  v128.store(
    dst + 2 * dstStride,
    i8x16.shuffle(ab1, cd1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
  );
  v128.store(
    dst + 3 * dstStride,
    i8x16.shuffle(ab1, cd1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
}

/** Transpose 2 rows of 4 floats at src (row stride in bytes) to 4 pairs at dst (stride in bytes). */
// @ts-ignore: decorator
@inline
function transpose2(src: usize, srcStride: usize, dst: usize, dstStride: usize): void {
  const a = v128.load(src);
  const b = v128.load(src + srcStride);
  const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store64_lane(dst, ab0, 0);
  v128.store64_lane(dst + dstStride, ab0, 1);
  v128.store64_lane(dst + 2 * dstStride, ab1, 0);
  v128.store64_lane(dst + 3 * dstStride, ab1, 1);
}

/** Copy W floats. */
// @ts-ignore: decorator
@inline
function copyLanes(W: i32, dst: usize, src: usize): void {
  if (W == 16) {
    const x0 = v128.load(src),
      x1 = v128.load(src, 16),
      x2 = v128.load(src, 32),
      x3 = v128.load(src, 48);
    v128.store(dst, x3, 48);
    v128.store(dst, x2, 32);
    v128.store(dst, x1, 16);
    v128.store(dst, x0);
  } else {
    v128.store(dst, v128.load(src));
  }
  if (W == 8) v128.store(dst, v128.load(src, 16), 16);
  if (W == 6) store<u64>(dst, load<u64>(src, 16), 16);
  if (W == 5) store<f32>(dst, load<f32>(src, 16), 16);
}

/**
 * Pack `lanes` vectors x[l, k] (element strides sl, sk) into strips of W lanes, k-major: strip s holds, for each k,
 * x[sW .. sW+W-1, k]. Missing lanes of the last strip are zero.
 */
// @ts-ignore: decorator
@inline
function pack(W: i32, dst: usize, src: usize, lanes: i32, depth: i32, sl: i32, sk: i32): void {
  const step = (<usize>W) << 2;
  const stripBytes = step * <usize>depth;
  const laneBytes = (<usize>sl) << 2;
  const depthBytes = (<usize>sk) << 2;
  let l0 = 0;
  const whole = lanes - (lanes % W);
  if (sl == 1 && W < 8) {
    // Step by step, so that memory is read in order.
    for (let k = 0; k < depth; k++) {
      let from = src + <usize>k * depthBytes;
      let to = dst + <usize>k * step;
      for (let l = 0; l < whole; l += W) {
        copyLanes(W, to, from);
        from += step;
        to += stripBytes;
      }
    }
    l0 = whole;
    dst += <usize>(whole / W) * stripBytes;
  }
  for (; l0 < lanes; l0 += W) {
    const base = src + <usize>l0 * laneBytes;
    let k = 0;
    if (sl == 1 && l0 < whole) {
      let from = base;
      for (; k < depth; k++) {
        copyLanes(W, dst, from);
        from += depthBytes;
        dst += step;
      }
    } else if (sk == 1 && l0 < whole) {
      let from = base;
      for (; k + 4 <= depth; k += 4) {
        transpose4(from, laneBytes, dst, step);
        if (W >= 8) transpose4(from + 4 * laneBytes, laneBytes, dst + 16, step);
        if (W == 16) {
          transpose4(from + 8 * laneBytes, laneBytes, dst + 32, step);
          transpose4(from + 12 * laneBytes, laneBytes, dst + 48, step);
        }
        if (W == 6) transpose2(from + 4 * laneBytes, laneBytes, dst + 16, step);
        if (W == 5) {
          for (let i = 0; i < 4; i++) {
            store<f32>(dst + <usize>i * step, load<f32>(from + 4 * laneBytes + ((<usize>i) << 2)), 16);
          }
        }
        from += 16;
        dst += step << 2;
      }
    }
    const valid = min(W, lanes - l0);
    for (; k < depth; k++) {
      const from = base + <usize>k * depthBytes;
      for (let l = 0; l < W; l++) {
        store<f32>(dst + ((<usize>l) << 2), l < valid ? load<f32>(from + <usize>l * laneBytes) : 0);
      }
      dst += step;
    }
  }
}

/** Pack B[k, n] (element strides sk, sn) into panels of NR columns, depth block by depth block. */
export function packB(dst: usize, src: usize, k: i32, n: i32, sk: i32, sn: i32): void {
  for (let k0 = 0; k0 < k; k0 += KC) {
    const depth = min(KC, k - k0);
    pack(NR, dst, src + ((<usize>k0 * <usize>sk) << 2), n, depth, sn, sk);
    dst += (<usize>packedSize(depth, n)) << 2;
  }
}

function packA(dst: usize, src: usize, m: i32, k: i32, sm: i32, sk: i32): void {
  pack(MR, dst, src, m, k, sm, sk);
}

/**
 * C[MR, NR] at pc (rows ldc bytes apart) = or += packed strip pa times packed panel pb over `k` steps, for `strips` strips
 * one below the other.
 */
// @ts-ignore: decorator
@inline
function packedTiles(
  strips: i32,
  k: i32,
  pa: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
  accumulate: bool,
): void {
  const stripBytes = <usize>(k * MR * 4);
  for (; strips > 0; strips--) {
    if (!WIDE) narrow(k, pa, pb, pc, ldc, accumulate);
    else if (accumulate) addPacked(k, pa, pb, pc, ldc);
    else setPacked(k, pa, pb, pc, ldc);
    pa += stripBytes;
    pc += MR * ldc;
  }
}

/** The same with A[i, k] at pa + i aRow + k aStep, in bytes. */
// @ts-ignore: decorator
@inline
function directTiles(
  strips: i32,
  k: i32,
  pa: usize,
  aRow: usize,
  aStep: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
  accumulate: bool,
): void {
  if (accumulate) addDirect(strips, k, pa, aRow, aStep, pb, pc, ldc);
  else setDirect(strips, k, pa, aRow, aStep, pb, pc, ldc);
}

/** A packed tile of which only `rows` x `columns` exist in C: through a whole one on the side, with the same rounding. */
function edge(
  k: i32,
  pa: usize,
  pb: usize,
  pc: usize,
  ldc: usize,
  accumulate: bool,
  rows: i32,
  columns: i32,
): void {
  if (accumulate) copyTile(edgeTile, EDGE_ROW, pc, ldc, rows, columns);
  packedTiles(1, k, pa, pb, edgeTile, EDGE_ROW, accumulate);
  copyTile(pc, ldc, edgeTile, EDGE_ROW, rows, columns);
}

/** Copy `rows` rows of `columns` <= NR floats; rows are toRow and fromRow bytes apart. */
export function copyTile(
  to: usize,
  toRow: usize,
  from: usize,
  fromRow: usize,
  rows: i32,
  columns: i32,
): void {
  for (let i = 0; i < rows; i++) {
    if (columns == NR) copyLanes(NR, to, from);
    else for (let j: usize = 0; j < (<usize>columns) << 2; j += 4) store<f32>(to + j, load<f32>(from + j));
    to += toRow;
    from += fromRow;
  }
}

/** Where a tile goes of which only a corner exists. */
export const edgeTile: usize = memory.data(MR * NR * 4, 16);
/** Bytes of its rows. */
export const EDGE_ROW: usize = NR * 4;

/**
 * C[m,n] = (or +=, with accumulate) A[m,k] B[k,n]. A has element strides (sm, sk); B is packed by `packB`; C has row
 * stride ldc elements. With accumulate false C is not read. `scratch` holds PACKED_A_FLOATS.
 */
export function gemm(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  sm: i32,
  sk: i32,
  packedB: usize,
  c: usize,
  ldc: i32,
  accumulate: bool,
  scratch: usize,
): void {
  const ldcBytes = (<usize>ldc) << 2;
  const aRow = (<usize>sm) << 2,
    aStep = (<usize>sk) << 2;
  const direct = n <= (sk == 1 ? 2 * DIRECT : DIRECT) && n % NR == 0;
  for (let k0 = 0; k0 < k; k0 += KC) {
    const depth = min(KC, k - k0);
    const add = accumulate || k0 > 0;
    const panelBytes = <usize>(depth * NR * 4);
    const stripBytes = <usize>(depth * MR * 4);
    for (let m0 = 0; m0 < m; m0 += MC) {
      const rows = min(MC, m - m0);
      const strips = rows / MR;
      const inPlace = direct ? strips : 0;
      const block = a + <usize>m0 * aRow + <usize>k0 * aStep;
      packA(scratch, block + <usize>(inPlace * MR) * aRow, rows - inPlace * MR, depth, sm, sk);
      let panel = packedB;
      for (let j = 0; j < n; j += NR) {
        const columns = min(NR, n - j);
        let tile = c + ((<usize>m0 * <usize>ldc + <usize>j) << 2);
        let strip = scratch;
        let i = 0;
        if (direct) {
          directTiles(strips, depth, block, aRow, aStep, panel, tile, ldcBytes, add);
          i = strips;
        } else if (columns == NR) {
          packedTiles(strips, depth, strip, panel, tile, ldcBytes, add);
          strip += <usize>strips * stripBytes;
          i = strips;
        }
        tile += <usize>(i * MR) * ldcBytes;
        for (i *= MR; i < rows; i += MR) {
          edge(depth, strip, panel, tile, ldcBytes, add, min(MR, rows - i), columns);
          strip += stripBytes;
          tile += MR * ldcBytes;
        }
        panel += panelBytes;
      }
    }
    packedB += (<usize>packedSize(depth, n)) << 2;
  }
}

/** Naive twin of `gemm` for tests: B unpacked with element strides (sk2, sn). */
export function gemmNaive(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  sm: i32,
  sk: i32,
  b: usize,
  sk2: i32,
  sn: i32,
  c: usize,
  ldc: i32,
  accumulate: bool,
): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum: f32 = 0;
      for (let l = 0; l < k; l++) {
        sum +=
          load<f32>(a + ((<usize>(i * sm + l * sk)) << 2)) *
          load<f32>(b + ((<usize>(l * sk2 + j * sn)) << 2));
      }
      const at = c + ((<usize>(i * ldc + j)) << 2);
      store<f32>(at, accumulate ? load<f32>(at) + sum : sum);
    }
  }
}
