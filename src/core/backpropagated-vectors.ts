/** What is backpropagated from the logits for the diagonal and the Kronecker factors of the Gauss-Newton matrix. */
import { requireCount, requireWhole } from "../validate.ts";

/**
 * Backpropagated vectors, in the term of Dangel et al. 2025 ("KFAC from scratch"): columns of the root
 * S = diag(sqrt p) - p sqrt(p)^T of diag p - p p^T, the Hessian of the loss in the logits.
 * - `exact`: each column of each prediction by itself, P x V backward passes;
 * - otherwise `probes` backward passes, in each of which every prediction gets S z / sqrt(probes) with independent
 *   random signs z (V): in expectation, the squares sum to those of all columns. Signs are a function of seed, stream
 *   (for instance the number of the batch), probe, the prediction's place in the batch and the class. Unlike labels
 *   drawn from p, of which a confident prediction hardly ever shows the rare ones, every S z has all classes.
 */
export type BackpropagatedVectors =
  | "exact"
  | {
      /** At least 1. */
      probes: number;
      /** Seed and stream: whole numbers from 0 to 2^32 - 1. */
      seed: number;
      stream: number;
    };

/** @throws RangeError for a number of probes, seed or stream that is not allowed */
export function requireVectors(vectors: BackpropagatedVectors): void {
  if (vectors === "exact") return;
  requireCount("probes", vectors.probes);
  requireWhole("seed", vectors.seed, 2 ** 32 - 1);
  requireWhole("stream", vectors.stream, 2 ** 32 - 1);
}
