// y = x W^T without bias, W [out, in]. The weight is packed twice per optimiser step: W^T for the forward product and
// W for the gradient of the input; the gradient of the weight packs the activations.
import { gemm, packB } from "../gemm";
import { scratchA, scratchB } from "../layout";
import { tangent } from "../tangent";

/** Pack the right operand of linear_forward: W^T. */
export function linear_pack(packed: usize, weight: usize, inputs: i32, outputs: i32): void {
  packB(packed, weight, inputs, outputs, 1, inputs);
}

/** Pack the right operand of linear_backward_input: W. */
export function linear_pack_backward(packed: usize, weight: usize, inputs: i32, outputs: i32): void {
  packB(packed, weight, outputs, inputs, inputs, 1);
}

function product(
  y: usize,
  ldy: i32,
  x: usize,
  ldx: i32,
  packed: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  accumulate: bool,
): void {
  gemm(rows, outputs, inputs, x, ldx, 1, packed, y, ldy, accumulate, scratchA);
}

/** A product and, with `tangents`, its tangent, in which both operands change. */
function products(
  y: usize,
  ldy: i32,
  x: usize,
  ldx: i32,
  packed: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  accumulate: bool,
  tangents: bool,
): void {
  product(y, ldy, x, ldx, packed, rows, inputs, outputs, accumulate);
  if (!tangents) return;
  product(tangent(y), ldy, tangent(x), ldx, packed, rows, inputs, outputs, accumulate);
  product(tangent(y), ldy, x, ldx, tangent(packed), rows, inputs, outputs, true);
}

/**
 * y (rows, out) = or += x (rows, in) W^T; y has row stride ldy. With `tangents` also y' = or += x' W^T + x W'^T.
 */
export function linear_forward(
  y: usize,
  ldy: i32,
  x: usize,
  packed: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  accumulate: bool,
  tangents: bool,
): void {
  products(y, ldy, x, inputs, packed, rows, inputs, outputs, accumulate, tangents);
}

/**
 * dx (rows, in) = or += dy (rows, out) W; dy has row stride ldy. With `tangents` also dx' = or += dy' W + dy W'.
 */
export function linear_backward_input(
  dx: usize,
  dy: usize,
  ldy: i32,
  packed: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  accumulate: bool,
  tangents: bool,
): void {
  products(dx, inputs, dy, ldy, packed, rows, outputs, inputs, accumulate, tangents);
}

/**
 * dW (out, in) += dy^T x; dy (rows, out) has row stride ldy, x is (rows, in). With `tangents` instead its tangent,
 * dW += dy'^T x + dy^T x'.
 */
export function linear_backward_weight(
  dweight: usize,
  dy: usize,
  ldy: i32,
  x: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  tangents: bool,
): void {
  if (tangents) {
    linear_backward_weight(dweight, tangent(dy), ldy, x, rows, inputs, outputs, false);
    return linear_backward_weight(dweight, dy, ldy, tangent(x), rows, inputs, outputs, false);
  }
  packB(scratchB, x, rows, inputs, inputs, 1);
  gemm(outputs, inputs, rows, dy, 1, ldy, scratchB, dweight, inputs, true, scratchA);
}
