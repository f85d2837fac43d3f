/** The posterior of IVON, the improved variational online Newton method (Shen et al., arXiv 2402.17641). */

import type { Vector } from "../../curvature/vector.ts";
import { normals, type RandomGenerator } from "../../random.ts";
import type { Safetensors, Tensor } from "../../safetensors.ts";
import type { IvonCurvature } from "../../training/ivon.ts";
import {
  FLOAT32,
  refuse,
  requireLength,
  requireNonNegativeFloat32,
  requireObject,
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
import type { FitInput, Fitted, MethodDefinition } from "./method.ts";

/**
 * The posterior of a stored mean and h: variances 1 / (lambda (h + delta)).
 * @throws RangeError for lengths that differ, or numbers that give no positive variance
 */
export function ivonPosterior(
  mean: Float32Array,
  hessian: Vector,
  gaussian: Omit<IvonCurvature, "hessian">,
): IvonPosterior {
  requireTypedArray("mean", mean, "Float32Array");
  requireVector("hessian", hessian);
  const { effectiveSampleSize, weightDecay } = requireObject("gaussian", gaussian);
  requirePositiveFloat32("effectiveSampleSize", effectiveSampleSize);
  requireNonNegativeFloat32("weightDecay", weightDecay);
  requireLength("hessian", hessian, mean.length);
  for (let i = 0; i < hessian.length; i++)
    if (!Number.isFinite(hessian[i]) || !(hessian[i] + weightDecay > 0))
      refuse(`hessian[${i}]`, hessian[i], `finite and above -weightDecay = ${-weightDecay}`);
  return new IvonPosterior(
    mean,
    Float64Array.from(hessian, (h) => 1 / (effectiveSampleSize * (h + weightDecay))),
  );
}

function requireVariance(variance: number, i: number): void {
  // Draws are float32.
  if (!(variance > 0 && Number.isFinite(Math.fround(Math.sqrt(variance)))))
    refuse("variance", `${variance} at index ${i}`, "above 0, and its root finite in float32");
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
    requireTypedArray("mean", mean, "Float32Array");
    requireTypedArray("variance", variance, "Float64Array");
    requireLength("variance", variance, mean.length);
    variance.forEach(requireVariance);
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
const MODEL = { optimizer: "ivon" } as const;

export const ivon = {
  name: "ivon",
  label: "IVON",
  summary: "a variational diagonal Gaussian, on from the checkpoint or an IVON run's own",
  fits: "trajectory",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: MODEL, ivonCurvature: true },
  defaults: DEFAULTS,
  settings: ["fitSteps"],
  options: ({ fitSteps }, _config, { ivonCurvature }) => ({
    steps: ivonCurvature ? 0 : (fitSteps ?? DEFAULTS.steps),
  }),
  requireOptions: (options) =>
    requireOptions<IvonOptions>("ivon", options, {
      ...{
        steps: requireWhole,
        learningRate: requirePositiveFloat32,
        priorPrecision: requirePositiveFloat32,
      },
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

function ownPosterior({ checkpoints: [mean], ivon, options }: FitInput<IvonOptions, typeof MODEL>): Fitted {
  for (const name of ["learningRate", "priorPrecision"] as const)
    if (options[name] !== undefined)
      refuse(name, options[name], "left out without steps: the posterior is the one that the run trained");
  if (!ivon) refuse("steps", 0, "at least 1 without the IVON posterior of the run");
  return { posterior: ivonPosterior(mean, ivon.hessian, ivon), trainingTerms: ivon.effectiveSampleSize };
}

function continueWithIvon(input: FitInput<IvonOptions, typeof MODEL>, steps: number): IvonPosterior {
  const { model, member, checkpoints, trainingTerms, rng, options, config } = input;
  const { learningRate = peakChange(config.training) / 3, priorPrecision = DEFAULTS.priorPrecision } =
    options;
  const gaussian = {
    effectiveSampleSize: trainingTerms,
    weightDecay: priorPrecision / trainingTerms,
  };
  // The key of the noise: steps are counted from 1 again, and with the run's own seed they would have its noise.
  const seed = rng.next() >>> 0;
  if (!FLOAT32.holds(gaussian.weightDecay) || gaussian.weightDecay === 0)
    refuse(
      "priorPrecision",
      priorPrecision,
      `such that a part in N = ${trainingTerms} of it is ${FLOAT32.allowed}`,
    );
  model.setParameters(checkpoints[0]);
  const first = new Float32Array(model.parameterCount);
  model.setMoments({ first, second: first.map(() => 0.5) });
  continueTraining(input, { steps, learningRate }, (batch, t, dropout) =>
    model.ivonTrainStep(batch, {
      ...{ ...gaussian, seed, member, step: t, learningRate, dropout, beta1: 0.9 },
      // A few hundred steps have to be enough to forget the initial h.
      beta2: Math.max(0.9, 1 - 6 / steps),
      // Makes the learning rate the largest change of a parameter. Early on, directions of little curvature would
      // otherwise take steps of gradient / delta.
      clipRadius: 1,
    }),
  );
  return ivonPosterior(model.getParameters(), model.getMoments().second, gaussian);
}
