// Causal multi-head attention on already projected and rotated queries, keys and values. Sequences and heads are
// small, so one (sequence, head) works on a few kilobytes that stay in the first-level cache; only scores at or below
// the diagonal are computed. Queries may be a subset of the positions (the last block needs the prediction positions
// only), keys and values are those of all positions.
import { D, H, HD, TANGENT, dScores } from "../layout";
import { exp4, horizontalMax, horizontalSum, horizontalSums4, madd, madd1 } from "../simd";
import { mapped } from "../rows";

/** Four dot products over HD of `x` with the rows at y, y + stride, ... */
// @ts-ignore: decorator
@inline
function dots4(x: usize, y: usize, stride: usize): v128 {
  const y1 = y + stride;
  const y2 = y1 + stride;
  const y3 = y2 + stride;
  const vectorBytes = <usize>(HD & ~3) << 2;
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  for (let c: usize = 0; c < vectorBytes; c += 16) {
    const value = v128.load(x + c);
    s0 = madd(value, v128.load(y + c), s0);
    s1 = madd(value, v128.load(y1 + c), s1);
    s2 = madd(value, v128.load(y2 + c), s2);
    s3 = madd(value, v128.load(y3 + c), s3);
  }
  let sums = horizontalSums4(s0, s1, s2, s3);
  for (let c = vectorBytes; c < <usize>HD << 2; c += 4) {
    const columns = f32x4(load<f32>(y + c), load<f32>(y1 + c), load<f32>(y2 + c), load<f32>(y3 + c));
    sums = madd(v128.load32_splat(x + c), columns, sums);
  }
  return sums;
}

/** out[0 .. HD) = sum_i coefficient[i] rows[i], coefficients and rows with byte strides. */
function combine(out: usize, coefficients: usize, coefficientStride: usize, rows: usize, stride: usize, count: i32): void {
  const bytes = <usize>HD << 2;
  let c: usize = 0;
  for (; c + 64 <= bytes; c += 64) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      const a = v128.load32_splat(p);
      s0 = madd(a, v128.load(x), s0);
      s1 = madd(a, v128.load(x, 16), s1);
      s2 = madd(a, v128.load(x, 32), s2);
      s3 = madd(a, v128.load(x, 48), s3);
      p += coefficientStride;
      x += stride;
    }
    v128.store(out + c, s0);
    v128.store(out + c, s1, 16);
    v128.store(out + c, s2, 32);
    v128.store(out + c, s3, 48);
  }
  for (; c + 16 <= bytes; c += 16) {
    let s = f32x4.splat(0);
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      s = madd(v128.load32_splat(p), v128.load(x), s);
      p += coefficientStride;
      x += stride;
    }
    v128.store(out + c, s);
  }
  for (; c < bytes; c += 4) {
    let s: f32 = 0;
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      s = madd1(load<f32>(p), load<f32>(x), s);
      p += coefficientStride;
      x += stride;
    }
    store<f32>(out + c, s);
  }
}

/** Lanes 0 .. valid-1 of x, the others `other`. */
// @ts-ignore: decorator
@inline
function keepLanes(x: v128, valid: i32, other: f32): v128 {
  return v128.bitselect(x, f32x4.splat(other), i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(valid)));
}

/** Softmax of the first `count` of row's floats, in place; those up to the next multiple of 4 become 0. */
function softmaxRow(row: usize, count: i32): void {
  const bytes = <usize>((count + 3) & ~3) << 2;
  const last = row + bytes - 16;
  const valid = count - ((count - 1) & ~3);
  v128.store(last, keepLanes(v128.load(last), valid, -1e30));
  let max4 = v128.load(row);
  for (let c: usize = 16; c < bytes; c += 16) max4 = f32x4.max(max4, v128.load(row + c));
  max4 = f32x4.splat(horizontalMax(max4));
  let sum4 = f32x4.splat(0);
  for (let c: usize = 0; c < bytes; c += 16) {
    const e = exp4(f32x4.sub(v128.load(row + c), max4));
    sum4 = f32x4.add(sum4, e);
    v128.store(row + c, e);
  }
  const inverse4 = f32x4.splat(<f32>1 / horizontalSum(sum4));
  for (let c: usize = 0; c < bytes; c += 16) v128.store(row + c, f32x4.mul(v128.load(row + c), inverse4));
}

/**
 * y (n P, D), att (n, H, P, stride)  <-  q (n P, D), kv (n T, 2D) with keys before values, queryPosition (n P).
 * att holds the attention weights of query p on keys 0 .. position[p]; stride = T rounded up to 4.
 */
