/** Training that goes on from a checkpoint, as far as methods that do so have it in common. */
import { IVON_CLIP_RADIUS } from "../config/defaults.ts";
import type { TrainingConfig } from "../config/schema.ts";
import type { DropoutKey } from "../core/dropout.ts";
import type { Batch } from "../curvature/model.ts";
import { PromptSampler } from "../tasks/prompts.ts";
import { requireCount, requireNonNegative, requireObject, requirePositiveFloat32 } from "../validate.ts";
import type { FitInput } from "./methods/method.ts";

/**
 * The largest change of one parameter in one step at the run's peak learning rate: the unit in which the learning rates
 * of different optimisers compare. AdamW's steps are at most about its learning rate, whatever the gradient; IVON's are
 * clipped to the learning rate times the clip radius (without clipping they have no bound, and the default radius
 * stands in).
 */
export function peakChange(training: TrainingConfig): number {
  const { learningRate, ivon } = requireObject("training", training);
  requireNonNegative("learningRate", learningRate);
  if (!ivon) return learningRate;
  return learningRate * (ivon.clipRadius || IVON_CLIP_RADIUS);
}

/**
 * Trains with the prompts and the dropout masks that would have come next, at a constant rate.
 * @param train one step; t counts from 1
 * @throws RangeError for an option outside its range, or a loss that is not finite
 */
export function continueTraining(
  { config, member, step, seed }: Pick<FitInput<object>, "config" | "member" | "step" | "seed">,
  { steps, learningRate }: { steps: number; learningRate: number },
  train: (batch: Batch, t: number, dropout: DropoutKey) => { loss: number },
): void {
  const { training } = config;
  const sampler = new PromptSampler(config);
  const batch = sampler.createBatch(training.batchSize, training.lossPositions);
  requirePositiveFloat32("learningRate", learningRate);
  for (let t = 1; t <= requireCount("steps", steps); t++) {
    sampler.sampleInto(batch, member, step + t);
    const { loss } = train(batch, t, { seed, stream: member, step: step + t });
    if (!Number.isFinite(loss))
      throw new RangeError(`learningRate: got ${learningRate}, with which training diverged at step ${t}`);
  }
}
