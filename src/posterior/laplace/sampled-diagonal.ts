/**
 * Diagonal of the GGN over all parameters from random gradients. For a prediction with probabilities p and z of unit
 * covariance, xi = (diag sqrt p - p sqrt p') z has covariance diag p - p p', so g = J' xi, summed over the predictions
 * of a chunk with independent z, has exactly the chunk's GGN as covariance, and g * g the diagonal as mean.
 */

import { type Batch, type CurvatureModel, totalTerms } from "../../curvature/model.ts";
import { addScaled } from "../../curvature/vector.ts";
import { requireCount } from "../../validate.ts";
import { DiagonalCurvature } from "../gaussian/diagonal.ts";

export interface GradientSampling {
  /**
   * Random gradients per chunk, or `exact`: one gradient per prediction and class (V times the number of predictions
   * backward passes), for small models.
   */
  probes: number | "exact";
  /** Sequences per chunk: the more chunks, the more independent gradients. */
  chunk: number;
  seed: number;
}

/**
 * factor x the diagonal of the mean GGN.
 * @throws RangeError for an empty list of batches, or a number of probes or sequences that is not positive
 */
export function sampledDiagonal(
  model: CurvatureModel,
  batches: readonly Batch[],
  factor: number,
  { probes, chunk, seed }: GradientSampling,
): DiagonalCurvature {
  const mean = factor / totalTerms(batches);
  requireCount("chunk", chunk);
  const values = new Float64Array(model.parameterCount);
  batches.forEach((batch, stream) => {
    const vectors = probes === "exact" ? probes : { probes: requireCount("probes", probes), seed, stream };
    addScaled(values, mean, model.ggnDiagonal(batch, vectors, chunk));
  });
  return new DiagonalCurvature(values);
}