export function attention_forward(
  y: usize, att: usize, q: usize, kv: usize, queryPosition: usize, n: i32, T: i32, P: i32,
): void {
  const rowBytes = <usize>D << 2;
  const kvBytes = <usize>D << 3;
  const attBytes = <usize>((T + 3) & ~3) << 2;
  const scale4 = f32x4.splat(<f32>(1 / Math.sqrt(<f64>HD)));
  for (let s = 0; s < n; s++) {
    for (let h = 0; h < H; h++) {
      const head = <usize>(h * HD) << 2;
      const keys = kv + <usize>(s * T) * kvBytes + head;
      const values = keys + rowBytes;
      for (let p = 0; p < P; p++) {
        const row = <usize>(s * P + p) * rowBytes + head;
        const count = <i32>mapped(queryPosition, p) + 1;
        for (let j = 0; j < count; j += 4) {
          const scores = dots4(q + row, keys + <usize>j * kvBytes, kvBytes);
          v128.store(att + (<usize>j << 2), f32x4.mul(scores, scale4));
        }
        softmaxRow(att, count);
        combine(y + row, att, 4, values, kvBytes, count);
        att += attBytes;
      }
    }
  }
}

/**
 * dq (n P, D) =, dkv (n T, 2D) =  <-  dy (n P, D), att, q, kv; firstQuery (T) is the first query at or after each time.
 * With a = softmax(scores):
 *   da = dy v^T,  dscores = a (da - sum_j a da) / sqrt(HD),  dq = dscores k,  dk = dscores^T q,  dv = a^T dy.
 */
export function attention_backward(
  dq: usize, dkv: usize, dy: usize, att: usize, q: usize, kv: usize, queryPosition: usize, firstQuery: usize, n: i32,
  T: i32, P: i32,
): void {
  const rowBytes = <usize>D << 2;
  const kvBytes = <usize>D << 3;
  const attBytes = <usize>((T + 3) & ~3) << 2;
  const scale: f32 = <f32>(1 / Math.sqrt(<f64>HD));
  for (let s = 0; s < n; s++) {
    for (let h = 0; h < H; h++) {
      const head = <usize>(h * HD) << 2;
      const firstRow = <usize>(s * P) * rowBytes + head;
      const keys = kv + <usize>(s * T) * kvBytes + head;
      const values = keys + rowBytes;
      for (let p = 0; p < P; p++) {
        const row = firstRow + <usize>p * rowBytes;
        const weights = att + <usize>p * attBytes;
        const scores = dScores + <usize>p * attBytes;
        const count = <i32>mapped(queryPosition, p) + 1;
        const bytes = <usize>((count + 3) & ~3) << 2;
        for (let j = 0; j < count; j += 4) {
          const da = dots4(dy + row, values + <usize>j * kvBytes, kvBytes);
          v128.store(scores + (<usize>j << 2), da);
        }
        const last = scores + bytes - 16;
        v128.store(last, keepLanes(v128.load(last), count - ((count - 1) & ~3), 0));
        let sum4 = f32x4.splat(0);
        for (let c: usize = 0; c < bytes; c += 16) sum4 = madd(v128.load(weights + c), v128.load(scores + c), sum4);
        sum4 = f32x4.splat(horizontalSum(sum4));
        for (let c: usize = 0; c < bytes; c += 16) {
          const a = f32x4.mul(v128.load(weights + c), f32x4.splat(scale));
          v128.store(scores + c, f32x4.mul(a, f32x4.sub(v128.load(scores + c), sum4)));
        }
        combine(dq + row, scores, 4, keys, kvBytes, count);
      }
      for (let j = 0; j < T; j++) {
        const first = <i32>mapped(firstQuery, j);
        const column = <usize>first * attBytes + (<usize>j << 2);
        const rows = firstRow + <usize>first * rowBytes;
        const dkey = dkv + <usize>(s * T + j) * kvBytes + head;
        combine(dkey, dScores + column, attBytes, q + rows, rowBytes, P - first);
        combine(dkey + rowBytes, att + column, attBytes, dy + rows, rowBytes, P - first);
      }
      att += <usize>P * attBytes;
    }
  }
}

