/** Dense vectors and small dense symmetric matrices in float64. */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";

export type Vector = Float32Array | Float64Array;

/** Sum of a_i b_i. */
export function dot(a: Vector, b: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export function norm(a: Vector): number {
  return Math.sqrt(dot(a, a));
}

/** target += factor x, in place. */
export function addScaled(target: Vector, factor: number, x: Vector): void {
  for (let i = 0; i < target.length; i++) target[i] += factor * x[i];
}

/** target *= factor, in place. */
export function scale(target: Vector, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] *= factor;
}

/** Remove from x, in place, its components along the orthonormal vectors; twice, so that rounding does not survive. */
export function orthogonalise(x: Float64Array, basis: readonly Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++) for (const q of basis) addScaled(x, -dot(q, x), q);
}

/** S = U diag(eigenvalues) U'. */
export interface SymmetricEigen {
  /** Ascending. */
  eigenvalues: Float64Array;
  /** eigenvectors[i] belongs to eigenvalues[i]; orthonormal. */
  eigenvectors: Float64Array[];
}

/** Eigen-decomposition of a symmetric matrix (n, n), row-major: about 10 n^3 multiplications. */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const rows = Matrix.zeros(n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) rows.set(i, j, matrix[i * n + j]);
  const decomposition = new EigenvalueDecomposition(rows, { assumeSymmetric: true });
  const columns = decomposition.eigenvectorMatrix;
  return {
    eigenvalues: Float64Array.from(decomposition.realEigenvalues),
    eigenvectors: Array.from({ length: n }, (_, i) => Float64Array.from(columns.getColumn(i))),
  };
}

/** Eigen-decomposition of the symmetric tridiagonal matrix with this diagonal and off-diagonal (one shorter). */
export function tridiagonalEigen(
  diagonal: readonly number[],
  offDiagonal: readonly number[],
): SymmetricEigen {
  const n = diagonal.length;
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    matrix[i * n + i] = diagonal[i];
    if (i + 1 < n) matrix[i * n + i + 1] = matrix[(i + 1) * n + i] = offDiagonal[i];
  }
  return symmetricEigen(matrix, n);
}
