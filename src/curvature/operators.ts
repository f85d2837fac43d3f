/**
 * Curvature matrices as linear operators, named as in curvlinops. All are means over the predictions of a *fixed*
 * list of batches, at the parameters the model holds when a product is taken: a batch drawn anew, or parameters moved
 * between two products, would make them different matrices (`checkDeterminism` finds out).
 */
import { partsOf, sortedBatch, termsOf } from "../core/batch.ts";
import { normals, type RandomGenerator, uniform } from "../random.ts";
import {
  refuse,
  requireCount,
  requireFinite,
  requireFunction,
  requireKeys,
  requireLength,
  requireNonNegative,
  requireObject,
  requireOneOf,
  requireTypedArray,
} from "../validate.ts";
import {
  type Batch,
  type CurvatureModel,
  complements,
  LogitRoot,
  logitHessianProduct,
  requireCurvature,
  softmaxRows,
  totalTerms,
} from "./model.ts";
import { spectralNoise, unitRoundoff } from "./rounding.ts";
import { addScaled, dot, scale, type Vector } from "./vector.ts";

/** A symmetric real matrix (size, size) known by its products. */
export interface LinearOperator {
  readonly size: number;
  /** The product with v (size), as a new vector. */
  matvec(v: Float64Array): Float64Array;
  /** Of a positive semi-definite one that is R' R: the products with R (rows, size). */
  readonly root?: OperatorRoot;
  /** What rounding may leave in place of an eigenvalue 0, as a fraction of the largest. Default: `spectralNoise(size)`. */
  readonly noise?: number;
}

/**
 * R of A = R' R. v' A v = |R v|^2 is never negative, and where A v = 0 rounding leaves the square of what it leaves in
 * A v, relative to the largest eigenvalue.
 */
export interface OperatorRoot {
  /** R v (rows), as a new vector. */
  product(v: Float64Array): Float64Array;
  /** R' y (size), as a new vector. */
  transposed(y: Float64Array): Float64Array;
}

/** @throws RangeError for what is no operator */
export function requireOperator(operator: LinearOperator): void {
  requireCount("operator.size", requireObject("operator", operator).size);
  requireFunction("operator.matvec", operator.matvec);
}

