import { spectralNoise } from "../../curvature/rounding.ts";
import { addScaled, dot, symmetricEigen } from "../../curvature/vector.ts";
import {
  requireCount,
  requireLength,
  requireList,
  requireNonNegative,
  requireVector,
} from "../../validate.ts";
import { type Curvature, largestOf, onlyWhole, requireSemiDefinite, type Whitened } from "./curvature.ts";
import { DiagonalCurvature } from "./diagonal.ts";

/**
 * H = U diag(lambda) U' + mu (I - U U') with k orthonormal eigenvectors: low rank for k < n, the full matrix for k = n.
 * On the complement of the k directions H is mu: 0 leaves a posterior the prior's variance 1 / delta there; the mean of
 * the eigenvalues that were cut off gives H the right trace.
 */
export class SpectralCurvature implements Curvature {
  readonly size: number;
  readonly resolution: number;
  /** (k) */
  readonly eigenvalues: Float64Array;
  /** k vectors (n) */
  readonly eigenvectors: readonly Float64Array[];
  /** mu */
  readonly remainder: number;
  /** What rounding may have left of an eigenvalue 0, as a fraction of the largest. */
  readonly noise: number;

  /**
   * @param noise what rounding may have left of an eigenvalue 0, as a fraction of the largest
   * @throws RangeError for a negative eigenvalue or remainder, no eigenvector, or more than n
   */
  constructor(eigenvalues: Float64Array, eigenvectors: readonly Float64Array[], remainder = 0, noise = 0) {
    requireList("eigenvectors", eigenvectors);
    requireCount("number of eigenvectors", eigenvectors.length);
    for (const u of eigenvectors) requireVector("eigenvector", u);
    requireLength("eigenvalues", eigenvalues, eigenvectors.length);
    this.size = eigenvectors[0].length;
    requireCount("number of eigenvectors", eigenvectors.length, this.size);
    for (const u of eigenvectors) requireLength("eigenvector", u, this.size);
    this.noise = requireNonNegative("noise", noise);
    this.eigenvalues = requireSemiDefinite(eigenvalues, noise);
    this.resolution = noise * largestOf(eigenvalues);
    this.eigenvectors = eigenvectors;
    this.remainder = requireNonNegative("remainder", remainder);
  }

  /** The full structure of a symmetric matrix (n, n), row-major. */
  static fromMatrix(matrix: Float64Array, n: number): SpectralCurvature {
    requireCount("n", n);
    requireVector("matrix", matrix);
    requireLength("matrix", matrix, n * n);
    const { eigenvalues, eigenvectors } = symmetricEigen(matrix, n);
    return new SpectralCurvature(eigenvalues, eigenvectors, 0, spectralNoise(n));
  }

  /** f on the complement. Not evaluated for the full matrix, where it may be huge and has no place to act. */
  #outside(f: (eigenvalue: number) => number): number {
    return this.eigenvectors.length < this.size ? f(this.remainder) : 0;
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

  /**
   * With b = mu + prior, H~ = R' R for R = (lambda - mu)^(1/2) U' b^(-1/2) (k, n): its eigenpairs follow from those of
   * R R' (k, k). What noise has put below mu counts as mu.
   */
  whitened(prior: Float64Array): Whitened {
    requireLength("prior", prior, this.size);
    const { eigenvalues, eigenvectors, remainder } = this;
    const k = eigenvectors.length;
    const base = prior.map((delta) => delta + remainder);
    const rows = eigenvectors.map((u, i) => {
      const root = Math.sqrt(Math.max(0, eigenvalues[i] - remainder));
      return u.map((x, j) => (root * x) / Math.sqrt(base[j]));
    });
    const gram = new Float64Array(k * k);
    for (let i = 0; i < k; i++)
      for (let j = 0; j <= i; j++) gram[i * k + j] = gram[j * k + i] = dot(rows[i], rows[j]);
    const { eigenvalues: values, eigenvectors: mixtures } = symmetricEigen(gram, k);
    const smallest = spectralNoise(k) * largestOf(values);
    const kept = mixtures.map((w, i) => ({ w, value: values[i] })).filter(({ value }) => value > smallest);
    const vectors = kept.map(({ w, value }) => {
      const v = new Float64Array(this.size);
      rows.forEach((row, i) => {
        addScaled(v, w[i] / Math.sqrt(value), row);
      });
      return v;
    });
    if (vectors.length === 0) return { base, curvature: new DiagonalCurvature(new Float64Array(this.size)) };
    return {
      base,
      curvature: new SpectralCurvature(
        Float64Array.from(kept, ({ value }) => value),
        vectors,
      ),
    };
  }

  part(offset: number, length: number): Curvature | null {
    return onlyWhole(this, offset, length);
  }
}
