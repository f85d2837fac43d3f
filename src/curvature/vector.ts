/** Dense vectors and small dense symmetric matrices in float64. */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { refuse } from "../validate.ts";

export type Vector = Float32Array | Float64Array;

/** Sum of a_i b_i, as four sums: the additions of a single one would wait for each other. */
export function dot(a: Vector, b: Vector): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= a.length; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < a.length; i++) s0 += a[i] * b[i];
  return s0 + s1 + (s2 + s3);
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
  const inFours = basis.length & ~3;
  for (let pass = 0; pass < 2; pass++) {
    for (let i = 0; i < inFours; i += 4) removeFour(x, basis[i], basis[i + 1], basis[i + 2], basis[i + 3]);
    for (const q of basis.slice(inFours)) addScaled(x, -dot(q, x), q);
  }
}

/** Four vectors at a time, so that x is read and written a quarter as often. */
function removeFour(
  x: Float64Array,
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  d: Float64Array,
): void {
  let [da, db, dc, dd] = [0, 0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    da += a[i] * value;
    db += b[i] * value;
    dc += c[i] * value;
    dd += d[i] * value;
  }
  for (let i = 0; i < x.length; i++) x[i] -= da * a[i] + db * b[i] + dc * c[i] + dd * d[i];
}

/**
 * A (m, k) times B (k, n), row-major. Four rows of B at a time, so that a row of the result is read and written a
 * quarter as often.
 */
export function matrixProduct(
  a: Float64Array,
  b: Float64Array,
  m: number,
  k: number,
  n: number,
): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    const row = i * n;
    let l = 0;
    for (; l + 4 <= k; l += 4) {
      const at = i * k + l;
      const [a0, a1, a2, a3] = [a[at], a[at + 1], a[at + 2], a[at + 3]];
      const [b0, b1, b2, b3] = [l * n, (l + 1) * n, (l + 2) * n, (l + 3) * n];
      for (let j = 0; j < n; j++) {
        out[row + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + a2 * b[b2 + j] + a3 * b[b3 + j];
      }
    }
    for (; l < k; l++) for (let j = 0; j < n; j++) out[row + j] += a[i * k + l] * b[l * n + j];
  }
  return out;
}

/** S = U diag(eigenvalues) U'. */
export interface SymmetricEigen {
  /** Ascending. */
  eigenvalues: Float64Array;
  /** eigenvectors[i] belongs to eigenvalues[i]; orthonormal. */
  eigenvectors: Float64Array[];
}

/**
 * Eigen-decomposition of a symmetric matrix (n, n), row-major: about 10 n^3 multiplications.
 * @throws RangeError for an element that is not finite
 */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const strange = matrix.find((x) => !Number.isFinite(x));
  if (strange !== undefined) refuse("element of a matrix", strange, "finite");
  const rows = Matrix.zeros(n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) rows.set(i, j, matrix[i * n + j]);
  const decomposition = new EigenvalueDecomposition(rows, { assumeSymmetric: true });
  const columns = decomposition.eigenvectorMatrix;
  return {
    eigenvalues: Float64Array.from(decomposition.realEigenvalues),
    eigenvectors: Array.from({ length: n }, (_, i) => Float64Array.from(columns.getColumn(i))),
  };
}
