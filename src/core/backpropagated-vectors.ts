/** What is backpropagated from the logits for the diagonal and the Kronecker factors of the Gauss-Newton matrix. */
import { requireCount, requireWord } from "../validate.ts";
import type { ModelMemory } from "./memory.ts";

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
  requireWord("seed", vectors.seed);
  requireWord("stream", vectors.stream);
}

/**
 * Calls `backward` for each vector of the micro-batch whose probabilities are in the core, and which begins with
 * sequence `first` of the batch.
 */
export function backpropagate(
  { core, shape }: ModelMemory,
  vectors: BackpropagatedVectors,
  perSequence: number,
  first: number,
  backward: () => void,
): void {
  if (vectors === "exact") {
    for (let p = 0; p < perSequence; p++)
      for (let c = 0; c < shape.dVocab; c++) {
        core.logitRootColumn(p, c);
        backward();
      }
    return;
  }
  const { probes, seed, stream } = vectors;
  for (let probe = 0; probe < probes; probe++) {
    core.logitRootSigns(seed, stream, probe, first * perSequence, 1 / Math.sqrt(probes));
    backward();
  }
}
