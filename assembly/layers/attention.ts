// Causal multi-head attention on already projected and rotated queries, keys and values. Sequences and heads are
// small, so one (sequence, head) works on a few kilobytes that stay in the first-level cache. Queries go in strips of
// four; a strip computes scores up to its last query's position only. Queries may be a subset of the positions (the
// last block needs the prediction positions only), keys and values are those of all positions.
//
// Attention weights have rows of T rounded up to 8 floats. The weights of a strip are zero from a query's own position
// to the end of the strip's last group of four keys, so that strips of queries and of keys can be multiplied whole.
import { D, H, HD, dPathKV, dScores, keysT, pathKV, pathRow, sharedTokens, valuesT } from "../layout";
import { EDGE_ROW, copyTile, edgeTile, transpose4 } from "../gemm";
import {
  LANES,
  STEP,
  addHalves,
  exp4,
  horizontalMax,
  horizontalSum,
  madd,
  splatOnce,
  storeHalves,
  upperHalf,
} from "../simd";
import { addTo, mapped } from "../rows";
import { TANGENT } from "../tangent";

/**
 * C[4, W] at c (rows cRow bytes apart, of which the first `rows` are stored) = or += sum over `depth` of A[i, k] B[k, j],
 * with A[i, k] at a + i aRow + k aStep and B[k, .] at b + k bStep, in bytes.
 */
