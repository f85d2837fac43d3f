/** SWAG: a Gaussian from the iterates of training (Maddox et al., arXiv 1902.02476). */

import type { Vector } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import type { Safetensors, Tensor } from "../../safetensors.ts";
import {
  refuse,
  requireCount,
  requireInteger,
  requireLength,
  requirePositiveFloat32,
  requireTypedArray,
  requireVector,
  requireWhole,
} from "../../validate.ts";
import { continueTraining, peakChange } from "../continue-training.ts";
import { float64Tensor, vectorTensor } from "../gaussian/tensors.ts";
import { requireOptions } from "../option-checks.ts";
import { WeightPosterior } from "../posterior.ts";
import { parametersOf } from "../saved.ts";
import type { FitInput, MethodDefinition } from "./method.ts";

/** More do not fit into the memory of a core. */
const MOST_PARAMETERS = 2 ** 30;

/** Of a single deviation no covariance follows. */
function requireRank(name: string, rank: number): number {
  return rank === 1 ? refuse(name, rank, "0 (diagonal) or at least 2") : requireWhole(name, rank);
}

/** Running moments of iterates, and the last K deviations from the running mean. */
export class SwagCollector {
  /** Iterates seen. */
  count = 0;
  readonly #maxRank: number;
  readonly #mean: Float64Array;
  /** Sum of squared deviations, updated as in Welford's method: the second moment minus the squared mean would cancel. */
  readonly #squares: Float64Array;
  readonly #deviations: Float32Array[] = [];

  /**
   * @param maxRank K; 0 for the diagonal alone. Default 20.
   * @throws RangeError for a K of 1, of which no covariance follows
   */
  constructor(parameterCount: number, maxRank = 20) {
    requireCount("parameterCount", parameterCount, MOST_PARAMETERS);
    this.#maxRank = requireRank("maxRank", maxRank);
    this.#mean = new Float64Array(parameterCount);
    this.#squares = new Float64Array(parameterCount);
  }

