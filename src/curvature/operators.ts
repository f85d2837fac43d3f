/**
 * Curvature matrices as linear operators, named as in curvlinops. All are means over the predictions of a *fixed*
 * list of batches, at the parameters the model holds when a product is taken: a batch drawn anew, or parameters moved
 * between two products, would make them different matrices (`checkDeterminism` finds out).
 */
import { termsOf } from "../core/batch.ts";
import { normals, type RandomGenerator, uniform } from "../random.ts";
import { refuse, requireCount, requireLength, requireOneOf } from "../validate.ts";
import { type Batch, type CurvatureModel, logitHessianProduct, softmaxRows, totalTerms } from "./model.ts";
import { addScaled, scale, type Vector } from "./vector.ts";

/** A symmetric real matrix (size, size) known by its products. */
export interface LinearOperator {
  readonly size: number;
  /** The product with v (size), as a new vector. */
  matvec(v: Float64Array): Float64Array;
}

/** sum over batches of (terms of the batch / all terms) x product(batch, v). */
function meanOverBatches(
  model: CurvatureModel,
  batches: readonly Batch[],
  product: (batch: Batch, v: Float64Array, index: number) => Vector,
): LinearOperator {
  const terms = totalTerms(batches);
  const size = model.parameterCount;
  return {
    size,
    matvec(v) {
      requireLength("v", v, size);
      const sum = new Float64Array(size);
      batches.forEach((batch, index) => {
        addScaled(sum, termsOf(batch) / terms, product(batch, v, index));
      });
      return sum;
    },
  };
}

/**
 * Hessian of the mean NLL.
 * @throws RangeError for an empty list of batches
 */
export function hessianOperator(model: CurvatureModel, batches: readonly Batch[]): LinearOperator {
  return meanOverBatches(model, batches, (batch, v) => model.hessianVectorProduct(batch, v));
}

/**
 * Generalised Gauss-Newton matrix: mean of J' (diag p - p p') J, the Fisher matrix of the softmax model.
 * @throws RangeError for an empty list of batches
 */
export function ggnOperator(model: CurvatureModel, batches: readonly Batch[]): LinearOperator {
  return meanOverBatches(model, batches, (batch, v) => model.ggnVectorProduct(batch, v));
}

/** Which Fisher matrix `fisherOperator` is. */
export interface FisherOptions {
  /**
   * `exact` sums over all classes and equals the GGN; `mc` uses labels drawn once from the model; `empirical` uses
   * the targets, which makes it the second moment of the per-prediction gradients and no approximation of the Hessian
   * away from an optimum (Kunstner et al., arXiv 1905.12558).
   */
  fisherType: "exact" | "mc" | "empirical";
  /** Labels per prediction for `mc`, drawn at the parameters the model holds when the operator is made. Default 1. */
  mcSamples?: number;
  /** Source of the labels for `mc`. */
  rng?: RandomGenerator;
}

/**
 * Fisher matrix: mean over predictions of E_y[g_y g_y'], with g_y the gradient of -log p_y. Matrix-free: one
 * Jacobian-vector and one transposed product, and no per-prediction gradient.
 *
 * @throws RangeError for an empty list of batches, an unknown type, or `mc` without rng
 */
export function fisherOperator(
  model: CurvatureModel,
  batches: readonly Batch[],
  { fisherType, mcSamples = 1, rng }: FisherOptions,
): LinearOperator {
  requireOneOf("fisherType", fisherType, ["exact", "mc", "empirical"]);
  const { dVocab } = model.shape;
  const probabilities = (batch: Batch) => softmaxRows(model.logits(batch), dVocab);
  if (fisherType === "exact") {
    return meanOverBatches(model, batches, (batch, v) => {
      const u = model.jacobianVectorProduct(batch, v);
      return transposeMean(model, batch, logitHessianProduct(probabilities(batch), u, dVocab));
    });
  }
  requireCount("mcSamples", mcSamples);
  if (fisherType === "mc" && !rng) refuse("rng", "none", "a generator, which draws the labels of mc");
  const draws = (batch: Batch) => {
    const p = probabilities(batch);
    return Array.from({ length: mcSamples }, () => drawLabels(p, dVocab, rng!));
  };
  const labels = batches.map((batch) => (fisherType === "empirical" ? [batch.targets] : draws(batch)));
  return meanOverBatches(model, batches, (batch, v, index) => {
    const u = model.jacobianVectorProduct(batch, v);
    return transposeMean(model, batch, gradientOuterProduct(probabilities(batch), u, labels[index], dVocab));
  });
}

