import type { TrainingConfig } from "../config/schema.ts";
import { cosine } from "../elementary.ts";

/**
 * Learning rate of optimiser step t, counted from 1: linear warm-up, reaching the peak at step warmupSteps, then
 * constant, or a descent that reaches finalLearningRate x peak at the last step. The cosine and the line begin at the
 * end of the warm-up; warmup-stable-decay (Hu et al. 2024, arXiv 2404.06395) holds the peak and falls in a line over the
 * last decayFraction of the steps.
 */
export function learningRateAt(t: number, training: TrainingConfig): number {
  const { learningRate, warmupSteps, schedule, steps, decayFraction = 1, finalLearningRate } = training;
  if (t < warmupSteps) return (learningRate * t) / warmupSteps;
  const held = Math.max(warmupSteps, steps * (1 - decayFraction));
  if (schedule === "constant" || t <= held) return learningRate;
  const progress = (t - held) / (steps - held);
  const remaining = schedule === "cosine" ? (1 + cosine(Math.PI * progress)) / 2 : 1 - progress;
  return learningRate * (finalLearningRate + (1 - finalLearningRate) * remaining);
}
