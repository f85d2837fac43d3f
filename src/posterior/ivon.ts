/** IVON, the improved variational online Newton method (Shen et al., arXiv 2402.17641), and its posterior. */

import type { Vector } from "../curvature/vector.ts";
import { normals, type RandomGenerator } from "../random.ts";
import type { Safetensors, Tensor } from "../safetensors.ts";
import {
  requireCount,
  requireLength,
  requirePositive,
  requirePositiveOrInfinite,
  requireRate,
} from "../validate.ts";
import { float64Tensor, vectorTensor } from "./gaussian/tensors.ts";
import { WeightPosterior } from "./posterior.ts";
import { parametersOf } from "./saved.ts";

export interface IvonOptions {
  learningRate: number;
  /** lambda: the number of terms of the likelihood, whose mean the gradient is of. */
  effectiveSampleSize: number;
  /** delta; the prior precision is lambda delta. */
  weightDecay: number;
  /** Decay of the momentum. Default 0.9. */
  beta1?: number;
  /** Decay of h. Default 0.99999; 0.9995 to 0.9999 for short runs. */
  beta2?: number;
  /** h at the start. Default 1; 0.5 for small networks. */
  hessianInit?: number;
  /** Largest magnitude of an element of the preconditioned step before the learning rate. Default: no bound. */
  clipRadius?: number;
  /** Gradients per step, each at its own draw. Default 1. */
  mcSamples?: number;
}

/** The state of the optimiser, in float64: mean m and diagonal curvature h of a Gaussian over the parameters. */
export class Ivon {
  readonly mean: Float64Array;
  readonly hessian: Float64Array;
  readonly #momentum: Float64Array;
  readonly #options: Required<IvonOptions>;
  #step = 0;

  /** @throws RangeError for an option outside its range */
  constructor(start: Vector, options: IvonOptions) {
    const all = {
      ...{ beta1: 0.9, beta2: 0.99999, hessianInit: 1, clipRadius: Number.POSITIVE_INFINITY, mcSamples: 1 },
      ...options,
    };
    requirePositive("learningRate", all.learningRate);
    requirePositive("effectiveSampleSize", all.effectiveSampleSize);
    requirePositive("weightDecay", all.weightDecay);
    requireRate("beta1", all.beta1);
    requireRate("beta2", all.beta2);
    requirePositive("hessianInit", all.hessianInit);
    requireCount("mcSamples", all.mcSamples);
    requirePositiveOrInfinite("clipRadius", all.clipRadius);
    this.#options = all;
    this.mean = Float64Array.from(start);
    this.hessian = new Float64Array(start.length).fill(all.hessianInit);
    this.#momentum = new Float64Array(start.length);
  }

  /**
   * One step.
   * @param gradientAt gradient of the mean loss at the parameters it is given
   * @param learningRate instead of the one in the options, for schedules
   */
  step(
    gradientAt: (parameters: Float64Array) => Vector,
    rng: RandomGenerator,
    learningRate = this.#options.learningRate,
  ): void {
    const { mean, hessian } = this;
    const { effectiveSampleSize, weightDecay, beta1, beta2, clipRadius, mcSamples } = this.#options;
    const gradient = new Float64Array(mean.length);
    const estimate = new Float64Array(mean.length);
    const noise = new Float64Array(mean.length);
    for (let s = 0; s < mcSamples; s++) {
      normals(rng, noise);
      for (let i = 0; i < noise.length; i++)
        noise[i] /= Math.sqrt(effectiveSampleSize * (hessian[i] + weightDecay));
      const g = gradientAt(mean.map((m, i) => m + noise[i]));
      for (let i = 0; i < mean.length; i++) {
        gradient[i] += g[i] / mcSamples;
        // Stein's identity: E[g (theta - m)] / sigma^2 is the expected diagonal Hessian.
        estimate[i] += (g[i] * noise[i] * effectiveSampleSize * (hessian[i] + weightDecay)) / mcSamples;
      }
    }
    this.#step += 1;
    const debias = 1 - beta1 ** this.#step;
    for (let i = 0; i < mean.length; i++) {
      const momentum = beta1 * this.#momentum[i] + (1 - beta1) * gradient[i];
      this.#momentum[i] = momentum;
      const h = hessian[i];
      const gap = (1 - beta2) * (h - estimate[i]);
      // The quadratic term keeps h + delta positive whatever the noise in the estimate.
      hessian[i] = h - gap + gap ** 2 / (2 * (h + weightDecay));
      const step = (momentum / debias + weightDecay * mean[i]) / (hessian[i] + weightDecay);
      mean[i] -= learningRate * Math.min(clipRadius, Math.max(-clipRadius, step));
    }
  }

  posterior(): IvonPosterior {
    return ivonPosterior(Float32Array.from(this.mean), this.hessian, this.#options);
  }
}

/** What makes a stored mean an IVON posterior: h, lambda and delta. */
export interface IvonCurvature {
  hessian: Float32Array;
  effectiveSampleSize: number;
  weightDecay: number;
}

/**
 * The posterior of a stored mean and h: variances 1 / (lambda (h + delta)).
 * @throws RangeError for lengths that differ, or numbers that give no positive variance
 */
export function ivonPosterior(
  mean: Float32Array,
  hessian: Vector,
  { effectiveSampleSize, weightDecay }: Pick<IvonOptions, "effectiveSampleSize" | "weightDecay">,
): IvonPosterior {
  requireLength("hessian", hessian, mean.length);
  return new IvonPosterior(
    mean,
    Float64Array.from(hessian, (h) => 1 / (effectiveSampleSize * (h + weightDecay))),
  );
}

/** N(mean, diag variance). */
export class IvonPosterior extends WeightPosterior {
  readonly method = "ivon";
  readonly parameterCount: number;
  readonly mean: Float32Array;
  readonly variance: Float64Array;

  /** @throws RangeError for a variance that is not positive */
  constructor(mean: Float32Array, variance: Float64Array) {
    super();
    requireLength("variance", variance, mean.length);
    for (const v of variance) requirePositive("variance", v);
    this.parameterCount = mean.length;
    this.mean = mean;
    this.variance = variance;
  }

  sample(rng: RandomGenerator): Float32Array {
    const z = new Float64Array(this.mean.length);
    normals(rng, z);
    return Float32Array.from(z, (x, i) => this.mean[i] + Math.sqrt(this.variance[i]) * x);
  }

  save(): Safetensors {
    return {
      metadata: { method: this.method },
      tensors: new Map<string, Tensor>([
        ["mean", vectorTensor(this.mean)],
        ["variance", vectorTensor(this.variance)],
      ]),
    };
  }

  /** @throws RangeError if it is not a saved IVON posterior */
  static load(saved: Safetensors): IvonPosterior {
    return new IvonPosterior(parametersOf(saved, "mean"), float64Tensor(saved.tensors, "variance").data);
  }
}
