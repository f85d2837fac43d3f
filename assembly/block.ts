// One block of the decoder, forward and backward, with or without tangents:
//   mid = x + dropout(o(attention(q, k, v))),  q, k, v = projections of ln_1 x,
//   out = mid + dropout(proj(act(fc(ln_2 mid)))).
// Of the row sets of micro_batch.ts the input has U in the first block and N after it; queries and everything after
// them have Q in the last block and N before it.
// prettier-ignore
import {
  A_ATT, A_HIDDEN, A_KV, A_LN1, A_LN2, A_MID, A_PRE, A_Q, A_STATS1, A_STATS2, A_X, A_Y, D, F, L, PK_FC,
  PK_FC_BACK, PK_KV, PK_KV_BACK, PK_O, PK_O_BACK, PK_PROJ, PK_PROJ_BACK, PK_Q, PK_Q_BACK, P_BLOCK,
  P_BLOCK_SIZE, P_FC, P_LN2, P_O, P_PROJ, P_QKV, activationBytes, activations, dHidden, dKV, dQ, dRow,
  dTableKV, dTableQ, firstQuery, gradient, identity, packedBlockBytes, packedBlocks, parameters, queryLn1,
  queryPosition, queryRow, queryToDistinct, queryToToken, tableKV, tableQ, tokenPosition, tokenRow,
  tokenToDistinct,
} from "./layout";
import { activation_backward, activation_forward } from "./layers/activation";
import { attention_backward, attention_forward } from "./layers/attention";
import { dropout_active, dropout_apply } from "./layers/dropout";
import { layernorm_backward, layernorm_forward } from "./layers/layernorm";
import {
  linear_backward_input,
  linear_backward_weight,
  linear_forward,
  linear_pack,
  linear_pack_backward,
} from "./layers/linear";
import { rope_apply } from "./layers/rope";
import { N, Q, U, predictions, sequences, sharing, time } from "./micro_batch";
import { at, rows_clear, rows_gather, rows_gather_add, rows_scatter_add } from "./rows";

// Where block i has its things.

// @ts-ignore: decorator
@inline
export function blockParameters(i: i32): usize {
  return at(parameters, P_BLOCK + i * P_BLOCK_SIZE);
}

// @ts-ignore: decorator
@inline
export function blockPacked(i: i32): usize {
  return packedBlocks + <usize>i * packedBlockBytes;
}

// @ts-ignore: decorator
@inline
export function blockActivations(i: i32): usize {
  return activations + <usize>i * activationBytes;
}

// Rows of block i.

// @ts-ignore: decorator
@inline
function inputRows(i: i32): i32 {
  return i == 0 ? U : N;
}

// @ts-ignore: decorator
@inline
export function queryRows(i: i32): i32 {
  return i == L - 1 ? Q : N;
}

// @ts-ignore: decorator
@inline
export function queriesPerSequence(i: i32): i32 {
  return i == L - 1 ? predictions : time;
}

/** Times of the query rows. */
// @ts-ignore: decorator
@inline
function queryTimes(i: i32): usize {
  return i == L - 1 ? queryPosition : tokenPosition;
}

/** Map from query rows to input rows. */
// @ts-ignore: decorator
@inline
function queryMap(i: i32): usize {
  if (i == L - 1) return i == 0 ? queryToDistinct : queryToToken;
  return i == 0 ? tokenToDistinct : identity;
}

// Places of dropout, numbered over the model.

// @ts-ignore: decorator
@inline
function attentionSite(i: i32): i32 {
  return 2 * i;
}

// @ts-ignore: decorator
@inline
function mlpSite(i: i32): i32 {
  return 2 * i + 1;
}

/** Pack the weights of block i, with `backward` for both directions; of the flat vector `shift` bytes further. */
export function block_pack(i: i32, shift: usize, backward: bool): void {
  const p = blockParameters(i) + shift;
  const packed = blockPacked(i) + shift;
  const wq = at(p, P_QKV());
  const wkv = at(wq, D * D);
  linear_pack(packed + PK_Q, wq, D, D);
  linear_pack(packed + PK_KV, wkv, D, 2 * D);
  linear_pack(packed + PK_O, at(p, P_O()), D, D);
  linear_pack(packed + PK_FC, at(p, P_FC()), D, F);
  linear_pack(packed + PK_PROJ, at(p, P_PROJ()), F, D);
  if (!backward) return;
  linear_pack_backward(packed + PK_Q_BACK, wq, D, D);
  linear_pack_backward(packed + PK_KV_BACK, wkv, D, 2 * D);
  linear_pack_backward(packed + PK_O_BACK, at(p, P_O()), D, D);
  linear_pack_backward(packed + PK_FC_BACK, at(p, P_FC()), D, F);
  linear_pack_backward(packed + PK_PROJ_BACK, at(p, P_PROJ()), F, D);
}

