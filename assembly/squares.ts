// Diagonal of the Gauss-Newton matrix over all parameters, as a sum of squared gradients: of each column of the root of
// diag p - p p^T at one prediction, or of random combinations of them over the predictions of a micro-batch.
import { PARAMETERS, dLogits, gradient, logits, squares } from "./layout";
import { logit_root_column, logit_root_signs } from "./layers/logit_root";
import { softmax_forward } from "./layers/crossentropy";
import { Q, backward, forward, predictions } from "./transformer";

/** Forget the sums. */
export function squares_clear(): void {
  memory.fill(squares, 0, <usize>PARAMETERS << 3);
}

/** Forward pass of a micro-batch that leaves probabilities (n P, VS) in place of logits. Weights must be packed. */
export function squares_forward(n: i32, T: i32, P: i32): void {
  forward(n, T, P);
  softmax_forward(logits, Q);
}

/** Add the squares of the gradient of column c at prediction `position`; of a micro-batch of one sequence. */
export function squares_column(position: i32, c: i32): void {
  logit_root_column(logits, Q, predictions, position, c);
  add();
}

/** Add the squares of one gradient: that of all columns at all predictions, with random signs and times `weight`. */
export function squares_signs(seed: i32, stream: i32, probe: i32, first: i32, weight: f32): void {
  logit_root_signs(logits, Q, seed, stream, probe, first, weight);
  add();
}

/** squares (float64) += the squares of the gradient that dLogits send back, which takes `gradient` for itself. */
function add(): void {
  memory.fill(gradient, 0, <usize>PARAMETERS << 2);
  backward(dLogits);
  for (let i: usize = 0; i < <usize>PARAMETERS; i++) {
    const g = <f64>load<f32>(gradient + (i << 2));
    const at = squares + (i << 3);
    store<f64>(at, load<f64>(at) + g * g);
  }
}
