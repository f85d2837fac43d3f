import type { TrainingConfig } from "../config/schema.ts";

/**
 * Learning rate of optimiser step t, counted from 1: linear warm-up, reaching the peak at step warmupSteps, then
 * constant, or a cosine or linear descent that reaches finalLearningRate x peak at the last step.
 */
export function learningRateAt(t: number, training: TrainingConfig): number {
  const { learningRate, warmupSteps, schedule, steps, finalLearningRate } = training;
  if (t < warmupSteps) return (learningRate * t) / warmupSteps;
  if (schedule === "constant" || steps <= warmupSteps) return learningRate;
  const progress = (t - warmupSteps) / (steps - warmupSteps);
  const remaining = schedule === "cosine" ? (1 + Math.cos(Math.PI * progress)) / 2 : 1 - progress;
  return learningRate * (finalLearningRate + (1 - finalLearningRate) * remaining);
}
