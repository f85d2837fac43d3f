// Second-order products of one micro-batch by forward-over-reverse differentiation (Pearlmutter 1994): the tangent of a
// quantity is its derivative when the parameters move along the direction v. The tangent of every buffer, v itself
// included, lies TANGENT bytes after it, so each pass here reads like the one of transformer.ts that it differentiates.
import {
  A_ATT, A_HIDDEN, A_KV, A_LN1, A_LN2, A_MID, A_PRE, A_Q, A_STATS1, A_STATS2, A_X, A_Y, D, F, L, PK_FC,
  PK_FC_BACK, PK_KV, PK_KV_BACK, PK_O, PK_O_BACK, PK_PROJ, PK_PROJ_BACK, PK_Q, PK_Q_BACK, P_BLOCK, P_BLOCK_SIZE,
  P_FC, P_LN2, P_HEAD, P_LNF, P_O, P_PROJ, P_QKV, P_ROLE, TANGENT, V, VS, activationBytes, activations, dHidden, dKV,
  dQ, dRow, dTableKV, dTableQ, dX, dX2, finalLn, finalStats, finalX, firstQuery, gradient, identity, logits,
  packedBlockBytes, packedBlocks, packedHead, packedHeadBack, parameters, predictionCount, predictionToQuery,
  queryLn1, queryPosition, queryRow, queryToToken, tableKV, tableQ, tangent, targets, tokenPosition, tokenRow,
  tokenToDistinct,
} from "./layout";
import { attention_backward, attention_jvp } from "./layers/attention";
import { activation_backward_jvp, activation_jvp } from "./layers/activation";
import { crossentropy_backward, crossentropy_backward_jvp, softmax_forward } from "./layers/crossentropy";
import { dropout_active, dropout_apply } from "./layers/dropout";
import { embedding_backward, embedding_forward } from "./layers/embedding";
import { layernorm_backward_jvp, layernorm_jvp } from "./layers/layernorm";
import { linear_backward_input_jvp, linear_backward_weight_jvp, linear_jvp } from "./layers/linear";
import { rope_apply } from "./layers/rope";
import { rows_gather, rows_gather_add, rows_scatter_add } from "./rows";
import {
  N, Q, U, attentionSite, backward, floats, forward_rows, inputRows, mlpSite, pack_shifted, predictions, queryMap,
  sequences, sharing, time,
} from "./transformer";

/** Pack the direction v, with `backward` for both directions; once per product. */
export function pack_direction(backward: bool): void {
  pack_shifted(TANGENT, backward);
}

// What is linear acts on a buffer and on its tangent alike.

function clear(x: usize, n: i32): void {
  memory.fill(x, 0, <usize>n << 2);
  memory.fill(tangent(x), 0, <usize>n << 2);
}

function scatter_add(dst: usize, src: usize, map: usize, rows: i32, d: i32): void {
  rows_scatter_add(dst, src, map, rows, d);
  rows_scatter_add(tangent(dst), tangent(src), map, rows, d);
}

function rotate_back(x: usize, stride: i32, position: usize, rows: i32): void {
  rope_apply(x, stride, x, stride, identity, position, rows, -1);
  rope_apply(tangent(x), stride, tangent(x), stride, identity, position, rows, -1);
}

/** Tangent of residual_forward. */
function residual_jvp(
  out: usize, x: usize, map: usize, y: usize, packed: usize, rows: i32, inputs: i32, site: i32, position: usize,
  perSequence: i32,
): void {
  const branch = tangent(out);
  if (dropout_active()) {
    linear_jvp(out, D, y, packed, rows, inputs, D, false);
    dropout_apply(branch, branch, site, position, sequences, time, perSequence);
    rows_gather_add(branch, tangent(x), map, rows, D);
  } else {
    rows_gather(branch, tangent(x), map, rows, D);
    linear_jvp(out, D, y, packed, rows, inputs, D, true);
  }
}

/** residual_backward, and the same of the tangent. */
function residual_backward_jvp(scratch: usize, dout: usize, site: i32, position: usize, perSequence: i32): usize {
  if (!dropout_active()) return dout;
  dropout_apply(scratch, dout, site, position, sequences, time, perSequence);
  dropout_apply(tangent(scratch), tangent(dout), site, position, sequences, time, perSequence);
  return scratch;
}

