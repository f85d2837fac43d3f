import { requireCount, requireLength } from "../validate.ts";
import { addScaled, dot, symmetricEigen } from "../vector.ts";
import { type Curvature, requireSemiDefinite } from "./curvature.ts";

/**
 * H = U diag(lambda) U' with k orthonormal eigenvectors: low rank for k < n, the full matrix for k = n. On the
 * complement of the k directions H is 0, where a posterior has the prior's variance 1 / delta (Woodbury's identity).
 */
export class SpectralCurvature implements Curvature {
  readonly size: number;
  /** (k) */
  readonly eigenvalues: Float64Array;
  /** k vectors (n) */
  readonly eigenvectors: readonly Float64Array[];

  /** @throws RangeError for a negative eigenvalue, no eigenvector, or more than n */
  constructor(eigenvalues: Float64Array, eigenvectors: readonly Float64Array[]) {
    requireCount("number of eigenvectors", eigenvectors.length);
    requireLength("eigenvalues", eigenvalues, eigenvectors.length);
    this.size = eigenvectors[0].length;
    requireCount("number of eigenvectors", eigenvectors.length, this.size);
    for (const u of eigenvectors) requireLength("eigenvector", u, this.size);
    this.eigenvalues = requireSemiDefinite(eigenvalues);
    this.eigenvectors = eigenvectors;
  }

  /** The full structure of a symmetric matrix (n, n), row-major. */
  static fromMatrix(matrix: Float64Array, n: number): SpectralCurvature {
    requireLength("matrix", matrix, n * n);
    const { eigenvalues, eigenvectors } = symmetricEigen(matrix, n);
    return new SpectralCurvature(eigenvalues, eigenvectors);
  }

  /** f on the complement. Not evaluated for the full matrix, where f(0) may be huge and has no place to act. */
  #outside(f: (eigenvalue: number) => number): number {
    return this.eigenvectors.length < this.size ? f(0) : 0;
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    const outside = this.#outside(f);
    const out = v.map((x) => outside * x);
    this.eigenvectors.forEach((u, i) => {
      addScaled(out, (f(this.eigenvalues[i]) - outside) * dot(u, v), u);
    });
    return out;
  }

  trace(f: (eigenvalue: number) => number): number {
    const complement = this.size - this.eigenvectors.length;
    return this.eigenvalues.reduce(
      (sum, x) => sum + f(x),
      complement > 0 ? complement * this.#outside(f) : 0,
    );
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    const outside = this.#outside(f);
    const out = new Float64Array(this.size).fill(outside);
    this.eigenvectors.forEach((u, i) => {
      const weight = f(this.eigenvalues[i]) - outside;
      for (let j = 0; j < out.length; j++) out[j] += weight * u[j] ** 2;
    });
    return out;
  }
}
