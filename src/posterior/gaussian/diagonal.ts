import { requireLength } from "../../validate.ts";
import { type Curvature, requireSemiDefinite, type Whitened } from "./curvature.ts";

/** H = diag(values). */
export class DiagonalCurvature implements Curvature {
  readonly size: number;
  /** Each value is as accurate as it is large. */
  readonly resolution = 0;
  readonly values: Float64Array;

  /** @throws RangeError for a negative or non-finite value */
  constructor(values: Float64Array) {
    this.values = requireSemiDefinite(values);
    this.size = values.length;
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    return v.map((x, i) => f(this.values[i]) * x);
  }

  trace(f: (eigenvalue: number) => number): number {
    return this.values.reduce((sum, value) => sum + f(value), 0);
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    return this.values.map(f);
  }

  whitened(prior: Float64Array): Whitened {
    requireLength("prior", prior, this.size);
    return { base: prior, curvature: new DiagonalCurvature(this.values.map((x, i) => x / prior[i])) };
  }

  part(offset: number, length: number): DiagonalCurvature {
    return new DiagonalCurvature(this.values.subarray(offset, offset + length));
  }
}