/** Tangent of block_forward. */
function block_jvp(i: i32, out: usize): void {
  const last = i == L - 1;
  const rows = last ? Q : N;
  const perSequence = last ? predictions : time;
  const position = last ? queryPosition : tokenPosition;
  const inputs = inputRows(i);
  const p = floats(parameters, P_BLOCK + i * P_BLOCK_SIZE);
  const packed = packedBlocks + <usize>i * packedBlockBytes;
  const a = activations + <usize>i * activationBytes;
  const x = a + A_X, ln1 = a + A_LN1, q = a + A_Q, kv = a + A_KV, mid = a + A_MID, ln2 = a + A_LN2;

  layernorm_jvp(ln1, a + A_STATS1, x, p, floats(p, D), inputs, D);
  if (i == 0) {
    linear_jvp(tableQ, D, ln1, packed + PK_Q, U, D, D, false);
    linear_jvp(tableKV, 2 * D, ln1, packed + PK_KV, U, D, 2 * D, false);
    rope_apply(tangent(q), D, tangent(tableQ), D, queryMap(0), position, rows, 1);
    rows_gather(tangent(kv), tangent(tableKV), tokenToDistinct, N, 2 * D);
  } else {
    linear_jvp(kv, 2 * D, ln1, packed + PK_KV, N, D, 2 * D, false);
    if (last) rows_gather(tangent(queryLn1), tangent(ln1), queryToToken, Q, D);
    linear_jvp(q, D, last ? queryLn1 : ln1, packed + PK_Q, rows, D, D, false);
    rope_apply(tangent(q), D, tangent(q), D, identity, position, rows, 1);
  }
  rope_apply(tangent(kv), 2 * D, tangent(kv), 2 * D, identity, tokenPosition, N, 1);
  attention_jvp(
    a + A_Y, a + A_ATT, q, kv, position, last ? firstQuery : identity, tokenRow, last ? queryRow : tokenRow, sequences,
    time, perSequence, sharing,
  );
  residual_jvp(mid, x, queryMap(i), a + A_Y, packed + PK_O, rows, D, attentionSite(i), position, perSequence);

  layernorm_jvp(ln2, a + A_STATS2, mid, floats(p, P_LN2()), floats(p, P_LN2() + D), rows, D);
  linear_jvp(a + A_PRE, F, ln2, packed + PK_FC, rows, D, F, false);
  activation_jvp(a + A_HIDDEN, a + A_PRE, rows * F);
  residual_jvp(out, mid, identity, a + A_HIDDEN, packed + PK_PROJ, rows, F, mlpSite(i), position, perSequence);
}

/**
 * block_backward and its tangent: dx, dx' (input rows, D)  <-  dout, dout' (query rows, D), both overwritten. Of the
 * parameter gradients only the tangents are computed; they accumulate in `gradient`. Until its result is due dx is
 * scratch.
 */
function block_backward_jvp(i: i32, dx: usize, dout: usize): void {
  const last = i == L - 1;
  const rows = last ? Q : N;
  const perSequence = last ? predictions : time;
  const position = last ? queryPosition : tokenPosition;
  const inputs = inputRows(i);
  const p = floats(parameters, P_BLOCK + i * P_BLOCK_SIZE);
  const dp = floats(gradient, P_BLOCK + i * P_BLOCK_SIZE);
  const packed = packedBlocks + <usize>i * packedBlockBytes;
  const a = activations + <usize>i * activationBytes;
  const ln1 = a + A_LN1, q = a + A_Q, kv = a + A_KV, ln2 = a + A_LN2;

  // out = mid + dropout(proj(act(fc(ln_2 mid))))
  const dmlp = residual_backward_jvp(dx, dout, mlpSite(i), position, perSequence);
  linear_backward_weight_jvp(floats(dp, P_PROJ()), dmlp, D, a + A_HIDDEN, rows, F, D);
  linear_backward_input_jvp(dHidden, dmlp, D, packed + PK_PROJ_BACK, rows, F, D, false);
  activation_backward_jvp(dHidden, a + A_PRE, rows * F);
  linear_backward_weight_jvp(floats(dp, P_FC()), dHidden, F, ln2, rows, D, F);
  linear_backward_input_jvp(dRow, dHidden, F, packed + PK_FC_BACK, rows, D, F, false);
  layernorm_backward_jvp(
    dout, floats(dp, P_LN2()), floats(dp, P_LN2() + D), dRow, a + A_MID, a + A_STATS2, floats(p, P_LN2()), rows, D,
  );

  // mid = x + dropout(o(attention(q, k, v)))
  const dattention = residual_backward_jvp(dx, dout, attentionSite(i), position, perSequence);
  linear_backward_weight_jvp(floats(dp, P_O()), dattention, D, a + A_Y, rows, D, D);
  linear_backward_input_jvp(dRow, dattention, D, packed + PK_O_BACK, rows, D, D, false);
  attention_backward(
    dQ, dKV, dRow, a + A_ATT, q, kv, position, last ? firstQuery : identity, tokenRow, last ? queryRow : tokenRow,
    sequences, time, perSequence, sharing, true,
  );
  rotate_back(dQ, D, position, rows);
  rotate_back(dKV, 2 * D, tokenPosition, N);

  // q, k, v = projections of ln_1 x
  const dwq = floats(dp, P_QKV());
  const dwkv = floats(dwq, D * D);
  let dq = dQ;
  let dkv = dKV;
  if (i == 0) {
    dq = dTableQ;
    dkv = dTableKV;
    clear(dq, U * D);
    clear(dkv, 2 * U * D);
    scatter_add(dq, dQ, queryMap(0), rows, D);
    scatter_add(dkv, dKV, tokenToDistinct, N, 2 * D);
  }
  linear_backward_weight_jvp(dwkv, dkv, 2 * D, ln1, inputs, D, 2 * D);
  linear_backward_input_jvp(dRow, dkv, 2 * D, packed + PK_KV_BACK, inputs, D, 2 * D, false);
  if (last && i > 0) {
    linear_backward_weight_jvp(dwq, dq, D, queryLn1, Q, D, D);
    linear_backward_input_jvp(dx, dq, D, packed + PK_Q_BACK, Q, D, D, false);
    scatter_add(dRow, dx, queryToToken, Q, D);
  } else {
    linear_backward_weight_jvp(dwq, dq, D, ln1, inputs, D, D);
    linear_backward_input_jvp(dRow, dq, D, packed + PK_Q_BACK, inputs, D, D, true);
  }
  clear(dx, inputs * D);
  scatter_add(dx, dout, queryMap(i), rows, D);
  layernorm_backward_jvp(dx, dp, floats(dp, D), dRow, a + A_X, a + A_STATS1, p, inputs, D);
}

