// Diagonal of the Gauss-Newton matrix over all parameters, as a sum of squared gradients: of each column of the root of
// diag p - p p^T at one prediction, or of random combinations of them over the predictions of a micro-batch.
import { PARAMETERS, dLogits, gradient, squares } from "./layout";
import { backward } from "./transformer";

/** Forget the sums. */
export function squares_clear(): void {
  memory.fill(squares, 0, (<usize>PARAMETERS) << 3);
}

/** Send dLogits back; squares (float64) += the squares of their gradient, which takes `gradient` for itself. */
export function squares_backward(): void {
  memory.fill(gradient, 0, (<usize>PARAMETERS) << 2);
  backward(dLogits, false);
  for (let i: usize = 0; i < <usize>PARAMETERS; i++) {
    const g = <f64>load<f32>(gradient + (i << 2));
    const at = squares + (i << 3);
    store<f64>(at, load<f64>(at) + g * g);
  }
}