  /** @throws RangeError for an iterate of another length */
  collect(parameters: Vector): void {
    requireVector("parameters", parameters);
    requireLength("parameters", parameters, this.#mean.length);
    this.count += 1;
    const mean = this.#mean;
    for (let i = 0; i < mean.length; i++) {
      const before = parameters[i] - mean[i];
      mean[i] += before / this.count;
      this.#squares[i] += before * (parameters[i] - mean[i]);
    }
    if (this.#maxRank === 0) return;
    this.#deviations.push(Float32Array.from(parameters, (x, i) => x - mean[i]));
    if (this.#deviations.length > this.#maxRank) this.#deviations.shift();
  }

  /** @throws RangeError unless two iterates or more were collected */
  posterior(): SwagPosterior {
    if (this.count < 2) refuse("iterates", this.count, "at least 2");
    return new SwagPosterior(
      Float32Array.from(this.#mean),
      this.#squares.map((x) => x / this.count),
      this.#deviations.slice(),
    );
  }
}

/**
 * Diagonal: N(mean, diag variance). With K deviations D (P, K): covariance 1/2 [diag variance + D D' / (K - 1)].
 */
export class SwagPosterior extends WeightPosterior {
  readonly method = "swag";
  readonly parameterCount: number;
  readonly mean: Float32Array;
  readonly variance: Float64Array;
  readonly deviations: readonly Float32Array[];

  /** @throws RangeError for exactly one deviation, a negative variance, or parts of different length */
  constructor(mean: Float32Array, variance: Float64Array, deviations: readonly Float32Array[]) {
    super();
    requireTypedArray("mean", mean, "Float32Array");
    requireTypedArray("variance", variance, "Float64Array");
    if (!Array.isArray(deviations)) refuse("deviations", deviations, "a list");
    requireLength("variance", variance, mean.length);
    variance.forEach((v, i) => {
      // Draws are float32.
      if (!(v >= 0 && Number.isFinite(Math.fround(Math.sqrt(v)))))
        refuse("variance", `${v} at index ${i}`, "at least 0, and its root finite in float32");
    });
    for (const deviation of deviations) requireLength("deviation", deviation, mean.length);
    if (deviations.length === 1) refuse("deviations", 1, "none (diagonal) or at least 2");
    this.parameterCount = mean.length;
    this.mean = mean;
    this.variance = variance;
    this.deviations = deviations;
  }

  sample(rng: RandomGenerator): Float32Array {
    const { mean, variance, deviations } = this;
    const rank = deviations.length;
    const diagonalShare = rank > 0 ? 0.5 : 1;
    const z = new Float64Array(mean.length);
    normals(rng, z);
    for (let i = 0; i < z.length; i++) z[i] = mean[i] + Math.sqrt(diagonalShare * variance[i]) * z[i];
    // One coefficient per deviation for all tensors: they carry the covariance between layers.
    const coefficients = new Float64Array(rank);
    normals(rng, coefficients);
    deviations.forEach((deviation, k) => {
      const factor = coefficients[k] / Math.sqrt(2 * (rank - 1));
      for (let i = 0; i < z.length; i++) z[i] += factor * deviation[i];
    });
    return Float32Array.from(z);
  }

  save(): Safetensors {
    return {
      metadata: { method: this.method },
      tensors: new Map<string, Tensor>([
        ["mean", vectorTensor(this.mean)],
        ["variance", vectorTensor(this.variance)],
        ...this.deviations.map((d, k): [string, Tensor] => [`deviation.${k}`, vectorTensor(d)]),
      ]),
    };
  }

  /** @throws RangeError if it is not a saved SWAG posterior */
  static load(saved: Safetensors): SwagPosterior {
    const rank = [...saved.tensors.keys()].filter((name) => name.startsWith("deviation.")).length;
    return new SwagPosterior(
      parametersOf(saved, "mean"),
      float64Tensor(saved.tensors, "variance").data,
      Array.from({ length: rank }, (_, k) => parametersOf(saved, `deviation.${k}`)),
    );
  }
}

export interface SwagOptions {
  /** Of AdamW, on from the checkpoint. Default 400. */
  steps?: number;
  /** Constant. Default half of `peakChange`. */
  learningRate?: number;
  /** K, deviations kept; 0 for the diagonal. Default 20. */
  maxRank?: number;
}

const DEFAULTS = { steps: 400, maxRank: 20 } as const;
const MODEL = { optimizer: "adamw" } as const;

export const swag = {
  name: "swag",
  label: "SWAG",
  summary: "a Gaussian from the iterates of AdamW, on from the checkpoint",
  fits: "trajectory",
  byDefault: true,
  needs: { checkpoints: "one", data: false, model: MODEL },
  defaults: DEFAULTS,
  settings: ["fitSteps"],
  options: ({ fitSteps }) => ({ steps: fitSteps ?? DEFAULTS.steps }),
  requireOptions: (options) =>
    requireOptions<SwagOptions>("swag", options, {
      // Two iterates at least.
      steps: (name, steps) => requireInteger(name, steps, 2),
      learningRate: requirePositiveFloat32,
      maxRank: requireRank,
    }),
  fit: (input) => ({ posterior: continueWithSwag(input) }),
  load: SwagPosterior.load,
} as const satisfies MethodDefinition<"swag", SwagOptions, typeof MODEL>;

/** Iterates of AdamW at a constant learning rate: 40 of them, after a fifth of the steps. */
function continueWithSwag(input: FitInput<SwagOptions, typeof MODEL>): SwagPosterior {
  const { model, checkpoints, options, config } = input;
  const { training } = config;
  const {
    steps = DEFAULTS.steps,
    learningRate = peakChange(training) / 2,
    maxRank = DEFAULTS.maxRank,
  } = options;
  const settle = Math.floor(steps / 5);
  const every = Math.max(1, Math.floor((steps - settle) / 40));
  const collector = new SwagCollector(model.parameterCount, maxRank);
  model.setParameters(checkpoints[0]);
  const zero = () => new Float32Array(model.parameterCount);
  model.setMoments({ first: zero(), second: zero() });
  continueTraining(input, { steps, learningRate }, (batch, t, dropout) => {
    const result = model.trainStep(batch, { ...training, step: t, learningRate, dropout });
    if (t > settle && (t - settle) % every === 0) collector.collect(model.getParameters());
    return result;
  });
  return collector.posterior();
}