/** Tangent of dots4, x' y + x y', of rows whose tangents are TANGENT further. */
// @ts-ignore: decorator
@inline
function dots4_jvp(x: usize, y: usize, stride: usize): v128 {
  const y1 = y + stride;
  const y2 = y1 + stride;
  const y3 = y2 + stride;
  const vectorBytes = <usize>(HD & ~3) << 2;
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  for (let c: usize = 0; c < vectorBytes; c += 16) {
    let value = v128.load(x + TANGENT + c);
    s0 = madd(value, v128.load(y + c), s0);
    s1 = madd(value, v128.load(y1 + c), s1);
    s2 = madd(value, v128.load(y2 + c), s2);
    s3 = madd(value, v128.load(y3 + c), s3);
    value = v128.load(x + c);
    s0 = madd(value, v128.load(y + TANGENT + c), s0);
    s1 = madd(value, v128.load(y1 + TANGENT + c), s1);
    s2 = madd(value, v128.load(y2 + TANGENT + c), s2);
    s3 = madd(value, v128.load(y3 + TANGENT + c), s3);
  }
  let sums = horizontalSums4(s0, s1, s2, s3);
  for (let c = vectorBytes; c < <usize>HD << 2; c += 4) {
    const columns = f32x4(load<f32>(y + c), load<f32>(y1 + c), load<f32>(y2 + c), load<f32>(y3 + c));
    sums = madd(v128.load32_splat(x + TANGENT + c), columns, sums);
    const tangents = f32x4(
      load<f32>(y + TANGENT + c), load<f32>(y1 + TANGENT + c), load<f32>(y2 + TANGENT + c), load<f32>(y3 + TANGENT + c),
    );
    sums = madd(v128.load32_splat(x + c), tangents, sums);
  }
  return sums;
}

/** Tangent of combine: out' = sum_i (coefficient'[i] rows[i] + coefficient[i] rows'[i]). */
function combine_jvp(
  out: usize, coefficients: usize, coefficientStride: usize, rows: usize, stride: usize, count: i32,
): void {
  const bytes = <usize>HD << 2;
  let c: usize = 0;
  for (; c + 64 <= bytes; c += 64) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      let a = v128.load32_splat(p + TANGENT);
      s0 = madd(a, v128.load(x), s0);
      s1 = madd(a, v128.load(x, 16), s1);
      s2 = madd(a, v128.load(x, 32), s2);
      s3 = madd(a, v128.load(x, 48), s3);
      a = v128.load32_splat(p);
      s0 = madd(a, v128.load(x + TANGENT), s0);
      s1 = madd(a, v128.load(x + TANGENT, 16), s1);
      s2 = madd(a, v128.load(x + TANGENT, 32), s2);
      s3 = madd(a, v128.load(x + TANGENT, 48), s3);
      p += coefficientStride;
      x += stride;
    }
    v128.store(out + TANGENT + c, s0);
    v128.store(out + TANGENT + c, s1, 16);
    v128.store(out + TANGENT + c, s2, 32);
    v128.store(out + TANGENT + c, s3, 48);
  }
  for (; c + 16 <= bytes; c += 16) {
    let s = f32x4.splat(0);
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      s = madd(v128.load32_splat(p + TANGENT), v128.load(x), s);
      s = madd(v128.load32_splat(p), v128.load(x + TANGENT), s);
      p += coefficientStride;
      x += stride;
    }
    v128.store(out + TANGENT + c, s);
  }
  for (; c < bytes; c += 4) {
    let s: f32 = 0;
    let p = coefficients;
    let x = rows + c;
    for (let i = 0; i < count; i++) {
      s = madd1(load<f32>(p + TANGENT), load<f32>(x), s);
      s = madd1(load<f32>(p), load<f32>(x + TANGENT), s);
      p += coefficientStride;
      x += stride;
    }
    store<f32>(out + TANGENT + c, s);
  }
}

/** Zero the row's floats from `count` to the next multiple of 4. */
// @ts-ignore: decorator
@inline
function clearPadding(row: usize, count: i32): void {
  const last = row + (<usize>((count - 1) & ~3) << 2);
  v128.store(last, keepLanes(v128.load(last), count - ((count - 1) & ~3), 0));
}

/**
 * Tangent of attention_forward, which it follows:
 *   scores' = (q' k^T + q k'^T) / sqrt(HD),  a' = a (scores' - sum_j a scores'),  y' = a' v + a v'.
 */
export function attention_jvp(
  y: usize, att: usize, q: usize, kv: usize, queryPosition: usize, n: i32, T: i32, P: i32,
): void {
  const rowBytes = <usize>D << 2;
  const kvBytes = <usize>D << 3;
  const attBytes = <usize>((T + 3) & ~3) << 2;
  const scale4 = f32x4.splat(<f32>(1 / Math.sqrt(<f64>HD)));
  for (let s = 0; s < n; s++) {
    for (let h = 0; h < H; h++) {
      const head = <usize>(h * HD) << 2;
      const keys = kv + <usize>(s * T) * kvBytes + head;
      const values = keys + rowBytes;
      for (let p = 0; p < P; p++) {
        const row = <usize>(s * P + p) * rowBytes + head;
        const count = <i32>mapped(queryPosition, p) + 1;
        const bytes = <usize>((count + 3) & ~3) << 2;
        const scores = att + TANGENT;
        for (let j = 0; j < count; j += 4) {
          const dots = dots4_jvp(q + row, keys + <usize>j * kvBytes, kvBytes);
          v128.store(scores + (<usize>j << 2), f32x4.mul(dots, scale4));
        }
        clearPadding(scores, count);
        let sum4 = f32x4.splat(0);
        for (let c: usize = 0; c < bytes; c += 16) sum4 = madd(v128.load(att + c), v128.load(scores + c), sum4);
        sum4 = f32x4.splat(horizontalSum(sum4));
        for (let c: usize = 0; c < bytes; c += 16) {
          v128.store(scores + c, f32x4.mul(v128.load(att + c), f32x4.sub(v128.load(scores + c), sum4)));
        }
        combine_jvp(y + row, att, 4, values, kvBytes, count);
        att += attBytes;
      }
    }
  }
}

