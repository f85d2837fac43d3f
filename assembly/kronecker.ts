// Kronecker factors of the Gauss-Newton matrix (Martens & Grosse 2015). A linear layer y = W a that acts on R rows has
// its block approximated by B (x) A / R with A = sum over rows of a a^T and B = sum over rows of g g^T, g being the
// gradient that reaches y from a column of a root of diag p - p p^T at a prediction, summed over columns and
// predictions. Rows of one sequence count as independent (the "expand" form for shared weights, Eschenhagen et al. 2023).
// Embeddings are linear layers with one-hot inputs. LayerNorms have no matrix: their diagonal is summed, exactly, from
// squared gradients of whole sequences.
//
// The forward pass is the model's own. Backwards nothing is summed over equal token rows: g g^T is wanted of each row.
import {
  blockActivations,
  blockPacked,
  blockParameters,
  block_attention_backward,
  queriesPerSequence,
  queryRows,
} from "./block";
import { gemm, packB } from "./gemm";
// prettier-ignore
import {
  A_HIDDEN, A_LN1, A_LN2, A_MID, A_PRE, A_STATS1, A_STATS2, A_X, A_Y, D, F, FACTORS, K_BLOCK, K_BLOCK_SIZE,
  K_FC, K_HEAD, K_LN2, K_LNF, K_O, K_PROJ, K_QKV, K_ROLE, L, PK_FC_BACK, PK_KV_BACK, PK_O_BACK, PK_PROJ_BACK,
  PK_Q_BACK, P_LN2, P_LNF, ROLES, V, VS, dHidden, dKV, dLayerNorm, dLogits, dQ, dQKV, dRow, dX, dX2, factors,
  finalLn, finalStats, finalX, identity, logits, packedHeadBack, parameters, queryToToken, scratchA, scratchB,
  tokenLn1, tokenPosition, tokenStats1, tokenToDistinct, tokenX, tokens,
} from "./layout";
import { activation_backward } from "./layers/activation";
import { softmax_forward } from "./layers/crossentropy";
import { layernorm_backward } from "./layers/layernorm";
import { linear_backward_input } from "./layers/linear";
import { N, Q, predictions, sequences, time } from "./micro_batch";
import { at, mapped, rows_clear, rows_gather, rows_scatter_add } from "./rows";
import { forward } from "./transformer";

/** sum (d, d) += x^T x for x (rows, d) with row stride ldx; symmetric to the bit. */
function gram_add(sum: usize, x: usize, ldx: i32, rows: i32, d: i32): void {
  packB(scratchB, x, rows, d, ldx, 1);
  gemm(d, d, rows, x, 1, ldx, scratchB, sum, d, true, scratchA);
}

function increment(x: usize): void {
  store<f32>(x, load<f32>(x) + 1);
}

/** Forget all sums. */
export function kronecker_clear(): void {
  memory.fill(factors, 0, (<usize>FACTORS) << 2);
}

/**
 * Forward pass of a micro-batch, which adds to the factors A and leaves the probabilities (n P, VS) in place of the
 * logits. Weights must be packed for both directions.
 */
export function kronecker_forward(n: i32, T: i32, P: i32): void {
  forward(n, T, P);
  softmax_forward(logits, Q);
  for (let r = 0; r < N; r++) {
    increment(at(factors, <i32>mapped(tokens, r) * (V + 1)));
    if (ROLES > 0) increment(at(factors, K_ROLE + (<i32>mapped(tokenPosition, r) % ROLES) * (ROLES + 1)));
  }
  const first = blockActivations(0);
  rows_gather(tokenX, first + A_X, tokenToDistinct, N, D, false);
  rows_gather(tokenLn1, first + A_LN1, tokenToDistinct, N, D, false);
  rows_gather(tokenStats1, first + A_STATS1, tokenToDistinct, N, 2, false);
  for (let i = 0; i < L; i++) {
    const rows = queryRows(i);
    const a = blockActivations(i);
    const k = at(factors, K_BLOCK + i * K_BLOCK_SIZE);
    gram_add(at(k, K_QKV() + 9 * D * D), i == 0 ? tokenLn1 : a + A_LN1, D, N, D);
    gram_add(at(k, K_O() + D * D), a + A_Y, D, rows, D);
    gram_add(at(k, K_FC() + F * F), a + A_LN2, D, rows, D);
    gram_add(at(k, K_PROJ() + D * D), a + A_HIDDEN, F, rows, F);
  }
  gram_add(at(factors, K_HEAD + V * V), finalLn, D, Q, D);
}

/**
 * layernorm_backward with `perSequence` rows a sequence: instead of the gradients of weight and bias it adds the squares
 * of what each sequence contributes to them to squares (2D).
 */
