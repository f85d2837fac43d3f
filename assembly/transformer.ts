// The decoder: forward and hand-written backward of one micro-batch of n sequences of length T, with predictions at P
// positions each. Three row sets occur:
//   U distinct (token, role) rows: input, ln_1 and q, k, v projections of the first block;
//   N token rows: everything else, except
//   Q query rows: in the last block queries, attention output and MLP are needed at predictions only.
// N = n T and Q = n P, or with `share` (see embedding.ts) as many as there are distinct prefixes.
// A block's queries are its output rows: N rows in all blocks but the last, Q rows there.
import {
  A_ATT, A_HIDDEN, A_KV, A_LN1, A_LN2, A_MID, A_PRE, A_Q, A_STATS1, A_STATS2, A_X, A_Y, D, F, L, NT, PK_FC,
  PK_FC_BACK, PK_KV, PK_KV_BACK, PK_O, PK_O_BACK, PK_PROJ, PK_PROJ_BACK, PK_Q, PK_Q_BACK, P_BLOCK, P_BLOCK_SIZE,
  P_FC, P_HEAD, P_LN2, P_LNF, P_O, P_PROJ, P_QKV, P_ROLE, V, VS, activationBytes, activations, dHidden, dKV, dQ,
  dRow, dTableKV, dTableQ, dX, dX2, finalLn, finalStats, finalX, firstQuery, gradient, identity, logits,
  packedBlockBytes, packedBlocks, packedHead, packedHeadBack, parameters, positions, predictionCount,
  predictionToQuery, queryLn1, queryPosition, queryToDistinct, queryRow, queryToToken, tableKV, tableQ, targets,
  tokenPosition, tokenRow, tokenToDistinct, tokens,
} from "./layout";
import { attention_backward, attention_forward } from "./layers/attention";
import { activation_backward, activation_forward } from "./layers/activation";
import { crossentropy_forward_backward } from "./layers/crossentropy";
import { dropout_active, dropout_apply } from "./layers/dropout";
import {
  distinctRows, embedding_backward, embedding_forward, embedding_rows, queryRows, tokenRows,
} from "./layers/embedding";
import { layernorm_backward, layernorm_forward } from "./layers/layernorm";
import {
  linear_backward_input, linear_backward_weight, linear_forward, linear_pack, linear_pack_backward,
} from "./layers/linear";
import { rope_apply, rope_tables } from "./layers/rope";
import { rows_gather, rows_gather_add, rows_scatter_add } from "./rows";

// Row counts of the current micro-batch, set by `forward` and used by `backward`.
export let U: i32 = 0, N: i32 = 0, Q: i32 = 0, sequences: i32 = 0, time: i32 = 0, predictions: i32 = 0;
export let sharing: bool = false;

// @ts-ignore: decorator
@inline
export function floats(base: usize, offset: i32): usize {
  return base + (<usize>offset << 2);
}

/** Constant tables; once, after memory has grown. */
export function initialise(ropeBase: f64): void {
  for (let r = 0; r <= NT; r++) store<i32>(floats(identity, r), r);
  rope_tables(ropeBase);
}

/** Pack all weights, with `backward` for both directions; once after every change of the parameters. */
export function pack_weights(backward: bool): void {
  pack_shifted(0, backward);
}

/** Pack the weights of the flat vector `shift` bytes after the parameters, `shift` bytes after theirs. */
export function pack_shifted(shift: usize, backward: bool): void {
  for (let i = 0; i < L; i++) {
    const p = floats(parameters + shift, P_BLOCK + i * P_BLOCK_SIZE);
    const packed = packedBlocks + shift + <usize>i * packedBlockBytes;
    const wq = floats(p, P_QKV());
    const wkv = floats(wq, D * D);
    linear_pack(packed + PK_Q, wq, D, D);
    linear_pack(packed + PK_KV, wkv, D, 2 * D);
    linear_pack(packed + PK_O, floats(p, P_O()), D, D);
    linear_pack(packed + PK_FC, floats(p, P_FC()), D, F);
    linear_pack(packed + PK_PROJ, floats(p, P_PROJ()), F, D);
    if (backward) {
      linear_pack_backward(packed + PK_Q_BACK, wq, D, D);
      linear_pack_backward(packed + PK_KV_BACK, wkv, D, 2 * D);
      linear_pack_backward(packed + PK_O_BACK, floats(p, P_O()), D, D);
      linear_pack_backward(packed + PK_FC_BACK, floats(p, P_FC()), D, F);
      linear_pack_backward(packed + PK_PROJ_BACK, floats(p, P_PROJ()), F, D);
    }
  }
  const head = floats(parameters + shift, P_HEAD);
  linear_pack(packedHead + shift, head, D, V);
  if (backward) linear_pack_backward(packedHeadBack + shift, head, D, V);
}

/** Rows of the block's input: the distinct rows for the first block, token rows after it. */
// @ts-ignore: decorator
@inline
export function inputRows(i: i32): i32 {
  return i == 0 ? U : N;
}

