/** IVON, the improved variational online Newton method (Shen et al., arXiv 2402.17641), and its posterior. */

import { meanLossAndGradient } from "../../curvature/model.ts";
import type { Vector } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import type { Safetensors, Tensor } from "../../safetensors.ts";
import {
  requireCount,
  requireLength,
  requirePositive,
  requirePositiveOrInfinite,
  requireRate,
} from "../../validate.ts";
import { continueTraining, peakChange } from "../continue-training.ts";
import { float64Tensor, vectorTensor } from "../gaussian/tensors.ts";
import { WeightPosterior } from "../posterior.ts";
import { parametersOf } from "../saved.ts";
import type { FitInput, Fitted, MethodDefinition } from "./method.ts";

export interface IvonSettings {
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
  readonly #options: Required<IvonSettings>;
  #step = 0;

  /** @throws RangeError for an option outside its range */
  constructor(start: Vector, options: IvonSettings) {
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

  /** The posterior of the mean and the Hessian estimate as they are now. */
  posterior(): IvonPosterior {
    return ivonPosterior(Float32Array.from(this.mean), this.hessian, this.#options);
  }
}

/**
 * The posterior of a stored mean and h: variances 1 / (lambda (h + delta)).
 * @throws RangeError for lengths that differ, or numbers that give no positive variance
 */
export function ivonPosterior(
  mean: Float32Array,
  hessian: Vector,
  { effectiveSampleSize, weightDecay }: Pick<IvonSettings, "effectiveSampleSize" | "weightDecay">,
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

export interface IvonOptions {
  /** On from the checkpoint; 0 for the posterior that an IVON run itself trained. Default 0 where that is given, else 400. */
  steps?: number;
  /** Constant. Default a third of `peakChange`. */
  learningRate?: number;
  /** delta of the prior N(0, I / delta). Default 1. */
  priorPrecision?: number;
}

const DEFAULTS = { steps: 400, priorPrecision: 1 } as const;
const MODEL = { optimizer: "adamw" } as const;

export const ivon = {
  name: "ivon",
  label: "IVON",
  summary: "a variational diagonal Gaussian, on from the checkpoint or an IVON run's own",
  fits: "trajectory",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: MODEL, ivonCurvature: true },
  defaults: DEFAULTS,
  options: ({ fitSteps }, _config, { ivonCurvature }) => ({
    steps: ivonCurvature ? 0 : (fitSteps ?? DEFAULTS.steps),
  }),
  fit: (input) => {
    const { steps = input.ivon ? 0 : DEFAULTS.steps } = input.options;
    return steps === 0 ? ownPosterior(input) : { posterior: continueWithIvon(input, steps) };
  },
  load: IvonPosterior.load,
  remark: ({ steps }) =>
    steps === 0
      ? "IVON is the posterior that the run itself trained, as it was at each checkpoint; its N is that of the whole run, the other methods' that of the steps so far."
      : `IVON goes on from each checkpoint for ${steps} steps, not from the initialisation.`,
} as const satisfies MethodDefinition<"ivon", IvonOptions, typeof MODEL>;

function ownPosterior({ checkpoints: [mean], ivon }: FitInput<IvonOptions, typeof MODEL>): Fitted {
  if (!ivon) throw new RangeError("steps: got 0, must be at least 1 without the IVON posterior of the run");
  return { posterior: ivonPosterior(mean, ivon.hessian, ivon), trainingTerms: ivon.effectiveSampleSize };
}

function continueWithIvon(input: FitInput<IvonOptions, typeof MODEL>, steps: number): IvonPosterior {
  const { model, checkpoints, trainingTerms, rng, options, config } = input;
  const { learningRate = peakChange(config.training) / 3, priorPrecision = DEFAULTS.priorPrecision } =
    options;
  requireCount("steps", steps);
  const ivon = new Ivon(checkpoints[0], {
    learningRate,
    effectiveSampleSize: trainingTerms,
    weightDecay: requirePositive("priorPrecision", priorPrecision) / trainingTerms,
    hessianInit: 0.5,
    // A few hundred steps have to be enough to forget the initial h.
    beta2: Math.max(0.9, 1 - 6 / steps),
    // Makes the learning rate the largest change of a parameter. Early on, directions of little curvature would
    // otherwise take steps of gradient / delta.
    clipRadius: 1,
  });
  continueTraining(input, steps, (batch) => {
    ivon.step((theta) => {
      model.setParameters(Float32Array.from(theta));
      return meanLossAndGradient(model, [batch]).gradient;
    }, rng);
  });
  return ivon.posterior();
}
