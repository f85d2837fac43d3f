/** The zero-mean Gaussian with precision H + D, for any structure of H and a diagonal prior precision D. */

import { dot } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import { refuse, requireVector } from "../../validate.ts";
import { type Curvature, requireStructure } from "./curvature.ts";
import { type GroupedPrior, meanPrecision, requireGroups, spread } from "./prior.ts";

/** Beyond these, draws leave the range of float32. */
const [SMALLEST, LARGEST] = [1e-30, 1e30];

/** A prior precision, delta. */
export function requirePriorPrecision(name: string, value: number): number {
  return typeof value === "number" && value >= SMALLEST && value <= LARGEST
    ? value
    : refuse(name, value, `from ${SMALLEST} to ${LARGEST}`);
}

/**
 * A Gaussian over parameters around 0, of precision H + D with a structured curvature H: D = delta I, or constant on each
 * of several groups. H + D = b^(1/2) (H~ + delta I) b^(1/2), with b = 1 and H~ = H for the one, delta = 1 for the other.
 */
export class Gaussian {
  readonly curvature: Curvature;
  /** delta; of several the geometric mean over the parameters. */
  readonly priorPrecision: number;
  readonly #prior: number | Float64Array;
  /** H~ and delta. */
  readonly #whitened: Curvature;
  readonly #delta: number;
  /** b (n); undefined where it is 1. */
  readonly #base: Float64Array | undefined;

  /** @throws RangeError unless the prior precisions are from 1e-30 to 1e30, and such that H + D keeps its structure */
  constructor(curvature: Curvature, prior: number | GroupedPrior) {
    requireStructure(curvature);
    this.curvature = curvature;
    if (typeof prior === "number") {
      this.#prior = this.#delta = requirePriorPrecision("priorPrecision", prior);
      this.#whitened = curvature;
    } else {
      requireGroups(prior);
      for (const delta of prior.precisions) requirePriorPrecision("priorPrecision", delta);
      this.#prior = spread(prior, curvature.size);
      const { base, curvature: whitened } = curvature.whitened(this.#prior);
      [this.#whitened, this.#base, this.#delta] = [whitened, base, 1];
    }
    this.priorPrecision = typeof prior === "number" ? prior : meanPrecision(prior);
  }

  get size(): number {
    return this.curvature.size;
  }

  /** Whether delta is the same for all parameters. */
  get hasOnePrior(): boolean {
    return typeof this.#prior === "number";
  }

  /** A draw: b^(-1/2) (H~ + delta I)^(-1/2) z with z standard normal, so the covariance is (H + D)^-1. */
  sample(rng: RandomGenerator): Float64Array {
    const z = new Float64Array(this.size);
    normals(rng, z);
    return this.#unscaled(this.#whitened.apply((x) => 1 / Math.sqrt(x + this.#delta), z));
  }

  /** (H + D)^-1 v: the covariance times v. */
  solve(v: Float64Array): Float64Array {
    requireVector("v", v);
    const whitened = this.#base ? this.#unscaled(v.slice()) : v;
    return this.#unscaled(this.#whitened.apply((x) => 1 / (x + this.#delta), whitened));
  }

  /** v' (H + D) v. */
  quadratic(v: Float64Array): number {
    requireVector("v", v);
    const product = this.curvature.apply((x) => x, v);
    const prior = this.#prior;
    for (let i = 0; i < v.length; i++) product[i] += (typeof prior === "number" ? prior : prior[i]) * v[i];
    return dot(v, product);
  }

  /** log |H + D|. */
  logDeterminant(): number {
    const whitened = this.#whitened.trace((x) => Math.log(x + this.#delta));
    return this.#base ? this.#base.reduce((sum, b) => sum + Math.log(b), whitened) : whitened;
  }

  /** tr H (H + D)^-1: the number of directions the data determine, from 0 to n (MacKay 1992). */
  effectiveParameters(): number {
    const prior = this.#prior;
    if (typeof prior === "number") return this.#whitened.trace((x) => x / (x + prior));
    return this.variance().reduce((sum, variance, i) => sum + 1 - prior[i] * variance, 0);
  }

  /** Marginal variances (n). */
  variance(): Float64Array {
    const variances = this.#whitened.diagonal((x) => 1 / (x + this.#delta));
    return this.#base ? variances.map((x, i) => x / this.#base![i]) : variances;
  }

  /** b^(-1/2) v, in place. */
  #unscaled(v: Float64Array): Float64Array {
    if (this.#base) for (let i = 0; i < v.length; i++) v[i] /= Math.sqrt(this.#base[i]);
    return v;
  }
}