/**
 * attention_backward and its tangent. With s = sum_j a da:
 *   da' = dy' v^T + dy v'^T,  dscores' = (a' (da - s) + a (da' - sum_j (a' da + a da'))) / sqrt(HD),
 *   dq' = dscores' k + dscores k',  dk' = dscores'^T q + dscores^T q',  dv' = a'^T dy + a^T dy'.
 */
export function attention_backward_jvp(
  dq: usize, dkv: usize, dy: usize, att: usize, q: usize, kv: usize, queryPosition: usize, firstQuery: usize, n: i32,
  T: i32, P: i32,
): void {
  const rowBytes = <usize>D << 2;
  const kvBytes = <usize>D << 3;
  const attBytes = <usize>((T + 3) & ~3) << 2;
  const scale4 = f32x4.splat(<f32>(1 / Math.sqrt(<f64>HD)));
  for (let s = 0; s < n; s++) {
    for (let h = 0; h < H; h++) {
      const head = <usize>(h * HD) << 2;
      const firstRow = <usize>(s * P) * rowBytes + head;
      const keys = kv + <usize>(s * T) * kvBytes + head;
      const values = keys + rowBytes;
      for (let p = 0; p < P; p++) {
        const row = firstRow + <usize>p * rowBytes;
        const weights = att + <usize>p * attBytes;
        const scores = dScores + <usize>p * attBytes;
        const count = <i32>mapped(queryPosition, p) + 1;
        const bytes = <usize>((count + 3) & ~3) << 2;
        for (let j = 0; j < count; j += 4) {
          const value = values + <usize>j * kvBytes;
          const at = scores + (<usize>j << 2);
          v128.store(at, dots4(dy + row, value, kvBytes));
          v128.store(at + TANGENT, dots4_jvp(dy + row, value, kvBytes));
        }
        clearPadding(scores, count);
        clearPadding(scores + TANGENT, count);
        let sum4 = f32x4.splat(0);
        let sumTangent4 = f32x4.splat(0);
        for (let c: usize = 0; c < bytes; c += 16) {
          const a = v128.load(weights + c);
          const da = v128.load(scores + c);
          sum4 = madd(a, da, sum4);
          sumTangent4 = madd(v128.load(weights + TANGENT + c), da, sumTangent4);
          sumTangent4 = madd(a, v128.load(scores + TANGENT + c), sumTangent4);
        }
        sum4 = f32x4.splat(horizontalSum(sum4));
        sumTangent4 = f32x4.splat(horizontalSum(sumTangent4));
        for (let c: usize = 0; c < bytes; c += 16) {
          const a = f32x4.mul(v128.load(weights + c), scale4);
          const aTangent = f32x4.mul(v128.load(weights + TANGENT + c), scale4);
          const centred = f32x4.sub(v128.load(scores + c), sum4);
          const centredTangent = f32x4.sub(v128.load(scores + TANGENT + c), sumTangent4);
          v128.store(scores + c, f32x4.mul(a, centred));
          v128.store(scores + TANGENT + c, madd(aTangent, centred, f32x4.mul(a, centredTangent)));
        }
        combine(dq + row, scores, 4, keys, kvBytes, count);
        combine_jvp(dq + row, scores, 4, keys, kvBytes, count);
      }
      for (let j = 0; j < T; j++) {
        const first = <i32>mapped(firstQuery, j);
        const column = <usize>first * attBytes + (<usize>j << 2);
        const rows = firstRow + <usize>first * rowBytes;
        const dkey = dkv + <usize>(s * T + j) * kvBytes + head;
        combine(dkey, dScores + column, attBytes, q + rows, rowBytes, P - first);
        combine_jvp(dkey, dScores + column, attBytes, q + rows, rowBytes, P - first);
        combine(dkey + rowBytes, att + column, attBytes, dy + rows, rowBytes, P - first);
        combine_jvp(dkey + rowBytes, att + column, attBytes, dy + rows, rowBytes, P - first);
      }
      att += <usize>P * attBytes;
    }
  }
}