/** Map from the block's query rows to its input rows. */
// @ts-ignore: decorator
@inline
export function queryMap(i: i32): usize {
  if (i == L - 1) return i == 0 ? queryToDistinct : queryToToken;
  return i == 0 ? tokenToDistinct : identity;
}

/** Places of dropout in block i, numbered over the model. */
// @ts-ignore: decorator
@inline
export function attentionSite(i: i32): i32 {
  return 2 * i;
}
// @ts-ignore: decorator
@inline
export function mlpSite(i: i32): i32 {
  return 2 * i + 1;
}

/** out (rows, D) = x[map] + dropout(y W^T), y (rows, inputs). */
function residual_forward(
  out: usize, x: usize, map: usize, y: usize, packed: usize, rows: i32, inputs: i32, site: i32, position: usize,
  perSequence: i32,
): void {
  if (dropout_active()) {
    linear_forward(out, D, y, packed, rows, inputs, D, false);
    dropout_apply(out, out, site, position, sequences, time, perSequence);
    rows_gather_add(out, x, map, rows, D);
  } else {
    rows_gather(out, x, map, rows, D);
    linear_forward(out, D, y, packed, rows, inputs, D, true);
  }
}

/** The gradient dout as it reaches the branch of residual_forward: dout itself, or masked in `scratch`. */
function residual_backward(scratch: usize, dout: usize, site: i32, position: usize, perSequence: i32): usize {
  if (!dropout_active()) return dout;
  dropout_apply(scratch, dout, site, position, sequences, time, perSequence);
  return scratch;
}

/** out (rows, D) = x + attention(ln_1 x), then + MLP(ln_2 .); rows are the block's query rows. */
function block_forward(i: i32, out: usize): void {
  const last = i == L - 1;
  const rows = last ? Q : N;
  const perSequence = last ? predictions : time;
  const position = last ? queryPosition : tokenPosition;
  const inputs = inputRows(i);
  const p = floats(parameters, P_BLOCK + i * P_BLOCK_SIZE);
  const packed = packedBlocks + <usize>i * packedBlockBytes;
  const a = activations + <usize>i * activationBytes;
  const x = a + A_X, ln1 = a + A_LN1, q = a + A_Q, kv = a + A_KV, mid = a + A_MID, ln2 = a + A_LN2;

  layernorm_forward(ln1, a + A_STATS1, x, p, floats(p, D), inputs, D);
  if (i == 0) {
    linear_forward(tableQ, D, ln1, packed + PK_Q, U, D, D, false);
    linear_forward(tableKV, 2 * D, ln1, packed + PK_KV, U, D, 2 * D, false);
    rope_apply(q, D, tableQ, D, queryMap(0), position, rows, 1);
    rows_gather(kv, tableKV, tokenToDistinct, N, 2 * D);
  } else {
    linear_forward(kv, 2 * D, ln1, packed + PK_KV, N, D, 2 * D, false);
    if (last) rows_gather(queryLn1, ln1, queryToToken, Q, D);
    linear_forward(q, D, last ? queryLn1 : ln1, packed + PK_Q, rows, D, D, false);
    rope_apply(q, D, q, D, identity, position, rows, 1);
  }
  rope_apply(kv, 2 * D, kv, 2 * D, identity, tokenPosition, N, 1);
  attention_forward(
    a + A_Y, a + A_ATT, q, kv, position, last ? firstQuery : identity, tokenRow, last ? queryRow : tokenRow, sequences,
    time, perSequence, sharing,
  );
  residual_forward(mid, x, queryMap(i), a + A_Y, packed + PK_O, rows, D, attentionSite(i), position, perSequence);

  layernorm_forward(ln2, a + A_STATS2, mid, floats(p, P_LN2()), floats(p, P_LN2() + D), rows, D);
  linear_forward(a + A_PRE, F, ln2, packed + PK_FC, rows, D, F, false);
  activation_forward(a + A_HIDDEN, a + A_PRE, rows * F);
  residual_forward(out, mid, identity, a + A_HIDDEN, packed + PK_PROJ, rows, F, mlpSite(i), position, perSequence);
}

/**
 * dx (input rows, D) =  <-  dout (query rows, D), which is overwritten; parameter gradients accumulate. Until its result
 * is due dx is scratch.
 */
