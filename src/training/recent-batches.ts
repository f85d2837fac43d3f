/** Training prompts as a fixed data set D, which the likelihood of a posterior is of. */
import { requireConfig } from "../config/require-config.ts";
import type { Config } from "../config/schema.ts";
import type { Batch } from "../core/batch.ts";
import { PromptSampler } from "../tasks/prompts.ts";
import { requireCount, requireWhole } from "../validate.ts";

/**
 * The last `count` batches that a member had trained on at `step` (the first ones to come, if it had not seen as many).
 * Where training draws fresh prompts at every step, a posterior needs a finite data set, and its number of terms N =
 * count x batchSize x positions scales the likelihood against the prior. Of a pool they are at most as many as it
 * has whole batches, so that a prompt is not evidence anew in every epoch.
 *
 * @throws RangeError for a count that is not positive, or a step that is not a whole number
 */
export function recentBatches(config: Config, member: number, step: number, count: number): Batch[] {
  requireConfig(config);
  requireCount("count", count);
  requireWhole("step", step);
  const sampler = new PromptSampler(config);
  const { promptPool } = config.task;
  const whole = promptPool > 0 ? Math.floor(promptPool / config.training.batchSize) : count;
  const length = Math.min(count, whole);
  const first = Math.max(1, step - length + 1);
  return Array.from({ length }, (_, i) => {
    const batch = sampler.createBatch(config.training.batchSize, config.training.lossPositions);
    sampler.sampleInto(batch, member, first + i);
    return batch;
  });
}
