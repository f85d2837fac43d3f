import {
  applyFunction,
  type SpectralDensity,
  spectralDensity,
  spectralTrace,
} from "../../curvature/lanczos.ts";
import { type LinearOperator, requireOperator } from "../../curvature/operators.ts";
import { spectralNoise } from "../../curvature/rounding.ts";
import { rademacher } from "../../curvature/trace.ts";
import { addScaled } from "../../curvature/vector.ts";
import { stream } from "../../random.ts";
import { requireCount, requireKeys, requireLength } from "../../validate.ts";
import { type Curvature, largestOf, onlyWhole, requireNotNegative, type Whitened } from "./curvature.ts";

export interface MatrixFreeOptions {
  /** Lanczos steps of each product f(H) v; exact at the number of different eigenvalues. Default 50. */
  steps?: number;
  /** Random vectors for traces and diagonals. Default 8. */
  probes?: number;
  /** Root of the random vectors. Default 0. */
  seed?: number;
}

/**
 * H known only by its products. f(H) v by Lanczos, traces by stochastic Lanczos quadrature (always on the same random
 * vectors, so that evidence is a smooth function of the prior precision), diagonals by Hutchinson's method.
 */
export class MatrixFreeCurvature implements Curvature {
  readonly size: number;
  readonly resolution: number;
  readonly #operator: LinearOperator;
  readonly #steps: number;
  readonly #probes: number;
  readonly #seed: number;
  readonly #largest: number;
  #density: SpectralDensity | undefined;

  /** @throws RangeError for an operator in which as many Lanczos steps find a negative eigenvalue, or options outside their range */
  constructor(operator: LinearOperator, options: MatrixFreeOptions = {}) {
    requireOperator(operator);
    requireKeys("MatrixFreeCurvature", options, ["steps", "probes", "seed"]);
    const { steps = 50, probes = 8, seed = 0 } = options;
    this.size = operator.size;
    this.#operator = operator;
    this.#steps = requireCount("steps", steps);
    this.#probes = requireCount("probes", probes);
    this.#seed = seed;
    const rng = stream(seed, 0, "matrixFreeTrace");
    const [{ nodes }] = spectralDensity(operator, { probes: 1, steps, rng }).quadratures;
    this.#largest = largestOf(nodes);
    for (const x of nodes) requireNotNegative(x, this.#largest);
    this.resolution = (operator.noise ?? spectralNoise(operator.size)) * this.#largest;
  }

  /** f at an eigenvalue, 0 where rounding explains it. */
  #at(f: (eigenvalue: number) => number): (eigenvalue: number) => number {
    return (x) => {
      requireNotNegative(x, Math.max(this.#largest, x));
      return f(x > this.resolution ? x : 0);
    };
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    return applyFunction(this.#operator, this.#at(f), v, this.#steps);
  }

  trace(f: (eigenvalue: number) => number): number {
    return this.traceWithError(f).estimate;
  }

  /** tr f(H) with its standard error over the random vectors. */
  traceWithError(f: (eigenvalue: number) => number): { estimate: number; standardError: number } {
    this.#density ??= spectralDensity(this.#operator, {
      probes: this.#probes,
      steps: this.#steps,
      rng: stream(this.#seed, 0, "matrixFreeTrace"),
    });
    return spectralTrace(this.#density, this.#at(f));
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    const rng = stream(this.#seed, 0, "matrixFreeDiagonal");
    const sum = new Float64Array(this.size);
    for (let i = 0; i < this.#probes; i++) {
      const z = rademacher(rng, this.size);
      const product = this.apply(f, z);
      for (let j = 0; j < this.size; j++) product[j] *= z[j];
      addScaled(sum, 1 / this.#probes, product);
    }
    return sum;
  }

  whitened(prior: Float64Array): Whitened {
    requireLength("prior", prior, this.size);
    const scaled = (v: Float64Array) => v.map((x, i) => x / Math.sqrt(prior[i]));
    const inner = this.#operator;
    const { root, noise, size } = inner;
    const operator: LinearOperator = {
      ...{ size, noise },
      matvec: (v) => scaled(inner.matvec(scaled(v))),
      ...(root && {
        root: { product: (v) => root.product(scaled(v)), transposed: (y) => scaled(root.transposed(y)) },
      }),
    };
    const options = { steps: this.#steps, probes: this.#probes, seed: this.#seed };
    return { base: prior, curvature: new MatrixFreeCurvature(operator, options) };
  }

  part(offset: number, length: number): Curvature | null {
    return onlyWhole(this, offset, length);
  }
}