/** out (query rows of block i, D) = x[map] + dropout(y W^T), y (query rows, inputs). */
function residual_forward(
  i: i32,
  out: usize,
  x: usize,
  map: usize,
  y: usize,
  packed: usize,
  inputs: i32,
  site: i32,
  tangents: bool,
): void {
  const rows = queryRows(i);
  if (dropout_active()) {
    linear_forward(out, D, y, packed, rows, inputs, D, false, tangents);
    dropout_apply(out, out, site, queryTimes(i), sequences, time, queriesPerSequence(i), tangents);
    rows_gather_add(out, x, map, rows, D, tangents);
  } else {
    rows_gather(out, x, map, rows, D, tangents);
    linear_forward(out, D, y, packed, rows, inputs, D, true, tangents);
  }
}

/** The gradient dout as it reaches the branch of residual_forward: dout itself, or masked in `scratch`. */
function residual_backward(i: i32, scratch: usize, dout: usize, site: i32, tangents: bool): usize {
  if (!dropout_active()) return dout;
  dropout_apply(scratch, dout, site, queryTimes(i), sequences, time, queriesPerSequence(i), tangents);
  return scratch;
}

/** out (query rows, D)  <-  x = A_X (input rows, D). */
export function block_forward(i: i32, out: usize, tangents: bool): void {
  const last = i == L - 1;
  const rows = queryRows(i);
  const times = queryTimes(i);
  const p = blockParameters(i);
  const packed = blockPacked(i);
  const a = blockActivations(i);
  const x = a + A_X,
    ln1 = a + A_LN1,
    q = a + A_Q,
    kv = a + A_KV,
    mid = a + A_MID,
    ln2 = a + A_LN2;

  layernorm_forward(ln1, a + A_STATS1, x, p, at(p, D), inputRows(i), D, tangents);
  if (i == 0) {
    linear_forward(tableQ, D, ln1, packed + PK_Q, U, D, D, false, tangents);
    linear_forward(tableKV, 2 * D, ln1, packed + PK_KV, U, D, 2 * D, false, tangents);
    rope_apply(q, D, tableQ, D, queryMap(0), times, rows, 1, tangents);
    rows_gather(kv, tableKV, tokenToDistinct, N, 2 * D, tangents);
  } else {
    linear_forward(kv, 2 * D, ln1, packed + PK_KV, N, D, 2 * D, false, tangents);
    if (last) rows_gather(queryLn1, ln1, queryToToken, Q, D, tangents);
    linear_forward(q, D, last ? queryLn1 : ln1, packed + PK_Q, rows, D, D, false, tangents);
    rope_apply(q, D, q, D, identity, times, rows, 1, tangents);
  }
  rope_apply(kv, 2 * D, kv, 2 * D, identity, tokenPosition, N, 1, tangents);
  attention_forward(
    a + A_Y,
    a + A_ATT,
    q,
    kv,
    times,
    last ? firstQuery : identity,
    tokenRow,
    last ? queryRow : tokenRow,
    sequences,
    time,
    queriesPerSequence(i),
    sharing,
    tangents,
  );
  residual_forward(i, mid, x, queryMap(i), a + A_Y, packed + PK_O, D, attentionSite(i), tangents);

  layernorm_forward(ln2, a + A_STATS2, mid, at(p, P_LN2()), at(p, P_LN2() + D), rows, D, tangents);
  linear_forward(a + A_PRE, F, ln2, packed + PK_FC, rows, D, F, false, tangents);
  activation_forward(a + A_HIDDEN, a + A_PRE, rows * F, tangents);
  residual_forward(i, out, mid, identity, a + A_HIDDEN, packed + PK_PROJ, F, mlpSite(i), tangents);
}

