/** Training with AdamW. */
import {
  requireCount,
  requireNonNegativeFloat32,
  requireObject,
  requireOneOf,
  requirePositiveFloat32,
  requireRateFloat32,
} from "../validate.ts";
import type { Batch } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import type { ModelMemory } from "./memory.ts";
import { requireLearningRate, requireMasks, type StepResult, type Trainable } from "./optimizer.ts";
import { accumulateGradient } from "./shards.ts";

/** One step of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): weight decay is multiplied by the learning rate. */
export interface AdamWStepOptions {
  /** Step number t, from 1. */
  step: number;
  learningRate: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Largest global gradient norm; 0 for no clipping. */
  gradientClip?: number;
  weightDecayExclude?: readonly ("layerNorm" | "embeddings")[];
  /** Needed if the model has dropout. */
  dropout?: DropoutKey;
}

/** What a transformer made for training with AdamW offers. */
export interface AdamWTraining extends Trainable {
  /**
   * One AdamW step on the batch. The gradient's norm is that before clipping. A non-finite loss leaves parameters and
   * moments as they were.
   *
   * @throws RangeError for an option that is not allowed or a batch that does not fit the shape, TypeError without the key that dropout needs
   */
  trainStep(batch: Batch, options: AdamWStepOptions): StepResult;
}

/** Bits of what is left out of the weight decay, as the core takes them. */
const EXCLUDED = { layerNorm: 1, embeddings: 2 } as const;

function requireStep(options: AdamWStepOptions): void {
  requireCount("step", options.step);
  requireLearningRate(options.learningRate);
  requireNonNegativeFloat32("weightDecay", options.weightDecay);
  for (const decay of ["beta1", "beta2"] as const) requireRateFloat32(decay, options[decay]);
  requirePositiveFloat32("epsilon", options.epsilon);
  requireNonNegativeFloat32("gradientClip", options.gradientClip ?? 0);
  for (const kind of options.weightDecayExclude ?? [])
    requireOneOf("weightDecayExclude", kind, ["layerNorm", "embeddings"]);
}

export function adamw(memory: ModelMemory): Pick<AdamWTraining, "trainStep"> {
  const { core } = memory;
  return {
    trainStep(batch, options) {
      requireMasks(memory, "trainStep", requireObject("options", options).dropout);
      requireStep(options);
      const loss = accumulateGradient(memory, batch, options.dropout);
      const gradientNorm = Math.sqrt(core.gradientSquaredNorm());
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) return { loss: Number.NaN, gradientNorm };
      const { gradientClip = 0, weightDecayExclude = [] } = options;
      core.adamwStep(
        options.step,
        options.learningRate,
        options.weightDecay,
        options.beta1,
        options.beta2,
        options.epsilon,
        gradientClip > 0 ? Math.min(1, gradientClip / (gradientNorm + 1e-6)) : 1,
        weightDecayExclude.reduce((bits, kind) => bits | EXCLUDED[kind], 0),
      );
      memory.parametersChanged();
      return { loss, gradientNorm };
    },
  };
}
