// Columns of the root diag(sqrt p) - p sqrt(p)^T of diag p - p p^T, the Hessian of a prediction's loss by its logits:
// sent back from the logits, their squares sum to the Gauss-Newton matrix. Rows of probabilities and of dLogits are (V)
// with stride VS; the probabilities are those that softmax_forward leaves in place of the logits.
import { V, VS, dLogits } from "../layout";
import { SIGNS, philox } from "../random";
import { at } from "../rows";
import { likeliest } from "./crossentropy";

const words: usize = memory.data(64, 16);

/** 1 - p of class c of the row: the sum of the others, since for a class that is nearly certain the difference cancels. */
function others(row: usize, c: i32): f32 {
  let sum: f32 = 0;
  for (let j = 0; j < V; j++) if (j != c) sum += load<f32>(at(row, j));
  return sum;
}

/** dLogits = column c at prediction `position` of each sequence of `perSequence` rows, 0 at all others. */
export function logit_root_column(
  probabilities: usize,
  rows: i32,
  perSequence: i32,
  position: i32,
  c: i32,
): void {
  memory.fill(dLogits, 0, (<usize>(rows * VS)) << 2);
  for (let r = position; r < rows; r += perSequence) {
    const row = r * VS;
    const root = Mathf.sqrt(load<f32>(at(probabilities, row + c)));
    for (let j = 0; j < V; j++) {
      const p = j == c ? -others(at(probabilities, row), c) : load<f32>(at(probabilities, row + j));
      store<f32>(at(dLogits, row + j), -root * p);
    }
  }
}

/**
 * dLogits = weight x the sum of all columns of each row with independent random signs: its outer product is in
 * expectation weight^2 x that of the columns, summed. Signs are a function of (seed, stream, probe), the prediction's
 * place in the batch, of which the first row's is `first`, and the class.
 */
export function logit_root_signs(
  probabilities: usize,
  rows: i32,
  seed: i32,
  stream: i32,
  probe: i32,
  first: i32,
  weight: f32,
): void {
  for (let r = 0; r < rows; r++) {
    const row = r * VS;
    const top = likeliest(at(probabilities, row));
    // Of the roots with their signs: of all classes but the likeliest.
    let rest: f32 = 0;
    for (let c = 0; c < V; c++) {
      if ((c & 15) == 0) philox(words, c >> 4, first + r, SIGNS, probe, seed, stream);
      const root = Mathf.sqrt(load<f32>(at(probabilities, row + c)));
      const signed = load<i32>(at(words, c & 15)) < 0 ? -root : root;
      store<f32>(at(dLogits, row + c), signed);
      if (c != top) rest += signed;
    }
    const topRoot = load<f32>(at(dLogits, row + top));
    const sum = topRoot + rest;
    for (let c = 0; c < V; c++) {
      const d = at(dLogits, row + c);
      const p = load<f32>(at(probabilities, row + c));
      // Of the likeliest, root - p (root + rest) as it does not cancel.
      const column =
        c == top ? topRoot * others(at(probabilities, row), top) - p * rest : load<f32>(d) - p * sum;
      store<f32>(d, weight * column);
    }
  }
}
