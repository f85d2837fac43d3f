/** What a configuration says about a member's IVON posterior N(m, 1 / (lambda (h + delta))), in the core's terms. */
import type { Config, IvonConfig } from "../config/schema.ts";
import type { IvonSampleOptions } from "../core/ivon.ts";

/** The parameters that no sample changes; `step` and `sample` are the rest of a sample's key. */
export type IvonGaussian = Omit<IvonSampleOptions, "step" | "sample">;

export function ivonGaussian(
  config: Config,
  { effectiveSampleSize }: IvonConfig,
  member: number,
): IvonGaussian {
  return {
    effectiveSampleSize: effectiveSampleSize === "termsSeen" ? termsSeen(config) : effectiveSampleSize,
    weightDecay: config.training.weightDecay,
    seed: config.seed,
    member,
  };
}

/** Terms of the loss in a whole run: one member's prompts times the positions it is trained to predict. */
function termsSeen({ training, task }: Config): number {
  return training.steps * training.batchSize * (training.lossPositions === "all" ? task.examples : 1);
}
