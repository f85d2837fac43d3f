// The decoder: forward and hand-written backward pass of one micro-batch, with or without tangents, and what is made of
// them: losses with gradients, and products with the Jacobian, the Hessian and the Gauss-Newton matrix.
import { blockActivations, block_backward, block_forward, block_pack } from "./block";
// prettier-ignore
import {
  A_X, D, L, NT, P_HEAD, P_LNF, P_ROLE, V, VS, dRow, dX, dX2, finalLn, finalStats, finalX, gradient, identity,
  logits, packedHead, packedHeadBack, parameters, predictionCount, predictionToQuery, targets,
} from "./layout";
import {
  crossentropy_backward,
  crossentropy_backward_jvp,
  crossentropy_forward_backward,
  softmax_forward,
} from "./layers/crossentropy";
import { dropout_active } from "./layers/dropout";
import { embedding_backward, embedding_forward } from "./layers/embedding";
import { layernorm_backward, layernorm_forward } from "./layers/layernorm";
import {
  linear_backward_input,
  linear_backward_weight,
  linear_forward,
  linear_pack,
  linear_pack_backward,
} from "./layers/linear";
import { rope_tables } from "./layers/rope";
import { Q, micro_batch_rows } from "./micro_batch";
import { at, rows_clear } from "./rows";
import { TANGENT, tangent } from "./tangent";

/** Constant tables; once, after memory has grown. */
export function initialise(ropeBase: f64): void {
  for (let r = 0; r <= NT; r++) store<i32>(at(identity, r), r);
  rope_tables(ropeBase);
}

/** Pack all weights, with `backward` for both directions; once after every change of the parameters. */
export function pack_weights(backward: bool): void {
  pack(0, backward);
}

/** Pack the direction v of the products, with `backward` for both directions; once per product. */
export function pack_direction(backward: bool): void {
  pack(TANGENT, backward);
}

/** Pack the weights of the flat vector `shift` bytes after the parameters, `shift` bytes after theirs. */
function pack(shift: usize, backward: bool): void {
  for (let i = 0; i < L; i++) block_pack(i, shift, backward);
  const head = at(parameters + shift, P_HEAD);
  linear_pack(packedHead + shift, head, D, V);
  if (backward) linear_pack_backward(packedHeadBack + shift, head, D, V);
}

/** logits (Q, VS) of the micro-batch in `tokens` and `positions`. Weights must be packed, with `tangents` also v. */
function forward_rows(n: i32, T: i32, P: i32, share: bool, tangents: bool): void {
  micro_batch_rows(n, T, P, share);
  embedding_forward(blockActivations(0) + A_X, parameters, at(parameters, P_ROLE), tangents);
  for (let i = 0; i < L; i++) {
    block_forward(i, i == L - 1 ? finalX : blockActivations(i + 1) + A_X, tangents);
  }
  layernorm_forward(
    finalLn,
    finalStats,
    finalX,
    at(parameters, P_LNF),
    at(parameters, P_LNF + D),
    Q,
    D,
    tangents,
  );
  linear_forward(logits, VS, finalLn, packedHead, Q, D, V, false, tangents);
}

/**
 * `gradient` += the gradient of sum(dlogits x logits) for the micro-batch of the last forward pass, dlogits (Q, VS);
 * with `tangents` not it but its tangent.
 */
export function backward(dlogits: usize, tangents: bool): void {
  linear_backward_weight(at(gradient, P_HEAD), dlogits, VS, finalLn, Q, D, V, tangents);
  linear_backward_input(dRow, dlogits, VS, packedHeadBack, Q, D, V, false, tangents);
  let dout = dX;
  let dx = dX2;
  rows_clear(dout, Q, D, tangents);
  layernorm_backward(
    dout,
    at(gradient, P_LNF),
    at(gradient, P_LNF + D),
    dRow,
    finalX,
    finalStats,
    at(parameters, P_LNF),
    Q,
    D,
    tangents,
  );
  for (let i = L - 1; i >= 0; i--) {
    block_backward(i, dx, dout, tangents);
    const swap = dout;
    dout = dx;
    dx = swap;
  }
  embedding_backward(gradient, at(gradient, P_ROLE), dout, tangents);
}

/** logits (n P, VS). */
export function forward(n: i32, T: i32, P: i32): void {
  forward_rows(n, T, P, false, false);
}

/** logits (n P, VS), and in their twin J v. */
export function forward_jvp(n: i32, T: i32, P: i32): void {
  forward_rows(n, T, P, false, true);
}

// What follows computes equal prefixes of neighbouring sequences once, unless dropout tells them apart. The caller
// zeroes `gradient` once per batch.

/** Sum of the losses at the n P predictions; `gradient` += weight x the gradient of that sum. */
export function forward_backward(n: i32, T: i32, P: i32, weight: f32): f64 {
  forward_rows(n, T, P, !dropout_active(), false);
  const loss = crossentropy_forward_backward(
    logits,
    targets,
    predictionToQuery,
    n * P,
    predictionCount,
    Q,
    weight,
  );
  backward(logits, false);
  return loss;
}

/** `gradient` += weight x H v, H being the Hessian of the sum of the losses. */
export function hessian_vector(n: i32, T: i32, P: i32, weight: f32): void {
  forward_rows(n, T, P, !dropout_active(), true);
  softmax_forward(logits, Q);
  crossentropy_backward_jvp(logits, predictionCount, Q, weight);
  crossentropy_backward(logits, targets, predictionToQuery, n * P, predictionCount, Q, weight);
  backward(logits, true);
}

/**
 * `gradient` += weight x G v, G = sum over the predictions of J^T (diag p - p p^T) J, the generalised Gauss-Newton
 * matrix.
 */
export function ggn_vector(n: i32, T: i32, P: i32, weight: f32): void {
  forward_rows(n, T, P, !dropout_active(), true);
  softmax_forward(logits, Q);
  crossentropy_backward_jvp(logits, predictionCount, Q, weight);
  backward(tangent(logits), false);
}