/** `forward` and its tangent: logits and J v (n P, VS), the latter in the logits' twin. v must be packed. */
export function forward_jvp(n: i32, T: i32, P: i32): void {
  forward_rows_jvp(n, T, P, false);
}

/** `forward_rows` and its tangent: as forward_jvp, each query row once. */
function forward_rows_jvp(n: i32, T: i32, P: i32, share: bool): void {
  forward_rows(n, T, P, share);
  embedding_forward(tangent(activations + A_X), tangent(parameters), tangent(floats(parameters, P_ROLE)), U);
  for (let i = 0; i < L; i++) {
    block_jvp(i, i == L - 1 ? finalX : activations + <usize>(i + 1) * activationBytes + A_X);
  }
  layernorm_jvp(finalLn, finalStats, finalX, floats(parameters, P_LNF), floats(parameters, P_LNF + D), Q, D);
  linear_jvp(logits, VS, finalLn, packedHead, Q, D, V, false);
}

/** `gradient` += weight x H v of the micro-batch, H being the Hessian of the sum of its losses. */
export function hessian_vector(n: i32, T: i32, P: i32, weight: f32): void {
  forward_rows_jvp(n, T, P, !dropout_active());
  softmax_forward(logits, Q);
  crossentropy_backward_jvp(logits, predictionCount, Q, weight);
  crossentropy_backward(logits, targets, predictionToQuery, n * P, predictionCount, Q, weight);
  linear_backward_weight_jvp(floats(gradient, P_HEAD), logits, VS, finalLn, Q, D, V);
  linear_backward_input_jvp(dRow, logits, VS, packedHeadBack, Q, D, V, false);
  let dout = dX;
  let dx = dX2;
  clear(dout, Q * D);
  layernorm_backward_jvp(
    dout, floats(gradient, P_LNF), floats(gradient, P_LNF + D), dRow, finalX, finalStats, floats(parameters, P_LNF), Q, D,
  );
  for (let i = L - 1; i >= 0; i--) {
    block_backward_jvp(i, dx, dout);
    const swap = dout;
    dout = dx;
    dx = swap;
  }
  embedding_backward(gradient, floats(gradient, P_ROLE), tangent(dout), U);
}

/**
 * `gradient` += weight x G v of the micro-batch, G = sum over its predictions of J^T (diag p - p p^T) J, the
 * generalised Gauss-Newton matrix.
 */
export function ggn_vector(n: i32, T: i32, P: i32, weight: f32): void {
  forward_rows_jvp(n, T, P, !dropout_active());
  softmax_forward(logits, Q);
  crossentropy_backward_jvp(logits, predictionCount, Q, weight);
  backward(tangent(logits));
}
