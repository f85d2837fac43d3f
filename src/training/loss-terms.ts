/** How many terms, predictions of one token, the training loss has. */
import type { Config } from "../config/schema.ts";

/** Of one step of one member: prompts of a batch times the positions of a prompt that the loss is over. */
export function termsPerStep({ training, task }: Config): number {
  return training.batchSize * (training.lossPositions === "all" ? task.examples : 1);
}

/**
 * N, the terms of the likelihood of what one member has trained on after `step` steps. The prompts of a pool are new in
 * its first epoch only: they count once. A resample of the pool (ensemble.bootstrap) has as many terms, those of a prompt
 * drawn twice counting twice; one by tasks, nearly as many.
 */
export function termsSeenAt(config: Config, step: number): number {
  const { batchSize } = config.training;
  const { promptPool } = config.task;
  return (
    (Math.min(step * batchSize, promptPool || Number.POSITIVE_INFINITY) * termsPerStep(config)) / batchSize
  );
}
