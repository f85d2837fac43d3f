/** Diagonal of the Gauss-Newton matrix in float64, one gradient at a time. For tests only. */
import { backpropagatedVectors } from "./kronecker.ts";
import { part } from "./part.ts";
import type { ReferenceBatch, ReferenceTransformer } from "./transformer.ts";

/** Sum of squares of the gradients of `chunk` sequences at a time; one at a time when `exact`. */
export function referenceDiagonal(
  reference: ReferenceTransformer,
  params: Float64Array,
  batch: ReferenceBatch,
  vectors: Parameters<typeof backpropagatedVectors>[3],
  chunk = 1,
): Float64Array {
  const { dVocab } = reference.shape;
  const { batchSize, positions } = batch;
  const predictions = positions.length;
  const size = vectors === "exact" ? 1 : chunk;
  const squares = new Float64Array(params.length);
  const all = backpropagatedVectors(reference.logits(params, batch), dVocab, predictions, vectors);
  for (let first = 0; first < batchSize; first += size) {
    const end = Math.min(batchSize, first + size);
    const some = part(batch, first, end - first);
    for (const vector of all) {
      const cotangent = vector.slice(first * predictions * dVocab, end * predictions * dVocab);
      const gradient = reference.vectorJacobianProduct(params, some, cotangent);
      for (let i = 0; i < squares.length; i++) squares[i] += gradient[i] ** 2;
    }
  }
  return squares;
}
