/** Training with IVON, variational online Newton, which keeps a Gaussian posterior N(m, 1 / (lambda (h + delta))). */
import {
  requireCount,
  requireNonNegativeFloat32,
  requireObject,
  requirePositiveFloat32,
  requireRateFloat32,
  requireWord,
} from "../validate.ts";
import { type Batch, requireInputsAndTargets } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import type { ModelMemory } from "./memory.ts";
import { requireLearningRate, requireMasks, type StepResult, type Trainable } from "./optimizer.ts";
import { accumulateGradient } from "./shards.ts";

/** Which sample of the posterior N(m, 1 / (lambda (h + delta))). */
export interface IvonSampleOptions {
  /** lambda: the number of training terms the posterior is for. */
  effectiveSampleSize: number;
  /** delta: the prior's precision is lambda delta. */
  weightDecay: number;
  /** Root seed, ensemble member, step number from 1 and number of the sample: whole numbers from 0 to 2^32 - 1. */
  seed: number;
  member: number;
  step: number;
  sample: number;
}

/** One step of IVON; its samples have the numbers 0 .. samples - 1. */
export interface IvonStepOptions extends Omit<IvonSampleOptions, "sample"> {
  learningRate: number;
  /** Decay of the momentum. */
  beta1: number;
  /** Decay of h. */
  beta2: number;
  /** Samples of the posterior per step; default 1. */
  samples?: number;
  /** Largest change of a parameter in one step, in units of the learning rate; 0, the default, for no clipping. */
  clipRadius?: number;
  /** Needed if the model has dropout. */
  dropout?: DropoutKey;
}

/** What a transformer made for training with IVON offers. */
export interface IvonTraining extends Trainable {
  /**
   * Move the parameters to a sample of the posterior, whose mean are the parameters and whose h is the second moment.
   * Further samples are of the same posterior; `ivonRestore` or `ivonTrainStep` go back to the mean.
   *
   * @throws RangeError for an option that is not allowed
   */
  ivonSample(options: IvonSampleOptions): void;

  /** Back from a sample to the mean, if at one. */
  ivonRestore(): void;

  /**
   * One step of IVON (Shen et al. 2024, arXiv 2402.17641) on the batch; h starts as the second moment that was set. With
   * g the mean gradient over samples theta = m + sigma e, sigma^2 = 1 / (lambda (h + delta)), and hhat that of
   * g (theta - m) / sigma^2:
   * h += (1 - b2)(hhat - h) + ((1 - b2)(hhat - h))^2 / (2 (h + delta)), gbar = b1 gbar + (1 - b1) g,
   * m -= lr (gbar / (1 - b1^t) + delta m) / (h + delta).
   *
   * Returns means over the samples. If one is not finite, nothing changes.
   *
   * @throws RangeError for an option that is not allowed or a batch that does not fit the shape, TypeError without the
   *   key that dropout needs
   */
  ivonTrainStep(batch: Batch, options: IvonStepOptions): StepResult;
}

function requirePosterior(options: Omit<IvonSampleOptions, "sample">): void {
  requirePositiveFloat32("effectiveSampleSize", options.effectiveSampleSize);
  requireNonNegativeFloat32("weightDecay", options.weightDecay);
  for (const field of ["seed", "member", "step"] as const) requireWord(field, options[field]);
}

export function ivon(
  memory: ModelMemory,
): Pick<IvonTraining, "ivonSample" | "ivonRestore" | "ivonTrainStep"> {
  const { core, shape } = memory;

  function moveToSample(options: IvonSampleOptions): void {
    const { effectiveSampleSize, weightDecay, seed, member, step, sample } = options;
    if (!memory.sampled) core.ivonBegin();
    memory.sampled = true;
    core.ivonSample(effectiveSampleSize, weightDecay, seed, member, step, sample);
    memory.parametersChanged();
  }

  function moveToMean(): void {
    if (!memory.sampled) return;
    core.ivonRestore();
    memory.sampled = false;
    memory.parametersChanged();
  }

  return {
    ivonSample(options) {
      requirePosterior(requireObject("options", options));
      requireWord("sample", options.sample);
      moveToSample(options);
    },

    ivonRestore: moveToMean,

    ivonTrainStep(batch, options) {
      const { step, learningRate, effectiveSampleSize, weightDecay, beta1, beta2, dropout } = requireObject(
        "options",
        options,
      );
      const { samples = 1, clipRadius = 0 } = options;
      requirePosterior(options);
      requireCount("step", step);
      requireLearningRate(learningRate);
      requireRateFloat32("beta1", beta1);
      requireRateFloat32("beta2", beta2);
      requireCount("samples", samples);
      requireNonNegativeFloat32("clipRadius", clipRadius);
      requireMasks(memory, "ivonTrainStep", dropout);
      requireInputsAndTargets(batch, shape);
      moveToMean();
      let loss = 0;
      let gradientNorm = 0;
      for (let sample = 0; sample < samples; sample++) {
        moveToSample({ ...options, sample });
        loss += accumulateGradient(memory, batch, dropout) / samples;
        gradientNorm += Math.sqrt(core.gradientSquaredNorm()) / samples;
        if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
          moveToMean();
          return { loss: Number.NaN, gradientNorm };
        }
        core.ivonAccumulate(effectiveSampleSize, weightDecay);
      }
      const clip = clipRadius > 0 ? clipRadius : Number.POSITIVE_INFINITY;
      core.ivonStep(step, learningRate, weightDecay, beta1, beta2, samples, clip);
      memory.sampled = false;
      memory.parametersChanged();
      return { loss, gradientNorm };
    },
  };
}
