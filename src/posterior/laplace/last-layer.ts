/**
 * The GGN of the unembedding W (V, d) in closed form. Logits are W f with the feature f (d), so one prediction
 * contributes (diag p - p p') (x) f f'. With tied embeddings W here is the token embedding in its use as unembedding;
 * its use as input stays fixed.
 */

import {
  type Batch,
  complements,
  logitHessianProduct,
  type PredictiveModel,
  requireModel,
  softmaxRows,
  totalTerms,
} from "../../curvature/model.ts";
import { type LinearOperator, MAX_DENSE_SIZE } from "../../curvature/operators.ts";
import { dot } from "../../curvature/vector.ts";
import { requireCount, requireLength } from "../../validate.ts";
import { DiagonalCurvature } from "../gaussian/diagonal.ts";
import { KroneckerCurvature } from "../gaussian/kronecker.ts";
import { SpectralCurvature } from "../gaussian/spectral.ts";

/** Features (n, d) and predictive probabilities (n, V) of n predictions. */
export interface LastLayerData {
  terms: number;
  classes: number;
  width: number;
  features: Float64Array;
  probabilities: Float64Array;
  /** 1 - p, (n, V). */
  others: Float64Array;
}

/** @throws RangeError for an empty list of batches */
export function lastLayerData(model: PredictiveModel, batches: readonly Batch[]): LastLayerData {
  requireModel(model);
  const terms = totalTerms(batches);
  const { dVocab, dModel } = model.shape;
  const features = new Float64Array(terms * dModel);
  const probabilities = new Float64Array(terms * dVocab);
  let row = 0;
  for (const batch of batches) {
    const f = model.features(batch);
    features.set(f, row * dModel);
    probabilities.set(softmaxRows(model.logits(batch), dVocab), row * dVocab);
    row += f.length / dModel;
  }
  const others = complements(probabilities, dVocab);
  return { terms, classes: dVocab, width: dModel, features, probabilities, others };
}

/**
 * Gradient of each prediction's own NLL (nats) in W: (p - e_y) f', (B P, V, d). These are the only gradients that are
 * ever held one by one: over all parameters they would not fit.
 */
export function lastLayerGradients(model: PredictiveModel, batch: Batch): Float64Array {
  const { terms, classes, width, features, probabilities, others } = lastLayerData(model, [batch]);
  requireLength("targets", batch.targets, terms);
  const out = new Float64Array(terms * classes * width);
  for (let n = 0; n < terms; n++) {
    for (let c = 0; c < classes; c++) {
      const at = n * classes + c;
      const weight = c === batch.targets[n] ? -others[at] : probabilities[at];
      for (let i = 0; i < width; i++) out[(n * classes + c) * width + i] = weight * features[n * width + i];
    }
  }
  return out;
}

/** Mean GGN of vec(W), row-major, as an operator. */
export function lastLayerOperator({
  terms,
  classes,
  width,
  features,
  probabilities,
}: LastLayerData): LinearOperator {
  const size = classes * width;
  return {
    size,
    matvec(v) {
      requireLength("v", v, size);
      const out = new Float64Array(size);
      const u = new Float64Array(classes);
      for (let n = 0; n < terms; n++) {
        const f = features.subarray(n * width, (n + 1) * width);
        for (let c = 0; c < classes; c++) u[c] = dot(f, v.subarray(c * width, (c + 1) * width));
        const curved = logitHessianProduct(
          probabilities.subarray(n * classes, (n + 1) * classes),
          u,
          classes,
        );
        for (let c = 0; c < classes; c++) {
          const weight = curved[c] / terms;
          for (let i = 0; i < width; i++) out[c * width + i] += weight * f[i];
        }
      }
      return out;
    },
  };
}

/** factor x mean GGN as a dense matrix, decomposed. */
export function lastLayerFull(data: LastLayerData, factor: number): SpectralCurvature {
  const { terms, classes, width, features, probabilities, others } = data;
  const size = requireCount("size of the full last-layer curvature", classes * width, MAX_DENSE_SIZE);
  const matrix = new Float64Array(size * size);
  const outer = new Float64Array(width);
  for (let n = 0; n < terms; n++) {
    const f = features.subarray(n * width, (n + 1) * width);
    const p = probabilities.subarray(n * classes, (n + 1) * classes);
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) outer[j] = (factor / terms) * f[i] * f[j];
      for (let a = 0; a < classes; a++) {
        const row = (a * width + i) * size;
        for (let b = 0; b <= a; b++) {
          const weight = p[a] * (a === b ? others[n * classes + a] : -p[b]);
          const at = row + b * width;
          for (let j = 0; j < width; j++) matrix[at + j] += weight * outer[j];
        }
      }
    }
  }
  for (let i = 0; i < size; i++)
    for (let j = i + 1; j < size; j++) matrix[i * size + j] = matrix[j * size + i];
  return SpectralCurvature.fromMatrix(matrix, size);
}

/** factor x the diagonal of the mean GGN: mean of p_c (1 - p_c) f_i^2. */
export function lastLayerDiagonal(data: LastLayerData, factor: number): DiagonalCurvature {
  const { terms, classes, width, features, probabilities, others } = data;
  const values = new Float64Array(classes * width);
  for (let n = 0; n < terms; n++) {
    for (let c = 0; c < classes; c++) {
      const at = n * classes + c;
      const weight = (factor / terms) * probabilities[at] * others[at];
      for (let i = 0; i < width; i++) values[c * width + i] += weight * features[n * width + i] ** 2;
    }
  }
  return new DiagonalCurvature(values);
}

/** factor x mean(diag p - p p') (x) mean(f f'): the Kronecker-factored approximation (Martens and Grosse 2015). */
export function lastLayerKronecker(data: LastLayerData, factor: number): KroneckerCurvature {
  const { terms, classes, width, features, probabilities, others } = data;
  const b = new Float64Array(classes * classes);
  const a = new Float64Array(width * width);
  for (let n = 0; n < terms; n++) {
    const p = probabilities.subarray(n * classes, (n + 1) * classes);
    const f = features.subarray(n * width, (n + 1) * width);
    for (let i = 0; i < classes; i++)
      for (let j = 0; j < classes; j++)
        b[i * classes + j] += (factor / terms) * p[i] * (i === j ? others[n * classes + i] : -p[j]);
    for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) a[i * width + j] += (f[i] * f[j]) / terms;
  }
  return KroneckerCurvature.fromFactors(b, classes, a, width);
}
