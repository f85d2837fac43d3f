import { spectralNoise } from "../../curvature/rounding.ts";
import { matrixProduct, type SymmetricEigen, symmetricEigen } from "../../curvature/vector.ts";
import { refuse, requireCount, requireLength, requireVector } from "../../validate.ts";
import { type Curvature, largestOf, onlyWhole, requireSemiDefinite, type Whitened } from "./curvature.ts";

/**
 * H = B (x) A for a weight matrix W (rows, columns), row-major: H vec(W) = vec(B W A), with B (rows, rows) and
 * A (columns, columns). Functions of H are exact (f of the products of eigenvalues, not damped factors), as in
 * Grosse et al. / laplace-torch.
 */
export class KroneckerCurvature implements Curvature {
  readonly size: number;
  readonly resolution: number;
  readonly left: Factor;
  readonly right: Factor;

  constructor(left: Factor, right: Factor) {
    for (const [name, factor] of Object.entries({ left, right }))
      if (!(factor instanceof Factor)) refuse(name, factor, "a factor, such as fromFactors makes");
    this.left = left;
    this.right = right;
    this.size = left.size * right.size;
    this.resolution = Math.max(left.noise, right.noise) * largestOf(left.values) * largestOf(right.values);
  }

  /**
   * From the factors B (rows, rows) and A (columns, columns), symmetric and positive semi-definite, row-major.
   * @param noise of a size: what rounding may have left of an eigenvalue 0 of a factor, as a fraction of its largest
   */
  static fromFactors(
    b: Float64Array,
    rows: number,
    a: Float64Array,
    columns: number,
    noise: (size: number) => number = spectralNoise,
  ): KroneckerCurvature {
    requireCount("rows", rows);
    requireCount("columns", columns);
    requireVector("b", b);
    requireVector("a", a);
    requireLength("b", b, rows * rows);
    requireLength("a", a, columns * columns);
    return new KroneckerCurvature(
      new Factor(symmetricEigen(b, rows), noise(rows)),
      new Factor(symmetricEigen(a, columns), noise(columns)),
    );
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    const { left, right } = this;
    const between = (b: Float64Array, w: Float64Array, a: Float64Array) =>
      matrixProduct(
        matrixProduct(b, w, left.size, left.size, right.size),
        a,
        left.size,
        right.size,
        right.size,
      );
    const rotated = between(left.vectors, v, right.transposed);
    for (let i = 0; i < left.size; i++)
      for (let j = 0; j < right.size; j++) rotated[i * right.size + j] *= f(left.values[i] * right.values[j]);
    return between(left.transposed, rotated, right.vectors);
  }

  trace(f: (eigenvalue: number) => number): number {
    let sum = 0;
    for (const b of this.left.values) for (const a of this.right.values) sum += f(b * a);
    return sum;
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    const { left, right } = this;
    const out = new Float64Array(this.size);
    const row = new Float64Array(right.size);
    for (let b = 0; b < left.size; b++) {
      row.fill(0);
      for (let a = 0; a < right.size; a++) {
        const weight = f(left.values[b] * right.values[a]);
        for (let j = 0; j < right.size; j++) row[j] += weight * right.vectors[a * right.size + j] ** 2;
      }
      for (let i = 0; i < left.size; i++) {
        const share = left.vectors[b * left.size + i] ** 2;
        for (let j = 0; j < right.size; j++) out[i * right.size + j] += share * row[j];
      }
    }
    return out;
  }

  /** @throws RangeError for a prior that is not the same for all of the matrix: the sum would be no function of H */
  whitened(prior: Float64Array): Whitened {
    requireLength("prior", prior, this.size);
    const [delta] = prior;
    if (prior.some((x) => x !== delta))
      refuse(
        "prior precisions",
        "several in one weight matrix",
        "one where its curvature is a Kronecker product",
      );
    return { base: prior, curvature: new KroneckerCurvature(this.left.scaled(1 / delta), this.right) };
  }

  part(offset: number, length: number): Curvature | null {
    return onlyWhole(this, offset, length);
  }
}

/** One factor in its eigenbasis. */
export class Factor {
  readonly size: number;
  /** What rounding may have left of an eigenvalue 0, as a fraction of the largest. */
  readonly noise: number;
  /** (size) */
  readonly values: Float64Array;
  /** (size, size): eigenvector i is row i. */
  readonly vectors: Float64Array;
  /** (size, size): eigenvector i is column i. */
  readonly transposed: Float64Array;

  constructor({ eigenvalues, eigenvectors }: SymmetricEigen, noise = 0) {
    this.size = eigenvalues.length;
    this.noise = noise;
    this.values = requireSemiDefinite(eigenvalues, noise);
    this.vectors = new Float64Array(this.size ** 2);
    this.transposed = new Float64Array(this.size ** 2);
    eigenvectors.forEach((u, i) => {
      requireLength("eigenvector", u, this.size);
      this.vectors.set(u, i * this.size);
      u.forEach((x, j) => {
        this.transposed[j * this.size + i] = x;
      });
    });
  }

  /** factor times it. */
  scaled(factor: number): Factor {
    const rows = Array.from(this.values, (_, i) => this.vectors.subarray(i * this.size, (i + 1) * this.size));
    return new Factor({ eigenvalues: this.values.map((x) => factor * x), eigenvectors: rows }, this.noise);
  }
}
