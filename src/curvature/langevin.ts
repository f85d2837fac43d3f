/** Stochastic-gradient Langevin dynamics (Welling and Teh 2011), plain and preconditioned; SGLD posterior and LLC use it. */
import { normals, type RandomGenerator } from "../random.ts";
import {
  keysOf,
  requireKeys,
  requireLength,
  requireNonNegativeFloat32,
  requirePositiveFloat32,
  requireRateFloat32,
  requireVector,
} from "../validate.ts";
import type { Vector } from "./vector.ts";

/** A chain that its step size has thrown out: its draws are of nothing. */
export class DivergedChainError extends RangeError {
  constructor(stepSize: number) {
    super(`stepSize: got ${stepSize}, with which the chain diverged; it must be smaller`);
  }
}

/** The density of a `LangevinChain` and its steps. */
export interface LangevinOptions {
  /** e. On a quadratic of curvature k the chain is stable for e k < 4. */
  stepSize: number;
  /** Factor of the mean loss in the potential: N / T for the posterior of N terms at temperature T. */
  lossWeight: number;
  /** Precision of the Gaussian factor of the density: the prior's delta, or the localisation gamma. */
  precision: number;
  /** Its centre; the origin by default. */
  centre?: Vector;
  /**
   * Divide by the root of a running mean of squared gradients (pSGLD, Li et al., arXiv 1512.07666). It adapts until
   * `freeze` is called and is a constant matrix from then on, so no correction term is missing. Default decay 0.99, epsilon
   * 1e-5.
   */
  preconditioner?: { decay?: number; epsilon?: number };
}

const LANGEVIN = keysOf<LangevinOptions>({
  ...{ stepSize: true, lossWeight: true, precision: true, centre: true, preconditioner: true },
});

/**
 * A chain with the density exp(-lossWeight L(theta) - precision |theta - centre|^2 / 2) up to O(e):
 * theta <- theta - (e/2) G [lossWeight grad L + precision (theta - centre)] + sqrt(e G) z, G = I when plain.
 */
export class LangevinChain {
  readonly position: Float64Array;
  readonly #options: LangevinOptions;
  readonly #decay: number;
  readonly #epsilon: number;
  /** Running mean of squared gradients, or undefined for the plain chain. */
  readonly #squares: Float64Array | undefined;
  readonly #noise: Float64Array;
  #adapted = 0;
  #frozen = false;

  /** @throws RangeError for an option outside its range */
  constructor(start: Vector, options: LangevinOptions) {
    requireVector("start", start);
    requireKeys("LangevinChain", options, LANGEVIN);
    requirePositiveFloat32("stepSize", options.stepSize);
    requirePositiveFloat32("lossWeight", options.lossWeight);
    requireNonNegativeFloat32("precision", options.precision);
    if (options.centre) requireLength("centre", options.centre, start.length);
    const { preconditioner = {} } = options;
    requireKeys("preconditioner", preconditioner, ["decay", "epsilon"]);
    const { decay = 0.99, epsilon = 1e-5 } = preconditioner;
    this.#decay = requireRateFloat32("preconditioner.decay", decay);
    this.#epsilon = requirePositiveFloat32("preconditioner.epsilon", epsilon);
    this.#options = options;
    this.position = Float64Array.from(start);
    this.#noise = new Float64Array(start.length);
    this.#squares = options.preconditioner && new Float64Array(start.length);
  }

  /** Stop adapting the preconditioner: at the end of the burn-in. */
  freeze(): void {
    this.#frozen = true;
  }

  /**
   * One step with the gradient of the mean loss at `position`.
   * @throws DivergedChainError if the position is not finite in float32: the step size is too large
   */
  step(gradient: Vector, rng: RandomGenerator): void {
    const { stepSize, lossWeight, precision, centre } = this.#options;
    const { position } = this;
    requireVector("gradient", gradient);
    requireLength("gradient", gradient, position.length);
    const squares = this.#squares;
    if (squares && !this.#frozen) this.#adapt(squares, gradient);
    const debias = 1 - this.#decay ** this.#adapted;
    normals(rng, this.#noise as Float64Array<ArrayBuffer>);
    for (let i = 0; i < position.length; i++) {
      const force = lossWeight * gradient[i] + precision * (position[i] - (centre ? centre[i] : 0));
      const scaling = squares ? 1 / (Math.sqrt(squares[i] / debias) + this.#epsilon) : 1;
      const step = stepSize * scaling;
      position[i] += Math.sqrt(step) * this.#noise[i] - (step / 2) * force;
      if (!Number.isFinite(Math.fround(position[i]))) throw new DivergedChainError(stepSize);
    }
  }

  #adapt(squares: Float64Array, gradient: Vector): void {
    const decay = this.#decay;
    this.#adapted += 1;
    for (let i = 0; i < squares.length; i++) squares[i] = decay * squares[i] + (1 - decay) * gradient[i] ** 2;
  }
}
