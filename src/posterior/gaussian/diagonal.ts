import { requireLength } from "../../validate.ts";
import { type Curvature, requireSemiDefinite } from "./curvature.ts";

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
}
