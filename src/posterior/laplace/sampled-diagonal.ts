/**
 * Diagonal of the GGN over all parameters from random gradients. For a prediction with probabilities p and z of unit
 * covariance, xi = (diag sqrt p - p sqrt p') z has covariance diag p - p p', so g = J' xi, summed over the predictions
 * of a chunk with independent z, has exactly the chunk's GGN as covariance, and g * g the diagonal as mean.
 */
import type { RandomGenerator } from "../../tasks/random.ts";
import { requireCount } from "../../validate.ts";
import { DiagonalCurvature } from "../gaussian/diagonal.ts";
import { type Batch, type CurvatureModel, softmaxRows, splitBatch, termsOf, totalTerms } from "../model.ts";
import { rademacher } from "../trace.ts";
import type { Vector } from "../vector.ts";

export interface GradientSampling {
  /**
   * Random gradients per chunk, or `exact`: one gradient per prediction and class (V times the number of predictions
   * backward passes), for small models.
   */
  probes: number | "exact";
  /** Sequences per chunk: the more chunks, the more independent gradients. */
  chunk: number;
  rng: RandomGenerator;
}

/** Gradients g with sum of weight g g' (in expectation, or exactly) the GGN summed over all predictions. */
function* rootGradients(
  model: CurvatureModel,
  batches: readonly Batch[],
  { probes, chunk, rng }: GradientSampling,
): Generator<{ gradient: Vector; weight: number }> {
  const { dVocab } = model.shape;
  for (const whole of batches) {
    for (const batch of splitBatch(whole, probes === "exact" ? 1 : requireCount("chunk", chunk))) {
      const p = softmaxRows(model.logits(batch), dVocab);
      if (probes === "exact") {
        for (let row = 0; row < termsOf(batch); row++) {
          for (let c = 0; c < dVocab; c++) {
            const z = new Float64Array(p.length);
            z[row * dVocab + c] = 1;
            yield { gradient: model.jacobianTransposeProduct(batch, logitRoot(p, z, dVocab)), weight: 1 };
          }
        }
      } else {
        for (let s = 0; s < probes; s++) {
          const xi = logitRoot(p, rademacher(rng, p.length), dVocab);
          yield { gradient: model.jacobianTransposeProduct(batch, xi), weight: 1 / probes };
        }
      }
    }
  }
}

/** (diag sqrt p - p sqrt p') z for each row: a square root of diag p - p p'. */
function logitRoot(p: Float64Array, z: Float64Array, classes: number): Float64Array {
  const out = new Float64Array(p.length);
  for (let start = 0; start < p.length; start += classes) {
    let inner = 0;
    for (let c = start; c < start + classes; c++) inner += Math.sqrt(p[c]) * z[c];
    for (let c = start; c < start + classes; c++) out[c] = Math.sqrt(p[c]) * z[c] - p[c] * inner;
  }
  return out;
}

/** factor x the diagonal of the mean GGN. */
export function sampledDiagonal(
  model: CurvatureModel,
  batches: readonly Batch[],
  factor: number,
  sampling: GradientSampling,
): DiagonalCurvature {
  if (sampling.probes !== "exact") requireCount("probes", sampling.probes);
  const values = new Float64Array(model.parameterCount);
  const mean = factor / totalTerms(batches);
  for (const { gradient, weight } of rootGradients(model, batches, sampling))
    for (let i = 0; i < values.length; i++) values[i] += mean * weight * gradient[i] ** 2;
  return new DiagonalCurvature(values);
}
