// Copies and sums of rows through an index map: gather out[r] = src[map[r]], scatter dst[map[r]] += src[r]; with
// `tangents` those of the operands' tangents as well.
import { STEP, madd, storeHalves, upperHalf } from "./simd";
import { tangent } from "./tangent";

/** Address of element `index` of 4-byte elements. */
// @ts-ignore: decorator
@inline
export function at(base: usize, index: i32): usize {
  return base + ((<usize>index) << 2);
}

// @ts-ignore: decorator
@inline
export function mapped(map: usize, r: i32): usize {
  return <usize>load<i32>(at(map, r));
}

/** x (rows, d) = 0. */
export function rows_clear(x: usize, rows: i32, d: i32, tangents: bool): void {
  memory.fill(x, 0, (<usize>(rows * d)) << 2);
  if (tangents) memory.fill(tangent(x), 0, (<usize>(rows * d)) << 2);
}

/** out (rows, d) = src[map[r]]. */
export function rows_gather(out: usize, src: usize, map: usize, rows: i32, d: i32, tangents: bool): void {
  if (tangents) rows_gather(tangent(out), tangent(src), map, rows, d, false);
  const bytes = (<usize>d) << 2;
  for (let r = 0; r < rows; r++) {
    copyRow(out, src + mapped(map, r) * bytes, bytes);
    out += bytes;
  }
}

/** Copy a row, whose `bytes` are a multiple of 4: memory.copy is a call out of WebAssembly, too much for a few floats. */
// @ts-ignore: decorator
@inline
export function copyRow(to: usize, from: usize, bytes: usize): void {
  let c: usize = 0;
  for (; c + STEP <= bytes; c += STEP) {
    const x0 = v128.load(from + c),
      x1 = upperHalf(from + c);
    storeHalves(to + c, x0, x1);
  }
  for (; c < bytes; c += 4) store<f32>(to + c, load<f32>(from + c));
}

/** y[0 .. n) += x[0 .. n). */
// @ts-ignore: decorator
@inline
export function addTo(y: usize, x: usize, n: i32): void {
  const bytes = (<usize>n) << 2;
  const vectorBytes = (<usize>(n & ~3)) << 2;
  let c: usize = 0;
  for (; c + STEP <= vectorBytes; c += STEP) {
    const from = x + c,
      to = y + c;
    const x0 = v128.load(from),
      x1 = upperHalf(from);
    const y0 = v128.load(to),
      y1 = upperHalf(to);
    storeHalves(to, f32x4.add(y0, x0), f32x4.add(y1, x1));
  }
  for (; c < vectorBytes; c += 16) v128.store(y + c, f32x4.add(v128.load(y + c), v128.load(x + c)));
  for (; c < bytes; c += 4) store<f32>(y + c, load<f32>(y + c) + load<f32>(x + c));
}

/** dst[map[r]] += src[r] for src (rows, d). */
export function rows_scatter_add(
  dst: usize,
  src: usize,
  map: usize,
  rows: i32,
  d: i32,
  tangents: bool,
): void {
  if (tangents) rows_scatter_add(tangent(dst), tangent(src), map, rows, d, false);
  const bytes = (<usize>d) << 2;
  for (let r = 0; r < rows; r++) {
    addTo(dst + mapped(map, r) * bytes, src, d);
    src += bytes;
  }
}

/** out (rows, d) += src[map[r]]. */
export function rows_gather_add(out: usize, src: usize, map: usize, rows: i32, d: i32, tangents: bool): void {
  if (tangents) rows_gather_add(tangent(out), tangent(src), map, rows, d, false);
  const bytes = (<usize>d) << 2;
  for (let r = 0; r < rows; r++) {
    addTo(out, src + mapped(map, r) * bytes, d);
    out += bytes;
  }
}

/** Sum of squares of n floats, float32 within runs of 1024, float64 across them. */
export function squaredNorm(x: usize, n: i32): f64 {
  let total: f64 = 0;
  while (n > 0) {
    const run = min(n, 1024);
    let sum4 = f32x4.splat(0);
    let i = 0;
    for (; i + 4 <= run; i += 4) {
      const value = v128.load(x + ((<usize>i) << 2));
      sum4 = madd(value, value, sum4);
    }
    total +=
      <f64>f32x4.extract_lane(sum4, 0) +
      <f64>f32x4.extract_lane(sum4, 1) +
      <f64>f32x4.extract_lane(sum4, 2) +
      <f64>f32x4.extract_lane(sum4, 3);
    for (; i < run; i++) {
      const value = <f64>load<f32>(x + ((<usize>i) << 2));
      total += value * value;
    }
    x += (<usize>run) << 2;
    n -= run;
  }
  return total;
}
