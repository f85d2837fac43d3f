// The MLP's activation, elementwise over n floats (buffers have slack: the last vector may run past n).
//
// An activation is a file of activations/, a case in each switch here and a line in src/core/activations.ts. Its
// derivatives are functions of its input x; where KEEPS_INPUT is false they are read off the output, which then takes
// the input's place.
import { tangent } from "../tangent";
import * as gelu from "./activations/gelu";
import * as relu from "./activations/relu";
import * as silu from "./activations/silu";

const RELU: i32 = 0,
  GELU: i32 = 1,
  SILU: i32 = 2;

let selected: i32 = RELU;

/** Use the activation with this code from now on; where there is none, all that follows traps. */
export function activation_select(code: i32): void {
  selected = code;
}

/** Whether a backward pass needs `x` besides what forward has written over `out`. */
export function activation_keeps_input(): bool {
  switch (selected) {
    case RELU:
      return relu.KEEPS_INPUT;
    case GELU:
      return gelu.KEEPS_INPUT;
    case SILU:
      return silu.KEEPS_INPUT;
    default:
      return unreachable();
  }
}

function forward(out: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU:
      return relu.forward(out, x, n);
    case GELU:
      return gelu.forward(out, x, n);
    case SILU:
      return silu.forward(out, x, n);
    default:
      unreachable();
  }
}

function backward(dout: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU:
      return relu.backward(dout, x, n);
    case GELU:
      return gelu.backward(dout, x, n);
    case SILU:
      return silu.backward(dout, x, n);
    default:
      unreachable();
  }
}

function backward_jvp(dout: usize, x: usize, n: i32): void {
  switch (selected) {
    case RELU:
      return relu.backward_jvp(dout, x, n);
    case GELU:
      return gelu.backward_jvp(dout, x, n);
    case SILU:
      return silu.backward_jvp(dout, x, n);
    default:
      unreachable();
  }
}

/** out = f(x); out may be x. With `tangents` also out' = f'(x) x'. */
export function activation_forward(out: usize, x: usize, n: i32, tangents: bool): void {
  forward(out, x, n);
  if (!tangents) return;
  // The Jacobian is diagonal and so its own transpose.
  if (out != x) memory.copy(tangent(out), tangent(x), (<usize>n) << 2);
  backward(tangent(out), x, n);
}

/** dout *= f'(x), in place. With `tangents` also dout' = f'(x) dout' + f''(x) x' dout. */
export function activation_backward(dout: usize, x: usize, n: i32, tangents: bool): void {
  if (tangents) backward_jvp(dout, x, n);
  else backward(dout, x, n);
}