/** dQ (query rows, D), dKV (N, 2D)  <-  dRow (query rows, D), the gradient of the attention's output. */
export function block_attention_backward(i: i32, tangents: bool): void {
  const last = i == L - 1;
  const a = blockActivations(i);
  attention_backward(
    dQ,
    dKV,
    dRow,
    a + A_ATT,
    a + A_Q,
    a + A_KV,
    queryTimes(i),
    last ? firstQuery : identity,
    tokenRow,
    last ? queryRow : tokenRow,
    sequences,
    time,
    queriesPerSequence(i),
    sharing,
    tangents,
  );
  rope_apply(dQ, D, dQ, D, identity, queryTimes(i), queryRows(i), -1, tangents);
  rope_apply(dKV, 2 * D, dKV, 2 * D, identity, tokenPosition, N, -1, tangents);
}

/**
 * dx (input rows, D) =  <-  dout (query rows, D), which is overwritten. The gradients of parameters accumulate; with
 * `tangents` not they but their tangents do. Until its result is due dx is scratch.
 */
export function block_backward(i: i32, dx: usize, dout: usize, tangents: bool): void {
  const last = i == L - 1;
  const rows = queryRows(i);
  const inputs = inputRows(i);
  const p = blockParameters(i);
  const dp = at(gradient, P_BLOCK + i * P_BLOCK_SIZE);
  const packed = blockPacked(i);
  const a = blockActivations(i);
  const ln1 = a + A_LN1,
    ln2 = a + A_LN2;

  // out = mid + dropout(proj(act(fc(ln_2 mid))))
  const dmlp = residual_backward(i, dx, dout, mlpSite(i), tangents);
  linear_backward_weight(at(dp, P_PROJ()), dmlp, D, a + A_HIDDEN, rows, F, D, tangents);
  linear_backward_input(dHidden, dmlp, D, packed + PK_PROJ_BACK, rows, F, D, false, tangents);
  activation_backward(dHidden, a + A_PRE, rows * F, tangents);
  linear_backward_weight(at(dp, P_FC()), dHidden, F, ln2, rows, D, F, tangents);
  linear_backward_input(dRow, dHidden, F, packed + PK_FC_BACK, rows, D, F, false, tangents);
  layernorm_backward(
    dout,
    at(dp, P_LN2()),
    at(dp, P_LN2() + D),
    dRow,
    a + A_MID,
    a + A_STATS2,
    at(p, P_LN2()),
    rows,
    D,
    tangents,
  );

  // mid = x + dropout(o(attention(q, k, v)))
  const dattention = residual_backward(i, dx, dout, attentionSite(i), tangents);
  linear_backward_weight(at(dp, P_O()), dattention, D, a + A_Y, rows, D, D, tangents);
  linear_backward_input(dRow, dattention, D, packed + PK_O_BACK, rows, D, D, false, tangents);
  block_attention_backward(i, tangents);

  // q, k, v = projections of ln_1 x
  const dwq = at(dp, P_QKV());
  const dwkv = at(dwq, D * D);
  let dq = dQ;
  let dkv = dKV;
  if (i == 0) {
    dq = dTableQ;
    dkv = dTableKV;
    rows_clear(dq, U, D, tangents);
    rows_clear(dkv, U, 2 * D, tangents);
    rows_scatter_add(dq, dQ, queryMap(0), rows, D, tangents);
    rows_scatter_add(dkv, dKV, tokenToDistinct, N, 2 * D, tangents);
  }
  linear_backward_weight(dwkv, dkv, 2 * D, ln1, inputs, D, 2 * D, tangents);
  linear_backward_input(dRow, dkv, 2 * D, packed + PK_KV_BACK, inputs, D, 2 * D, false, tangents);
  if (last && i > 0) {
    linear_backward_weight(dwq, dq, D, queryLn1, Q, D, D, tangents);
    linear_backward_input(dx, dq, D, packed + PK_Q_BACK, Q, D, D, false, tangents);
    rows_scatter_add(dRow, dx, queryToToken, Q, D, tangents);
  } else {
    linear_backward_weight(dwq, dq, D, ln1, inputs, D, D, tangents);
    linear_backward_input(dRow, dq, D, packed + PK_Q_BACK, inputs, D, D, true, tangents);
  }
  rows_clear(dx, inputs, D, tangents);
  rows_scatter_add(dx, dout, queryMap(i), rows, D, tangents);
  layernorm_backward(dx, dp, at(dp, D), dRow, a + A_X, a + A_STATS1, p, inputs, D, tangents);
}