/** J' c / (B P). */
function transposeMean(model: CurvatureModel, batch: Batch, cotangent: Float64Array): Vector {
  scale(cotangent, 1 / termsOf(batch));
  return model.jacobianTransposeProduct(batch, cotangent);
}

/** Mean over the label lists of (p - e_y) (p - e_y)' u, row by row. */
function gradientOuterProduct(
  p: Float64Array,
  u: Vector,
  labels: readonly Int32Array[],
  classes: number,
): Float64Array {
  const out = new Float64Array(u.length);
  for (const list of labels) {
    for (let row = 0; row < list.length; row++) {
      const start = row * classes;
      let inner = -u[start + list[row]];
      for (let c = start; c < start + classes; c++) inner += p[c] * u[c];
      inner /= labels.length;
      for (let c = start; c < start + classes; c++) out[c] += inner * p[c];
      out[start + list[row]] -= inner;
    }
  }
  return out;
}

/** One label per row of p (rows, classes). */
function drawLabels(p: Float64Array, classes: number, rng: RandomGenerator): Int32Array {
  return Int32Array.from({ length: p.length / classes }, (_, row) => {
    let left = uniform(rng);
    let label = 0;
    while (label < classes - 1 && left >= p[row * classes + label]) left -= p[row * classes + label++];
    return label;
  });
}

/** factor A. */
export function scaledOperator(operator: LinearOperator, factor: number): LinearOperator {
  return {
    size: operator.size,
    matvec(v) {
      const out = operator.matvec(v);
      scale(out, factor);
      return out;
    },
  };
}

/** The operator of a dense symmetric matrix (n, n), row-major. */
export function matrixOperator(matrix: Float64Array, n: number): LinearOperator {
  requireLength("matrix", matrix, n * n);
  return {
    size: n,
    matvec(v) {
      requireLength("v", v, n);
      const out = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = 0; j < n; j++) sum += matrix[i * n + j] * v[j];
        out[i] = sum;
      }
      return out;
    },
  };
}

/** Largest dense matrix that is formed: 128 MiB, and about two minutes of eigen-decomposition. */
export const MAX_DENSE_SIZE = 4096;

/**
 * The matrix (size, size), row-major, by one product per column. Symmetrised: products in float32 are symmetric only
 * up to rounding.
 *
 * @throws RangeError for an operator larger than 4096
 */
export function denseMatrix(operator: LinearOperator): Float64Array {
  const n = requireCount("size of a dense matrix", operator.size, MAX_DENSE_SIZE);
  const matrix = new Float64Array(n * n);
  const unit = new Float64Array(n);
  for (let j = 0; j < n; j++) {
    unit[j] = 1;
    const column = operator.matvec(unit);
    unit[j] = 0;
    for (let i = 0; i < n; i++) {
      matrix[i * n + j] += column[i] / 2;
      matrix[j * n + i] += column[i] / 2;
    }
  }
  return matrix;
}

/**
 * Check that the same vector twice gives bit for bit the same product.
 * @throws Error naming the first element that differs
 */
export function checkDeterminism(operator: LinearOperator, rng: RandomGenerator): void {
  const v = new Float64Array(operator.size);
  normals(rng, v);
  const first = operator.matvec(v.slice());
  const second = operator.matvec(v.slice());
  for (let i = 0; i < first.length; i++) {
    if (!Object.is(first[i], second[i])) {
      throw new Error(
        `the operator is not deterministic: element ${i} of the product with the same vector was ${first[i]}, then ${second[i]}; fix the batches and the parameters`,
      );
    }
  }
}