// @ts-ignore: decorator
@inline
function tile(
  W: i32,
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  rows: i32,
  accumulate: bool,
): void {
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
  const a2 = aRow << 1;
  const a3 = a2 + aRow;
  for (let k = 0; k < depth; k++) {
    const b0 = v128.load(b),
      b1 = v128.load(b, 16);
    let b2 = zero,
      b3 = zero;
    if (W == 16) {
      b2 = v128.load(b, 32);
      b3 = v128.load(b, 48);
    }
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (W == 16) {
      c02 = madd(x, b2, c02);
      c03 = madd(x, b3, c03);
    }
    x = v128.load32_splat(a + aRow);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (W == 16) {
      c12 = madd(x, b2, c12);
      c13 = madd(x, b3, c13);
    }
    x = v128.load32_splat(a + a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (W == 16) {
      c22 = madd(x, b2, c22);
      c23 = madd(x, b3, c23);
    }
    x = v128.load32_splat(a + a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (W == 16) {
      c32 = madd(x, b2, c32);
      c33 = madd(x, b3, c33);
    }
    a += aStep;
    b += bStep;
  }
  storeRow(W, c, c00, c01, c02, c03, accumulate);
  if (rows > 1) storeRow(W, c + cRow, c10, c11, c12, c13, accumulate);
  if (rows > 2) storeRow(W, c + 2 * cRow, c20, c21, c22, c23, accumulate);
  if (rows > 3) storeRow(W, c + 3 * cRow, c30, c31, c32, c33, accumulate);
}

// @ts-ignore: decorator
@inline
function storeRow(W: i32, at: usize, c0: v128, c1: v128, c2: v128, c3: v128, accumulate: bool): void {
  if (accumulate) {
    c0 = f32x4.add(v128.load(at), c0);
    c1 = f32x4.add(v128.load(at, 16), c1);
    if (W == 16) {
      c2 = f32x4.add(v128.load(at, 32), c2);
      c3 = f32x4.add(v128.load(at, 48), c3);
    }
  }
  if (W == 16) {
    v128.store(at, c3, 48);
    v128.store(at, c2, 32);
  }
  v128.store(at, c1, 16);
  v128.store(at, c0);
}

function tile4x8(
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  rows: i32,
  accumulate: bool,
): void {
  tile(8, c, cRow, a, aRow, aStep, b, bStep, depth, rows, accumulate);
}

/** The strip C[rows <= 4, columns], as tile4x8; columns of B beyond the last are read and not used. */
function strip(
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  rows: i32,
  columns: i32,
  accumulate: bool,
): void {
  let j = 0;
  if (WIDE) {
    for (; j + 16 <= columns; j += 16) {
      const offset = (<usize>j) << 2;
      tile(16, c + offset, cRow, a, aRow, aStep, b + offset, bStep, depth, rows, accumulate);
    }
  }
  for (; j < columns; j += 8) {
    const offset = (<usize>j) << 2;
    if (j + 8 <= columns) {
      tile4x8(c + offset, cRow, a, aRow, aStep, b + offset, bStep, depth, rows, accumulate);
    } else {
      if (accumulate) copyTile(edgeTile, EDGE_ROW, c + offset, cRow, rows, columns - j);
      tile4x8(edgeTile, EDGE_ROW, a, aRow, aStep, b + offset, bStep, depth, rows, accumulate);
      copyTile(c + offset, cRow, edgeTile, EDGE_ROW, rows, columns - j);
    }
  }
}

/** Tangent of a strip, C' = A' B + A B'; tangents are TANGENT further than what they belong to. */
function strip_jvp(
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  rows: i32,
  columns: i32,
): void {
  strip(c + TANGENT, cRow, a + TANGENT, aRow, aStep, b, bStep, depth, rows, columns, false);
  strip(c + TANGENT, cRow, a, aRow, aStep, b + TANGENT, bStep, depth, rows, columns, true);
}

/** A strip and, with `tangents`, its tangent. */
function strips(
  c: usize,
  cRow: usize,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  rows: i32,
  columns: i32,
  tangents: bool,
): void {
  strip(c, cRow, a, aRow, aStep, b, bStep, depth, rows, columns, false);
  if (tangents) strip_jvp(c, cRow, a, aRow, aStep, b, bStep, depth, rows, columns);
}

/** out (HD, stride)  <-  the transpose of T rows of HD floats `rowBytes` apart; T is rounded up to 4. */
function transposeHead(out: usize, rows: usize, rowBytes: usize, T: i32, stride: usize): void {
  const vectorized = HD & ~3;
  for (let j = 0; j < T; j += 4) {
    const from = rows + <usize>j * rowBytes;
    const to = out + ((<usize>j) << 2);
    for (let c = 0; c < vectorized; c += 4)
      transpose4(from + ((<usize>c) << 2), rowBytes, to + <usize>c * stride, stride);
    for (let c = vectorized; c < HD; c++) {
      for (let i = 0; i < 4; i++) {
        store<f32>(
          to + <usize>c * stride + ((<usize>i) << 2),
          load<f32>(from + <usize>i * rowBytes + ((<usize>c) << 2)),
        );
      }
    }
  }
}

/** x where the lane's index, `lanes`, is below `valid`, elsewhere `other`. */
// @ts-ignore: decorator
@inline
function keepLanes(x: v128, lanes: v128, valid: i32, other: f32): v128 {
  return v128.bitselect(x, f32x4.splat(other), i32x4.lt_s(lanes, i32x4.splat(valid)));
}

/** Address of the group of LANES floats in which the first `count` of a row end. */
// @ts-ignore: decorator
@inline
function lastGroup(row: usize, count: i32): usize {
  return row + ((<usize>((count - 1) & -LANES)) << 2);
}

/** Bytes of a row up to the end of the group in which its first `count` floats end. */
// @ts-ignore: decorator
@inline
function groupBytes(count: i32): usize {
  return (<usize>((count + LANES - 1) & -LANES)) << 2;
}

/** Replace the row's floats from `count` to the end of the group by `other`. */
// @ts-ignore: decorator
@inline
function fillPadding(row: usize, count: i32, other: f32): void {
  const last = lastGroup(row, count);
  const valid = count - ((count - 1) & -LANES);
  const low = keepLanes(v128.load(last), i32x4(0, 1, 2, 3), valid, other);
  const high = keepLanes(upperHalf(last), i32x4(4, 5, 6, 7), valid, other);
  storeHalves(last, low, high);
}

/** Zero the groups after the one in which `count` ends, up to the one in which `reach` ends. */
// @ts-ignore: decorator
@inline
function clearGroups(row: usize, count: i32, reach: i32): void {
  const zero = f32x4.splat(0);
  const end = lastGroup(row, reach);
  for (let at = lastGroup(row, count) + STEP; at <= end; at += STEP) storeHalves(at, zero, zero);
}

/** Softmax of scale times the first `count` of row's floats, in place; those up to the end of the group become 0. */
function softmaxRow(row: usize, count: i32, scale: f32): void {
  const end = row + groupBytes(count);
  fillPadding(row, count, -1e30);
  let max4 = v128.load(row);
  for (let at = row + 16; at < end; at += 16) max4 = f32x4.pmax(max4, v128.load(at));
  max4 = splatOnce(horizontalMax(max4));
  const scale4 = splatOnce(scale);
  let sum4 = f32x4.splat(0);
  for (let at = row; at < end; at += STEP) {
    const x0 = v128.load(at),
      x1 = upperHalf(at);
    const low = exp4(f32x4.mul(f32x4.sub(x0, max4), scale4));
    const high = exp4(f32x4.mul(f32x4.sub(x1, max4), scale4));
    sum4 = addHalves(sum4, low, high);
    storeHalves(at, low, high);
  }
  const inverse4 = splatOnce(<f32>1 / horizontalSum(sum4));
  for (let at = row; at < end; at += STEP) {
    const x0 = v128.load(at),
      x1 = upperHalf(at);
    storeHalves(at, f32x4.mul(x0, inverse4), f32x4.mul(x1, inverse4));
  }
}

/** sum_j x_j y_j over the groups that the first `count` floats reach into, in every lane. */
// @ts-ignore: decorator
@inline
function rowDot(x: usize, y: usize, count: i32): v128 {
  const bytes = groupBytes(count);
  let sum4 = f32x4.splat(0);
  for (let c: usize = 0; c < bytes; c += 16) sum4 = madd(v128.load(x + c), v128.load(y + c), sum4);
  return splatOnce(horizontalSum(sum4));
}

/** row  <-  scale weights (row - sum_j weights row): a gradient, or a tangent, carried through the softmax. */
function softmax_linearised(row: usize, weights: usize, count: i32, scale: f32): void {
  fillPadding(row, count, 0);
  const sum4 = rowDot(weights, row, count);
  const scale4 = splatOnce(scale);
  const bytes = groupBytes(count);
  for (let c: usize = 0; c < bytes; c += STEP) {
    const from = weights + c,
      to = row + c;
    const a0 = v128.load(from),
      a1 = upperHalf(from);
    const x0 = v128.load(to),
      x1 = upperHalf(to);
    const low = f32x4.mul(f32x4.mul(a0, scale4), f32x4.sub(x0, sum4));
    const high = f32x4.mul(f32x4.mul(a1, scale4), f32x4.sub(x1, sum4));
    storeHalves(to, low, high);
  }
}

/**
 * Tangent of softmax_linearised, before it has changed `row`. With s = sum_j a r:
 *   r'  <-  scale (a' (r - s) + a (r' - s')),  s' = sum_j (a' r + a r').
 */
function softmax_linearised_jvp(row: usize, weights: usize, count: i32, scale: f32): void {
  fillPadding(row, count, 0);
  fillPadding(row + TANGENT, count, 0);
  const sum4 = rowDot(weights, row, count);
  const sumTangent4 = f32x4.add(rowDot(weights + TANGENT, row, count), rowDot(weights, row + TANGENT, count));
  const scale4 = splatOnce(scale);
  const bytes = groupBytes(count);
  for (let c: usize = 0; c < bytes; c += 16) {
    const changed = f32x4.mul(v128.load(weights + TANGENT + c), f32x4.sub(v128.load(row + c), sum4));
    const centred = f32x4.sub(v128.load(row + TANGENT + c), sumTangent4);
    v128.store(row + TANGENT + c, f32x4.mul(scale4, madd(v128.load(weights + c), centred, changed)));
  }
}

// @ts-ignore: decorator
@inline
function scoreScale(): f32 {
  return <f32>(1 / Math.sqrt(<f64>HD));
}

/** Bytes of one row of attention weights. */
// @ts-ignore: decorator
@inline
function weightBytes(T: i32): usize {
  return (<usize>((T + 7) & ~7)) << 2;
}

/** Keys that query p attends to. */
// @ts-ignore: decorator
@inline
function keysOf(queryPosition: usize, p: i32): i32 {
  return <i32>mapped(queryPosition, p) + 1;
}

/**
 * The keys and values of sequence s, (T, 2D): in place if it shares no rows, else gathered in pathKV, which still has
 * those of the sequence before; with `tangents` also theirs. `kv` has the rows of micro_batch_rows, tokenRow (n).
 */
function pathOf(kv: usize, tokenRow: usize, s: i32, T: i32, share: bool, tangents: bool): usize {
  const kvBytes = (<usize>D) << 3;
  const base = <i32>mapped(tokenRow, s);
  if (!share) return kv + <usize>base * kvBytes;
  const shared = <i32>mapped(sharedTokens, s);
  const own = kv + <usize>(base + shared) * kvBytes;
  const to = pathKV + <usize>shared * kvBytes;
  memory.copy(to, own, <usize>(T - shared) * kvBytes);
  if (tangents) memory.copy(to + TANGENT, own + TANGENT, <usize>(T - shared) * kvBytes);
  return pathKV;
}

/** Add a path's gradient dpath (T, 2D), that of sequence s, to its rows in dkv; the sequence's own rows are set. */
function addPath(dkv: usize, dpath: usize, tokenRow: usize, s: i32, T: i32): void {
  const kvBytes = (<usize>D) << 3;
  const base = <i32>mapped(tokenRow, s);
  const shared = <i32>mapped(sharedTokens, s);
  for (let t = 0; t < shared; t++)
    addTo(dkv + mapped(pathRow, t) * kvBytes, dpath + <usize>t * kvBytes, 2 * D);
  for (let t = shared; t < T; t++) store<i32>(pathRow + ((<usize>t) << 2), base + t);
  memory.copy(
    dkv + <usize>(base + shared) * kvBytes,
    dpath + <usize>shared * kvBytes,
    <usize>(T - shared) * kvBytes,
  );
}

/**
 * y (Q, D), att (sequences x heads, own queries, stride)  <-  q (Q, D), kv (N, 2D) with keys before values. Sequence s
 * has tokens at rows tokenRow[s] + t and its own queries, p from firstQuery[sharedTokens[s]] on, at rows queryRow[s] + p.
 * att holds the attention weights of query p on keys 0 .. queryPosition[p]; stride = T rounded up to 8. Unless `share`,
 * all tokens and queries are the sequence's own. With `tangents` also those of y and att:
 *   scores' = (q' k^T + q k'^T) / sqrt(HD),  a' = a (scores' - sum_j a scores'),  y' = a' v + a v'.
 */
export function attention_forward(
  y: usize,
  att: usize,
  q: usize,
  kv: usize,
  queryPosition: usize,
  firstQuery: usize,
  tokenRow: usize,
  queryRow: usize,
  n: i32,
  T: i32,
  P: i32,
  share: bool,
  tangents: bool,
): void {
  const rowBytes = (<usize>D) << 2;
  const kvBytes = (<usize>D) << 3;
  const attBytes = weightBytes(T);
  for (let s = 0; s < n; s++) {
    const path = pathOf(kv, tokenRow, s, T, share, tangents);
    const own = <i32>mapped(firstQuery, <i32>mapped(sharedTokens, s));
    const queries = <i32>mapped(queryRow, s);
    for (let h = 0; h < H; h++) {
      const head = (<usize>(h * HD)) << 2;
      const keys = path + head;
      transposeHead(keysT, keys, kvBytes, T, attBytes);
      if (tangents) transposeHead(keysT + TANGENT, keys + TANGENT, kvBytes, T, attBytes);
      for (let p0 = own; p0 < P; p0 += 4) {
        const rows = min(4, P - p0);
        const reach = keysOf(queryPosition, p0 + rows - 1);
        const row = <usize>(queries + p0) * rowBytes + head;
        strips(att, attBytes, q + row, rowBytes, 4, keysT, attBytes, HD, rows, (reach + 7) & ~7, tangents);
        for (let i = 0; i < rows; i++) {
          const weights = att + <usize>i * attBytes;
          const count = keysOf(queryPosition, p0 + i);
          softmaxRow(weights, count, scoreScale());
          clearGroups(weights, count, reach);
          if (!tangents) continue;
          softmax_linearised(weights + TANGENT, weights, count, scoreScale());
          clearGroups(weights + TANGENT, count, reach);
        }
        strips(y + row, rowBytes, att, attBytes, 4, keys + rowBytes, kvBytes, reach, rows, HD, tangents);
        att += <usize>rows * attBytes;
      }
    }
  }
}

/**
 * dq (Q, D) =, dkv (N, 2D) =  <-  dy (Q, D), att, q, kv; firstQuery (T + 1) is the first query at or after each time.
 * With a = softmax(scores) and s = sum_j a da:
 *   da = dy v^T,  dscores = a (da - s) / sqrt(HD),  dq = dscores k,  dk = dscores^T q,  dv = a^T dy.
 * With `tangents` also those of dq and dkv, from those of everything else:
 *   da' = dy' v^T + dy v'^T,  dscores' = (a' (da - s) + a (da' - sum_j (a' da + a da'))) / sqrt(HD),
 *   dq' = dscores' k + dscores k',  dk' = dscores'^T q + dscores^T q',  dv' = a'^T dy + a^T dy'.
 */
export function attention_backward(
  dq: usize,
  dkv: usize,
  dy: usize,
  att: usize,
  q: usize,
  kv: usize,
  queryPosition: usize,
  firstQuery: usize,
  tokenRow: usize,
  queryRow: usize,
  n: i32,
  T: i32,
  P: i32,
  share: bool,
  tangents: bool,
): void {
  const rowBytes = (<usize>D) << 2;
  const kvBytes = (<usize>D) << 3;
  const attBytes = weightBytes(T);
  for (let s = 0; s < n; s++) {
    const path = pathOf(kv, tokenRow, s, T, share, tangents);
    const dpath = share ? dPathKV : dkv + <usize>(s * T) * kvBytes;
    const own = <i32>mapped(firstQuery, <i32>mapped(sharedTokens, s));
    const queries = <i32>mapped(queryRow, s);
    for (let h = 0; h < H; h++) {
      const head = (<usize>(h * HD)) << 2;
      const keys = path + head;
      const values = keys + rowBytes;
      transposeHead(valuesT, values, kvBytes, T, attBytes);
      if (tangents) transposeHead(valuesT + TANGENT, values + TANGENT, kvBytes, T, attBytes);
      for (let p0 = own; p0 < P; p0 += 4) {
        const rows = min(4, P - p0);
        const reach = keysOf(queryPosition, p0 + rows - 1);
        const row = <usize>(queries + p0) * rowBytes + head;
        const offset = <usize>(p0 - own) * attBytes;
        const scores = dScores + offset;
        strips(
          scores,
          attBytes,
          dy + row,
          rowBytes,
          4,
          valuesT,
          attBytes,
          HD,
          rows,
          (reach + 7) & ~7,
          tangents,
        );
        for (let i = 0; i < rows; i++) {
          const at = offset + <usize>i * attBytes;
          const count = keysOf(queryPosition, p0 + i);
          if (tangents) {
            softmax_linearised_jvp(dScores + at, att + at, count, scoreScale());
            clearGroups(dScores + TANGENT + at, count, reach);
          }
          softmax_linearised(dScores + at, att + at, count, scoreScale());
          clearGroups(dScores + at, count, reach);
        }
        strips(dq + row, rowBytes, scores, attBytes, 4, keys, kvBytes, reach, rows, HD, tangents);
      }
      for (let j = 0; j < T; j += 4) {
        const rows = min(4, T - j);
        const first = max(own, <i32>mapped(firstQuery, j));
        const column = <usize>(first - own) * attBytes + ((<usize>j) << 2);
        const from = <usize>(queries + first) * rowBytes + head;
        const dkey = dpath + <usize>j * kvBytes + head;
        strips(
          dkey,
          kvBytes,
          dScores + column,
          4,
          attBytes,
          q + from,
          rowBytes,
          P - first,
          rows,
          HD,
          tangents,
        );
        strips(
          dkey + rowBytes,
          kvBytes,
          att + column,
          4,
          attBytes,
          dy + from,
          rowBytes,
          P - first,
          rows,
          HD,
          tangents,
        );
      }
      att += <usize>(P - own) * attBytes;
    }
    if (share) addPath(dkv, dPathKV, tokenRow, s, T);
    if (share && tangents) addPath(dkv + TANGENT, dPathKV + TANGENT, tokenRow, s, T);
  }
}
