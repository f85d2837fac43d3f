/**
 * Diagonal and Kronecker-factored GGN over all parameters from random gradients. For a prediction with probabilities
 * p and z of unit covariance, xi = (diag sqrt p - p sqrt p') z has covariance diag p - p p', so g = J' xi, summed over
 * the predictions of a chunk with independent z, has exactly the chunk's GGN as covariance. Second moments of g are
 * unbiased for the GGN's entries:
 *   diagonal: E[g * g];
 *   Kronecker: for a weight matrix with gradient G (rows, columns), B = E[G G'] and A = E[G' G] are the partial traces
 *   of its block, and B (x) A / tr B is the Kronecker product with the same partial traces.
 * No per-token hooks are involved, so tied weights, embeddings and weight sharing over positions are treated exactly
 * as the true gradient treats them, which KFAC from E[a a'] and E[g g'] does not. LayerNorm vectors get a diagonal.
 */
import type { RandomGenerator } from "../../tasks/random.ts";
import { BlockCurvature } from "../gaussian/block.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { DiagonalCurvature } from "../gaussian/diagonal.ts";
import { KroneckerCurvature } from "../gaussian/kronecker.ts";
import { type Batch, type CurvatureModel, softmaxRows, splitBatch, termsOf, totalTerms } from "../model.ts";
import { rademacher } from "../trace.ts";
import { requireCount } from "../validate.ts";
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

function requireProbes({ probes }: GradientSampling): void {
  if (probes !== "exact") requireCount("probes", probes);
}

/** factor x the diagonal of the mean GGN. */
export function sampledDiagonal(
  model: CurvatureModel,
  batches: readonly Batch[],
  factor: number,
  sampling: GradientSampling,
): DiagonalCurvature {
  requireProbes(sampling);
  const values = new Float64Array(model.parameterCount);
  const mean = factor / totalTerms(batches);
  for (const { gradient, weight } of rootGradients(model, batches, sampling))
    for (let i = 0; i < values.length; i++) values[i] += mean * weight * gradient[i] ** 2;
  return new DiagonalCurvature(values);
}

/** factor x the Kronecker approximation of the mean GGN, one block per parameter tensor. */
export function sampledKronecker(
  model: CurvatureModel,
  batches: readonly Batch[],
  factor: number,
  sampling: GradientSampling,
): BlockCurvature {
  requireProbes(sampling);
  const moments = model.parameters.map(({ shape, offset, length }) => {
    const [rows, columns] = shape.length === 2 ? shape : [1, length];
    const isMatrix = shape.length === 2;
    return {
      ...{ rows, columns, offset, length, isMatrix },
      b: new Float64Array(isMatrix ? rows * rows : 0),
      a: new Float64Array(isMatrix ? columns * columns : length),
    };
  });
  const mean = factor / totalTerms(batches);
  for (const { gradient, weight } of rootGradients(model, batches, sampling)) {
    for (const { rows, columns, offset, length, isMatrix, a, b } of moments) {
      const g = Float64Array.from(gradient.subarray(offset, offset + length));
      if (isMatrix) addGrams(g, rows, columns, mean * weight, a, b);
      else for (let i = 0; i < length; i++) a[i] += mean * weight * g[i] ** 2;
    }
  }
  return new BlockCurvature(
    moments.map(({ rows, columns, isMatrix, a, b }): Curvature => {
      if (!isMatrix) return new DiagonalCurvature(a);
      let trace = 0;
      for (let i = 0; i < rows; i++) trace += b[i * rows + i];
      // A tensor without any gradient (a token that never occurs) has curvature 0.
      const normalised = trace > 0 ? a.map((x) => x / trace) : a;
      return KroneckerCurvature.fromFactors(b, rows, normalised, columns);
    }),
  );
}

/** a += weight G'G and b += weight G G' for G (rows, columns). */
function addGrams(
  g: Float64Array,
  rows: number,
  columns: number,
  weight: number,
  a: Float64Array,
  b: Float64Array,
): void {
  for (let i = 0; i < rows; i++) {
    const gi = g.subarray(i * columns, (i + 1) * columns);
    for (let j = 0; j <= i; j++) {
      const at = j * columns;
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += gi[c] * g[at + c];
      b[i * rows + j] += weight * sum;
      if (j < i) b[j * rows + i] += weight * sum;
    }
    for (let c = 0; c < columns; c++) {
      const x = weight * gi[c];
      const at = c * columns;
      for (let e = 0; e < columns; e++) a[at + e] += x * gi[e];
    }
  }
}