/** sum over batches of (terms of the batch / all terms) x product(batch, v). */
function meanOverBatches(
  model: CurvatureModel,
  batches: readonly Batch[],
  product: (batch: Batch, v: Float64Array, index: number) => Vector,
): LinearOperator {
  requireCurvature(model);
  const terms = totalTerms(batches);
  const size = model.parameterCount;
  return {
    size,
    noise: spectralNoise(size, unitRoundoff(model)),
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

/**
 * The GGN with its root, whose rows are those of S' J / sqrt(terms) with S = diag sqrt p - p sqrt(p)', S S' =
 * diag p - p p'. At `parameters`, whatever the model holds by the time of a product.
 * @throws RangeError for an empty list of batches
 */
export function rootedGgnOperator(
  model: CurvatureModel,
  parameters: Float32Array,
  batches: readonly Batch[],
): LinearOperator {
  const size = model.parameterCount;
  const { dVocab } = model.shape;
  const share = 1 / Math.sqrt(totalTerms(batches));
  // The order of the rows of R is free.
  const sorted = batches.map(sortedBatch);
  model.setParameters(parameters);
  const predictives = sorted.map((batch) => new LogitRoot(softmaxRows(model.logits(batch), dVocab), dVocab));
  const rows = predictives.reduce((sum, { p }) => sum + p.length, 0);
  const root: OperatorRoot = {
    product(v) {
      requireLength("v", v, size);
      model.setParameters(parameters);
      const y = new Float64Array(rows);
      let at = 0;
      predictives.forEach((predictive, i) => {
        const u = predictive.transposed(model.jacobianVectorProduct(sorted[i], v));
        for (const x of u) y[at++] = share * x;
      });
      return y;
    },
    transposed(y) {
      requireLength("y", y, rows);
      model.setParameters(parameters);
      const sum = new Float64Array(size);
      let at = 0;
      predictives.forEach((predictive, i) => {
        const cotangent = predictive.product(y.subarray(at, at + predictive.p.length));
        at += predictive.p.length;
        addScaled(sum, share, model.jacobianTransposeProduct(sorted[i], cotangent));
      });
      return sum;
    },
  };
  const noise = Math.max(spectralNoise(size), spectralNoise(size, unitRoundoff(model)) ** 2);
  return { size, root, noise, matvec: (v) => root.transposed(root.product(v)) };
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
  options: FisherOptions,
): LinearOperator {
  requireKeys("fisherOperator", options, ["fisherType", "mcSamples", "rng"]);
  requireCurvature(model);
  totalTerms(batches);
  const { fisherType, mcSamples = 1, rng } = options;
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
  const others = complements(p, classes);
  for (const list of labels) {
    for (let row = 0; row < list.length; row++) {
      const start = row * classes;
      const label = start + list[row];
      let inner = 0;
      for (let c = start; c < start + classes; c++) inner += p[c] * (u[c] - u[label]);
      inner /= labels.length;
      for (let c = start; c < start + classes; c++) out[c] += inner * (c === label ? -others[c] : p[c]);
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

/** factor A; of an operator with a root the factor is at least 0. */
export function scaledOperator(operator: LinearOperator, factor: number): LinearOperator {
  requireOperator(operator);
  requireFinite("factor", factor);
  const { root, ...rest } = operator;
  const scaled = (product: (v: Float64Array) => Float64Array, by: number) => (v: Float64Array) => {
    const out = product(v);
    scale(out, by);
    return out;
  };
  if (root) requireNonNegative("factor", factor);
  const half = Math.sqrt(factor);
  return {
    ...rest,
    matvec: scaled((v) => operator.matvec(v), factor),
    ...(root && {
      root: {
        product: scaled((v) => root.product(v), half),
        transposed: scaled((y) => root.transposed(y), half),
      },
    }),
  };
}

/** The operator of a dense symmetric matrix (n, n), row-major. */
export function matrixOperator(matrix: Float64Array, n: number): LinearOperator {
  requireTypedArray("matrix", matrix, "Float64Array");
  requireCount("n", n);
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
 * up to rounding. Of an operator with a root R it is R' R, with all of R (rows, size) in memory.
 *
 * @throws RangeError for an operator larger than 4096
 */
export function denseMatrix(operator: LinearOperator): Float64Array {
  requireOperator(operator);
  const n = requireCount("size of a dense matrix", operator.size, MAX_DENSE_SIZE);
  const matrix = new Float64Array(n * n);
  const { root } = operator;
  const unit = new Float64Array(n);
  const columns: Float64Array[] = [];
  for (let j = 0; j < n; j++) {
    unit[j] = 1;
    const column = root ? root.product(unit) : operator.matvec(unit);
    unit[j] = 0;
    if (root) {
      columns.push(column);
      columns.forEach((other, i) => {
        matrix[i * n + j] = matrix[j * n + i] = dot(other, column);
      });
      continue;
    }
    for (let i = 0; i < n; i++) {
      matrix[i * n + j] += column[i] / 2;
      matrix[j * n + i] += column[i] / 2;
    }
  }
  return matrix;
}

/** Elements of R that `denseGgn` holds at a time: 64 MiB. */
const ROOT_ELEMENTS = 2 ** 23;

/**
 * The mean GGN (size, size) at `parameters`, row-major, by the root of it, a few sequences at a time: positive
 * semi-definite, and accurate to float64's rounding of what float32 makes of J.
 * @throws RangeError for an empty list of batches, or more than 4096 parameters
 */
export function denseGgn(
  model: CurvatureModel,
  parameters: Float32Array,
  batches: readonly Batch[],
): Float64Array {
  const size = requireCount("size of a dense matrix", model.parameterCount, MAX_DENSE_SIZE);
  const terms = totalTerms(batches);
  const sum = new Float64Array(size * size);
  for (const batch of batches) {
    const perSequence = batch.positions.length * model.shape.dVocab * size;
    for (const part of partsOf(batch, Math.max(1, Math.floor(ROOT_ELEMENTS / perSequence))))
      addScaled(sum, termsOf(part) / terms, denseMatrix(rootedGgnOperator(model, parameters, [part])));
  }
  return sum;
}

/**
 * Check that the same vector twice gives bit for bit the same product.
 * @throws Error naming the first element that differs
 */
export function checkDeterminism(operator: LinearOperator, rng: RandomGenerator): void {
  requireOperator(operator);
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
