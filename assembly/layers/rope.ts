// Rotary position embedding over the full head dimension, interleaved pairs:
// (x0, x1) -> (x0 cos - x1 sin, x0 sin + x1 cos), angle = position base^(-2i/HD) for pair i.
import { H, HD, NCTX, ropeCos, ropeSin } from "../layout";
import { mapped } from "../rows";
import { STEP, madd, splatOnce, storeHalves, upperHalf } from "../simd";
import { tangent } from "../tangent";

/** Tables (NCTX, HD): cos twice per pair, and sin as (-sin, +sin), so that out = x cos + swap(x) sin. */
export function rope_tables(base: f64): void {
  for (let t = 0; t < NCTX; t++) {
    for (let c = 0; c < HD; c += 2) {
      const angle = <f64>t * Math.pow(base, -(<f64>c) / <f64>HD);
      const at = (<usize>(t * HD + c)) << 2;
      store<f32>(ropeCos + at, <f32>Math.cos(angle));
      store<f32>(ropeCos + at, <f32>Math.cos(angle), 4);
      store<f32>(ropeSin + at, -(<f32>Math.sin(angle)));
      store<f32>(ropeSin + at, <f32>Math.sin(angle), 4);
    }
  }
}

// @ts-ignore: decorator
@inline
function rotated(x: v128, cos: v128, sin: v128): v128 {
  const swapped = i8x16.shuffle(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  return madd(swapped, sin, f32x4.mul(x, cos));
}

/**
 * out[r] = rotation by sign x angle(position[r]) of src[map[r]], for all heads. Rows have D used floats and strides
 * given in floats; out may be src when the map is the identity. sign -1 is the transpose, used backwards. With
 * `tangents` those of out and src as well.
 */
export function rope_apply(
  out: usize,
  outStride: i32,
  src: usize,
  srcStride: i32,
  map: usize,
  position: usize,
  rows: i32,
  sign: f32,
  tangents: bool,
): void {
  if (tangents)
    rope_apply(tangent(out), outStride, tangent(src), srcStride, map, position, rows, sign, false);
  const sign4 = splatOnce(sign);
  const headBytes = (<usize>HD) << 2;
  const vectorBytes = (<usize>(HD & ~3)) << 2;
  for (let r = 0; r < rows; r++) {
    const table = mapped(position, r) * headBytes;
    let x = src + ((mapped(map, r) * <usize>srcStride) << 2);
    let y = out + ((<usize>r * <usize>outStride) << 2);
    for (let h = 0; h < H; h++) {
      let c: usize = 0;
      for (; c + STEP <= vectorBytes; c += STEP) {
        const from = x + c,
          cos = ropeCos + table + c,
          sin = ropeSin + table + c;
        const x0 = v128.load(from),
          x1 = upperHalf(from);
        const cos0 = v128.load(cos),
          cos1 = upperHalf(cos);
        const sin0 = f32x4.mul(v128.load(sin), sign4),
          sin1 = f32x4.mul(upperHalf(sin), sign4);
        storeHalves(y + c, rotated(x0, cos0, sin0), rotated(x1, cos1, sin1));
      }
      for (; c < vectorBytes; c += 16) {
        const sin = f32x4.mul(v128.load(ropeSin + table + c), sign4);
        v128.store(y + c, rotated(v128.load(x + c), v128.load(ropeCos + table + c), sin));
      }
      if (vectorBytes < headBytes) {
        const x0 = load<f32>(x + vectorBytes);
        const x1 = load<f32>(x + vectorBytes, 4);
        const cos = load<f32>(ropeCos + table + vectorBytes);
        const sin = load<f32>(ropeSin + table + vectorBytes, 4) * sign;
        store<f32>(y + vectorBytes, x0 * cos - x1 * sin);
        store<f32>(y + vectorBytes, x0 * sin + x1 * cos, 4);
      }
      x += headBytes;
      y += headBytes;
    }
  }
}