function layernorm_squares(
  squares: usize,
  dx: usize,
  dout: usize,
  x: usize,
  stats: usize,
  weight: usize,
  perSequence: i32,
): void {
  for (let s = 0; s < sequences; s++) {
    const row = s * perSequence;
    memory.fill(dLayerNorm, 0, (<usize>D) << 3);
    layernorm_backward(
      at(dx, row * D),
      dLayerNorm,
      at(dLayerNorm, D),
      at(dout, row * D),
      at(x, row * D),
      at(stats, row * 2),
      weight,
      perSequence,
      D,
      false,
    );
    for (let c = 0; c < 2 * D; c++) {
      const g = load<f32>(at(dLayerNorm, c));
      const square = at(squares, c);
      store<f32>(square, load<f32>(square) + g * g);
    }
  }
}

/** dQKV (N, 3D): dQ, 0 where the last block has no query, beside dKV. */
function join_qkv(last: bool): void {
  const bytes = (<usize>D) << 2;
  memory.fill(dQKV, 0, <usize>N * 3 * bytes);
  const queries = last ? Q : N;
  const toToken = last ? queryToToken : identity;
  for (let r = 0; r < queries; r++)
    memory.copy(dQKV + mapped(toToken, r) * 3 * bytes, dQ + <usize>r * bytes, bytes);
  for (let r: usize = 0; r < <usize>N; r++)
    memory.copy(dQKV + (3 * r + 1) * bytes, dKV + 2 * r * bytes, 2 * bytes);
}

/** block_backward without parameter gradients, input rows always the N tokens; the factors B of the block grow. */
function block_squares(i: i32, dx: usize, dout: usize): void {
  const rows = queryRows(i);
  const toToken = i == L - 1 ? queryToToken : identity;
  const p = blockParameters(i);
  const k = at(factors, K_BLOCK + i * K_BLOCK_SIZE);
  const packed = blockPacked(i);
  const a = blockActivations(i);

  // out = mid + proj(act(fc(ln_2 mid)))
  gram_add(at(k, K_PROJ()), dout, D, rows, D);
  linear_backward_input(dHidden, dout, D, packed + PK_PROJ_BACK, rows, F, D, false, false);
  activation_backward(dHidden, a + A_PRE, rows * F, false);
  gram_add(at(k, K_FC()), dHidden, F, rows, F);
  linear_backward_input(dRow, dHidden, F, packed + PK_FC_BACK, rows, D, F, false, false);
  layernorm_squares(
    at(k, K_LN2()),
    dout,
    dRow,
    a + A_MID,
    a + A_STATS2,
    at(p, P_LN2()),
    queriesPerSequence(i),
  );

  // mid = x + o(attention(q, k, v))
  gram_add(at(k, K_O()), dout, D, rows, D);
  linear_backward_input(dRow, dout, D, packed + PK_O_BACK, rows, D, D, false, false);
  block_attention_backward(i, false);

  // q, k, v = projections of ln_1 x
  join_qkv(i == L - 1);
  gram_add(at(k, K_QKV()), dQKV, 3 * D, N, 3 * D);
  linear_backward_input(dRow, dKV, 2 * D, packed + PK_KV_BACK, N, D, 2 * D, false, false);
  linear_backward_input(dx, dQ, D, packed + PK_Q_BACK, rows, D, D, false, false);
  rows_scatter_add(dRow, dx, toToken, rows, D, false);
  rows_clear(dx, N, D, false);
  rows_scatter_add(dx, dout, toToken, rows, D, false);
  if (i == 0) layernorm_squares(k, dx, dRow, tokenX, tokenStats1, p, time);
  else layernorm_squares(k, dx, dRow, a + A_X, a + A_STATS1, p, time);
}

/**
 * Send dLogits back; at every layer the squares of the gradients of its output add to its factor B: over all columns of
 * the root at all predictions, that is the whole Gauss-Newton matrix (see `logit_root_column`).
 */
export function kronecker_backward(): void {
  gram_add(at(factors, K_HEAD), dLogits, VS, Q, V);
  linear_backward_input(dRow, dLogits, VS, packedHeadBack, Q, D, V, false, false);
  let dout = dX;
  let dx = dX2;
  rows_clear(dout, Q, D, false);
  layernorm_squares(at(factors, K_LNF), dout, dRow, finalX, finalStats, at(parameters, P_LNF), predictions);
  for (let i = L - 1; i >= 0; i--) {
    block_squares(i, dx, dout);
    const swap = dout;
    dout = dx;
    dx = swap;
  }
  // Token and role are added: the same gradient reaches both.
  const right = at(factors, V * V);
  gram_add(right, dout, D, N, D);
  if (ROLES > 0) memory.copy(at(factors, K_ROLE + ROLES * ROLES), right, (<usize>(D * D)) << 2);
}
