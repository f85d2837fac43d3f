import { requireLength } from "../../validate.ts";
import { type SymmetricEigen, symmetricEigen } from "../vector.ts";
import { type Curvature, requireSemiDefinite } from "./curvature.ts";

/**
 * H = B (x) A for a weight matrix W (rows, columns), row-major: H vec(W) = vec(B W A), with B (rows, rows) and
 * A (columns, columns). Functions of H are exact (f of the products of eigenvalues, not damped factors), as in
 * Grosse et al. / laplace-torch.
 */
export class KroneckerCurvature implements Curvature {
  readonly size: number;
  readonly left: Factor;
  readonly right: Factor;

  constructor(left: Factor, right: Factor) {
    this.left = left;
    this.right = right;
    this.size = left.size * right.size;
  }

  /** From the factors B (rows, rows) and A (columns, columns), symmetric and positive semi-definite, row-major. */
  static fromFactors(b: Float64Array, rows: number, a: Float64Array, columns: number): KroneckerCurvature {
    requireLength("b", b, rows * rows);
    requireLength("a", a, columns * columns);
    return new KroneckerCurvature(
      new Factor(symmetricEigen(b, rows)),
      new Factor(symmetricEigen(a, columns)),
    );
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    const { left, right } = this;
    const rotated = left.rotateColumns(right.rotateRows(v, true), true);
    for (let i = 0; i < left.size; i++)
      for (let j = 0; j < right.size; j++) rotated[i * right.size + j] *= f(left.values[i] * right.values[j]);
    return left.rotateColumns(right.rotateRows(rotated, false), false);
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
}

/** One factor in its eigenbasis. */
export class Factor {
  readonly size: number;
  /** (size) */
  readonly values: Float64Array;
  /** (size, size): eigenvector i is row i. */
  readonly vectors: Float64Array;

  constructor({ eigenvalues, eigenvectors }: SymmetricEigen) {
    this.size = eigenvalues.length;
    this.values = requireSemiDefinite(eigenvalues);
    this.vectors = new Float64Array(this.size ** 2);
    eigenvectors.forEach((u, i) => {
      requireLength("eigenvector", u, this.size);
      this.vectors.set(u, i * this.size);
    });
  }

  /** Each row of w (rows, size) into the eigenbasis, or back out of it. */
  rotateRows(w: Float64Array, into: boolean): Float64Array {
    const n = this.size;
    const out = new Float64Array(w.length);
    for (let start = 0; start < w.length; start += n) {
      for (let i = 0; i < n; i++) {
        const u = i * n;
        if (into) {
          let sum = 0;
          for (let j = 0; j < n; j++) sum += this.vectors[u + j] * w[start + j];
          out[start + i] = sum;
        } else {
          const x = w[start + i];
          for (let j = 0; j < n; j++) out[start + j] += x * this.vectors[u + j];
        }
      }
    }
    return out;
  }

  /** Each column of w (size, columns) into the eigenbasis, or back out of it. */
  rotateColumns(w: Float64Array, into: boolean): Float64Array {
    const n = this.size;
    const columns = w.length / n;
    const out = new Float64Array(w.length);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const u = this.vectors[i * n + j];
        const from = (into ? j : i) * columns;
        const to = (into ? i : j) * columns;
        for (let c = 0; c < columns; c++) out[to + c] += u * w[from + c];
      }
    }
    return out;
  }
}