function block_backward(i: i32, dx: usize, dout: usize): void {
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
  const dmlp = residual_backward(dx, dout, mlpSite(i), position, perSequence);
  linear_backward_weight(floats(dp, P_PROJ()), dmlp, D, a + A_HIDDEN, rows, F, D);
  linear_backward_input(dHidden, dmlp, D, packed + PK_PROJ_BACK, rows, F, D, false);
  activation_backward(dHidden, a + A_PRE, rows * F);
  linear_backward_weight(floats(dp, P_FC()), dHidden, F, ln2, rows, D, F);
  linear_backward_input(dRow, dHidden, F, packed + PK_FC_BACK, rows, D, F, false);
  layernorm_backward(
    dout, floats(dp, P_LN2()), floats(dp, P_LN2() + D), dRow, a + A_MID, a + A_STATS2, floats(p, P_LN2()), rows, D,
  );

  // mid = x + dropout(o(attention(q, k, v)))
  const dattention = residual_backward(dx, dout, attentionSite(i), position, perSequence);
  linear_backward_weight(floats(dp, P_O()), dattention, D, a + A_Y, rows, D, D);
  linear_backward_input(dRow, dattention, D, packed + PK_O_BACK, rows, D, D, false);
  attention_backward(
    dQ, dKV, dRow, a + A_ATT, q, kv, position, last ? firstQuery : identity, tokenRow, last ? queryRow : tokenRow,
    sequences, time, perSequence, sharing, false,
  );
  rope_apply(dQ, D, dQ, D, identity, position, rows, -1);
  rope_apply(dKV, 2 * D, dKV, 2 * D, identity, tokenPosition, N, -1);

  // q, k, v = projections of ln_1 x
  const dwq = floats(dp, P_QKV());
  const dwkv = floats(dwq, D * D);
  let dq = dQ;
  let dkv = dKV;
  if (i == 0) {
    dq = dTableQ;
    dkv = dTableKV;
    memory.fill(dq, 0, <usize>(U * D) << 2);
    memory.fill(dkv, 0, <usize>(2 * U * D) << 2);
    rows_scatter_add(dq, dQ, queryMap(0), rows, D);
    rows_scatter_add(dkv, dKV, tokenToDistinct, N, 2 * D);
  }
  linear_backward_weight(dwkv, dkv, 2 * D, ln1, inputs, D, 2 * D);
  linear_backward_input(dRow, dkv, 2 * D, packed + PK_KV_BACK, inputs, D, 2 * D, false);
  if (last && i > 0) {
    linear_backward_weight(dwq, dq, D, queryLn1, Q, D, D);
    linear_backward_input(dx, dq, D, packed + PK_Q_BACK, Q, D, D, false);
    rows_scatter_add(dRow, dx, queryToToken, Q, D);
  } else {
    linear_backward_weight(dwq, dq, D, ln1, inputs, D, D);
    linear_backward_input(dRow, dq, D, packed + PK_Q_BACK, inputs, D, D, true);
  }
  memory.fill(dx, 0, <usize>(inputs * D) << 2);
  rows_scatter_add(dx, dout, queryMap(i), rows, D);
  layernorm_backward(dx, dp, floats(dp, D), dRow, a + A_X, a + A_STATS1, p, inputs, D);
}

/** logits (n P, VS) of the micro-batch in `tokens` and `positions`. Weights must be packed. */
export function forward(n: i32, T: i32, P: i32): void {
  forward_rows(n, T, P, false);
}

/** The same with logits (Q, VS), each query row once. */
export function forward_rows(n: i32, T: i32, P: i32, share: bool): void {
  sequences = n;
  time = T;
  predictions = P;
  sharing = share;
  embedding_rows(tokens, positions, n, T, P, share);
  U = distinctRows;
  N = tokenRows;
  Q = queryRows;
  embedding_forward(activations + A_X, parameters, floats(parameters, P_ROLE), U);
  for (let i = 0; i < L; i++) {
    block_forward(i, i == L - 1 ? finalX : activations + <usize>(i + 1) * activationBytes + A_X);
  }
  layernorm_forward(finalLn, finalStats, finalX, floats(parameters, P_LNF), floats(parameters, P_LNF + D), Q, D);
  linear_forward(logits, VS, finalLn, packedHead, Q, D, V, false);
}

/** `gradient` += the gradient of sum(dlogits x logits) for the micro-batch of the last forward pass; dlogits (Q, VS). */
export function backward(dlogits: usize): void {
  linear_backward_weight(floats(gradient, P_HEAD), dlogits, VS, finalLn, Q, D, V);
  linear_backward_input(dRow, dlogits, VS, packedHeadBack, Q, D, V, false);
  let dout = dX;
  let dx = dX2;
  memory.fill(dout, 0, <usize>(Q * D) << 2);
  layernorm_backward(
    dout, floats(gradient, P_LNF), floats(gradient, P_LNF + D), dRow, finalX, finalStats, floats(parameters, P_LNF), Q, D,
  );
  for (let i = L - 1; i >= 0; i--) {
    block_backward(i, dx, dout);
    const swap = dout;
    dout = dx;
    dx = swap;
  }
  embedding_backward(gradient, floats(gradient, P_ROLE), dout, U);
}

/**
 * Sum of the losses at the n P predictions of the micro-batch; `gradient` += weight x the gradient of that sum. Equal
 * prefixes of neighbouring sequences are computed once, unless dropout tells them apart.
 * The caller zeroes `gradient` and packs the weights once per batch.
 */
export function forward_backward(n: i32, T: i32, P: i32, weight: f32): f64 {
  forward_rows(n, T, P, !dropout_active());
  const loss = crossentropy_forward_backward(
    logits, targets, predictionToQuery, n * P, predictionCount, Q, weight,
  );
  backward(logits);
  return loss;
}
