/**
 * The covariance of W x for a matrix W (rows, columns), row-major, whose elements are Gaussian: S_kl =
 * (e_k (x) x)' Sigma (e_l (x) x), in closed form where the structure of Sigma has one.
 */
import { dot, matrixProduct } from "../../curvature/vector.ts";
import { refuse, requireLength } from "../../validate.ts";
import { DiagonalCurvature } from "./diagonal.ts";
import type { Gaussian } from "./gaussian.ts";
import { KroneckerCurvature } from "./kronecker.ts";
import { SpectralCurvature } from "./spectral.ts";

export interface Projection {
  /** Diagonal of S (rows), for x (columns). */
  variances(x: Float64Array): Float64Array;
  /** S (rows, rows), row-major. */
  covariance(x: Float64Array): Float64Array;
  /**
   * For standard normal z (rows) draws of W x: S^(1/2) z, one after the other, by the symmetric root. Undefined where that
   * takes more than a draw of W.
   */
  draws?(z: readonly Float64Array[]): (x: Float64Array) => Float64Array;
}

/** @throws RangeError unless the Gaussian is over as many elements */
export function projectionOf(gaussian: Gaussian, rows: number, columns: number): Projection {
  if (gaussian.size !== rows * columns)
    refuse(
      "size of the Gaussian",
      gaussian.size,
      `${rows * columns}, that of a matrix (${rows}, ${columns})`,
    );
  const { curvature } = gaussian;
  if (curvature instanceof DiagonalCurvature) return independent(gaussian.variance(), rows, columns);
  const delta = gaussian.priorPrecision;
  if (!gaussian.hasOnePrior) return solved(gaussian, rows, columns);
  if (curvature instanceof KroneckerCurvature) return kronecker(curvature, delta);
  if (curvature instanceof SpectralCurvature) return spectral(curvature, delta, rows);
  return solved(gaussian, rows, columns);
}

/** Sigma is diagonal: so is S, with sum_j Sigma_(kj) x_j^2. */
function independent(variance: Float64Array, rows: number, columns: number): Projection {
  const identity = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) identity[i * (rows + 1)] = 1;
  const transposed = transpose(variance, rows, columns);
  return diagonalised(identity, rows, (x) => {
    requireLength("x", x, columns);
    return matrixProduct(squares(x), transposed, 1, columns, rows);
  });
}

/**
 * B (x) A with B = U diag b U' and A = Q diag a Q': S = U diag s U', s_i = sum_j (Q'x)_j^2 / (b_i a_j + delta). That is
 * columns^2 + rows columns multiplications.
 */
function kronecker({ left, right }: KroneckerCurvature, delta: number): Projection {
  const [rows, columns] = [left.size, right.size];
  const inverse = new Float64Array(columns * rows);
  for (let j = 0; j < columns; j++)
    for (let i = 0; i < rows; i++) inverse[j * rows + i] = 1 / (left.values[i] * right.values[j] + delta);
  return diagonalised(left.vectors, rows, (x) => {
    requireLength("x", x, columns);
    const rotated = matrixProduct(x, right.transposed, 1, columns, columns);
    return matrixProduct(squares(rotated), inverse, 1, columns, rows);
  });
}

/**
 * S = U diag s U' with eigenvectors that do not depend on x: rows^2 more multiplications for the variances and for each
 * draw.
 * @param basis U' (rows, rows)
 * @param spectrum s (rows) for x
 */
function diagonalised(
  basis: Float64Array,
  rows: number,
  spectrum: (x: Float64Array) => Float64Array,
): Projection {
  const basisSquares = squares(basis);
  const transposed = transpose(basis, rows, rows);
  return {
    variances: (x) => matrixProduct(spectrum(x), basisSquares, 1, rows, rows),
    covariance(x) {
      const s = spectrum(x);
      const scaled = transposed.map((u, at) => u * s[at % rows]);
      return matrixProduct(scaled, basis, rows, rows, rows);
    },
    draws(z) {
      const flat = new Float64Array(z.length * rows);
      z.forEach((each, s) => {
        flat.set(each, s * rows);
      });
      const rotated = matrixProduct(flat, transposed, z.length, rows, rows);
      const scaled = new Float64Array(rotated.length);
      return (x) => {
        const roots = spectrum(x).map(Math.sqrt);
        for (let s = 0; s < scaled.length; s += rows)
          for (let i = 0; i < rows; i++) scaled[s + i] = roots[i] * rotated[s + i];
        return matrixProduct(scaled, basis, z.length, rows, rows);
      };
    },
  };
}

/** U diag lambda U' + mu (I - U U'): with U_i' x (rows) for each eigenvector as a matrix, and the rest of x'x I. */
function spectral(
  { eigenvalues, eigenvectors, remainder, size }: SpectralCurvature,
  delta: number,
  rows: number,
): Projection {
  const columns = size / rows;
  const outside = eigenvectors.length < size ? 1 / (remainder + delta) : 0;
  const weights = Array.from(eigenvalues, (value) => 1 / (value + delta) - outside);
  const vectorRows = eigenvectors.map((u) => rowsOf(u, columns));
  const projected = (x: Float64Array) => {
    requireLength("x", x, columns);
    return vectorRows.map((u) => Float64Array.from(u, (row) => dot(row, x)));
  };
  return {
    variances(x) {
      const out = new Float64Array(rows).fill(outside * dot(x, x));
      projected(x).forEach((v, i) => {
        for (let k = 0; k < rows; k++) out[k] += weights[i] * v[k] * v[k];
      });
      return out;
    },
    covariance(x) {
      const out = sumOfOuterProducts(weights, projected(x), rows);
      const rest = outside * dot(x, x);
      for (let k = 0; k < rows; k++) out[k * (rows + 1)] += rest;
      return out;
    },
  };
}

/** By a solve for each row. */
function solved(gaussian: Gaussian, rows: number, columns: number): Projection {
  const covariance = (x: Float64Array) => {
    requireLength("x", x, columns);
    const out = new Float64Array(rows * rows);
    for (let k = 0; k < rows; k++) {
      const v = new Float64Array(rows * columns);
      v.set(x, k * columns);
      const column = gaussian.solve(v);
      for (let l = 0; l < rows; l++)
        out[l * rows + k] = dot(x, column.subarray(l * columns, (l + 1) * columns));
    }
    return out;
  };
  return {
    variances(x) {
      const whole = covariance(x);
      return Float64Array.from({ length: rows }, (_, k) => whole[k * (rows + 1)]);
    },
    covariance,
  };
}

/** sum_i weights_i v_i v_i' (size, size). */
function sumOfOuterProducts(
  weights: readonly number[],
  vectors: readonly Float64Array[],
  size: number,
): Float64Array {
  const out = new Float64Array(size * size);
  vectors.forEach((v, i) => {
    for (let k = 0; k < size; k++)
      for (let l = 0; l < size; l++) out[k * size + l] += weights[i] * v[k] * v[l];
  });
  return out;
}

const squares = (x: Float64Array) => x.map((value) => value * value);

/** Of a matrix (rows, columns). */
function transpose(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j];
  return out;
}

function rowsOf(matrix: Float64Array, columns: number): Float64Array[] {
  return Array.from({ length: matrix.length / columns }, (_, i) =>
    matrix.subarray(i * columns, (i + 1) * columns),
  );
}
