// y = x W^T without bias, W [out, in]. The weight is packed twice per optimiser step: W^T for the forward product and
// W for the gradient of the input; the gradient of the weight packs the activations.
import { scratchA, scratchB, tangent } from "../layout";
import { gemm, packB } from "../gemm";

/** Pack the right operand of linear_forward: W^T. */
export function linear_pack(packed: usize, weight: usize, inputs: i32, outputs: i32): void {
  packB(packed, weight, inputs, outputs, 1, inputs);
}

/** Pack the right operand of linear_backward_input: W. */
export function linear_pack_backward(packed: usize, weight: usize, inputs: i32, outputs: i32): void {
  packB(packed, weight, outputs, inputs, inputs, 1);
}

/** y (rows, out) = or += x (rows, in) W^T; y has row stride ldy. */
export function linear_forward(
  y: usize, ldy: i32, x: usize, packed: usize, rows: i32, inputs: i32, outputs: i32, accumulate: bool,
): void {
  gemm(rows, outputs, inputs, x, inputs, 1, packed, y, ldy, accumulate, scratchA);
}

/** dx (rows, in) = or += dy (rows, out) W; dy has row stride ldy. */
export function linear_backward_input(
  dx: usize, dy: usize, ldy: i32, packed: usize, rows: i32, inputs: i32, outputs: i32, accumulate: bool,
): void {
  gemm(rows, inputs, outputs, dy, ldy, 1, packed, dx, inputs, accumulate, scratchA);
}

/** dW (out, in) += dy^T x; dy (rows, out) has row stride ldy, x is (rows, in). */
export function linear_backward_weight(
  dweight: usize, dy: usize, ldy: i32, x: usize, rows: i32, inputs: i32, outputs: i32,
): void {
  packB(scratchB, x, rows, inputs, inputs, 1);
  gemm(outputs, inputs, rows, dy, 1, ldy, scratchB, dweight, inputs, true, scratchA);
}

/** Tangent of linear_forward: y' = or += x' W^T + x W'^T. */
export function linear_jvp(
  y: usize, ldy: i32, x: usize, packed: usize, rows: i32, inputs: i32, outputs: i32, accumulate: bool,
): void {
  linear_forward(tangent(y), ldy, tangent(x), packed, rows, inputs, outputs, accumulate);
  linear_forward(tangent(y), ldy, x, tangent(packed), rows, inputs, outputs, true);
}

/** linear_backward_input and its tangent: dx' = or += dy' W + dy W'. */
export function linear_backward_input_jvp(
  dx: usize, dy: usize, ldy: i32, packed: usize, rows: i32, inputs: i32, outputs: i32, accumulate: bool,
): void {
  linear_backward_input(dx, dy, ldy, packed, rows, inputs, outputs, accumulate);
  linear_backward_input(tangent(dx), tangent(dy), ldy, packed, rows, inputs, outputs, accumulate);
  linear_backward_input(tangent(dx), dy, ldy, tangent(packed), rows, inputs, outputs, true);
}

/** Tangent of linear_backward_weight: dW' += dy'^T x + dy^T x'. */
export function linear_backward_weight_jvp(
  dweightTangent: usize, dy: usize, ldy: i32, x: usize, rows: i32, inputs: i32, outputs: i32,
): void {
  linear_backward_weight(dweightTangent, tangent(dy), ldy, x, rows, inputs, outputs);
  linear_backward_weight(dweightTangent, dy, ldy, tangent(x), rows, inputs, outputs);
}
