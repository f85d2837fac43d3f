// The MLP's activation, elementwise over n floats (buffers have slack: the last vector may run past n).
//
// An activation is a file of activations/, a case in each switch here and a line in src/core/activations.ts. Its
// derivatives are functions of its input x; where KEEPS_INPUT is false they are read off the output, which then takes
// the input's place.
import { TANGENT } from "../tangents";
import * as gelu from "./activations/gelu";
import * as relu from "./activations/relu";
import * as silu from "./activations/silu";

const RELU: i32 = 0, GELU: i32 = 1, SILU: i32 = 2;

let selected: i32 = RELU;

/** Use the activation with this code from now on; where there is none, all that follows traps. */
export function activation_select(code: i32): void {
  selected = code;
}

/** Whether a backward pass needs `x` besides what forward has written over `out`. */
export function activation_keeps_input(): bool {
  switch (selected) {
    case RELU: return relu.KEEPS_INPUT;
    case GELU: return gelu.KEEPS_INPUT;
    case SILU: return silu.KEEPS_INPUT;
    default: return unreachable();
  }
}

/** out = f(x); out may be x. */
export function activation_forward(out: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU: return relu.forward(out, x, n);
    case GELU: return gelu.forward(out, x, n);
    case SILU: return silu.forward(out, x, n);
    default: unreachable();
  }
}

/** dout *= f'(x), in place. */
export function activation_backward(dout: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU: return relu.backward(dout, x, n);
    case GELU: return gelu.backward(dout, x, n);
    case SILU: return silu.backward(dout, x, n);
    default: unreachable();
  }
}

/** activation_backward and its tangent, in place: dout' = f'(x) dout' + f''(x) x' dout, dout *= f'(x). */
export function activation_backward_jvp(dout: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU: return relu.backward_jvp(dout, x, n);
    case GELU: return gelu.backward_jvp(dout, x, n);
    case SILU: return silu.backward_jvp(dout, x, n);
    default: unreachable();
  }
}

/** Tangent of activation_forward, out' = f'(x) x': the Jacobian is diagonal and so its own transpose. */
export function activation_jvp(out: usize, x: usize, n: i32): void {
  if (out != x) memory.copy(out + TANGENT, x + TANGENT, <usize>n << 2);
  activation_backward(out + TANGENT, x, n);
}
