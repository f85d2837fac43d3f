/** The zero-mean Gaussian with precision H + delta I, for any structure of H. */

import { addScaled, dot } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import { refuse } from "../../validate.ts";
import type { Curvature } from "./curvature.ts";

/** Beyond these, draws leave the range of float32. */
const [SMALLEST, LARGEST] = [1e-30, 1e30];

/** A prior precision, delta. */
export function requirePriorPrecision(name: string, value: number): number {
  return value >= SMALLEST && value <= LARGEST
    ? value
    : refuse(name, value, `from ${SMALLEST} to ${LARGEST}`);
}

/** A Gaussian over parameters around 0, of precision H + delta I with a structured curvature H. */
export class Gaussian {
  readonly curvature: Curvature;
  /** delta */
  readonly priorPrecision: number;

  /** @throws RangeError unless the prior precision is from 1e-30 to 1e30 */
  constructor(curvature: Curvature, priorPrecision: number) {
    this.curvature = curvature;
    this.priorPrecision = requirePriorPrecision("priorPrecision", priorPrecision);
  }

  get size(): number {
    return this.curvature.size;
  }

  /** A draw: (H + delta I)^(-1/2) z with z standard normal, so the covariance is (H + delta I)^-1. */
  sample(rng: RandomGenerator): Float64Array {
    const z = new Float64Array(this.size);
    normals(rng, z);
    return this.curvature.apply((x) => 1 / Math.sqrt(x + this.priorPrecision), z);
  }

  /** (H + delta I)^-1 v: the covariance times v. */
  solve(v: Float64Array): Float64Array {
    return this.curvature.apply((x) => 1 / (x + this.priorPrecision), v);
  }

  /** v' (H + delta I) v. */
  quadratic(v: Float64Array): number {
    const product = this.curvature.apply((x) => x, v);
    addScaled(product, this.priorPrecision, v);
    return dot(v, product);
  }

  /** log |H + delta I|. */
  logDeterminant(): number {
    return this.curvature.trace((x) => Math.log(x + this.priorPrecision));
  }

  /** tr H (H + delta I)^-1: the number of directions the data determine, from 0 to n (MacKay 1992). */
  effectiveParameters(): number {
    return this.curvature.trace((x) => x / (x + this.priorPrecision));
  }

  /** Marginal variances (n). */
  variance(): Float64Array {
    return this.curvature.diagonal((x) => 1 / (x + this.priorPrecision));
  }
}
