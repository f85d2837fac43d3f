/** Runs whose members predict with samples of a posterior of their own: a checkpoint alone is not what they predict with. */
import type { Config } from "../config/schema.ts";

/**
 * How the predictions of a checkpoint by itself differ from those of the member in the run's evaluations; undefined where
 * they do not.
 */
export function withoutOwnSamples({ evaluation, training, model }: Config): string | undefined {
  if (!evaluation.posteriorSamples) return undefined;
  const weights = training.ivon ? ["of mean weights"] : [];
  const masks = model.dropout > 0 ? ["without masks"] : [];
  return [...weights, ...masks].join(", ");
}

/** That for a reader of results of checkpoints, the plural of them called `what`. */
export function withoutOwnSamplesRemark(config: Config, method: string, what: string): string | undefined {
  const how = withoutOwnSamples(config);
  return how === undefined
    ? undefined
    : `${method} ${how}: ${what} predict once each, ${how}. In the evaluations of the run a member predicts with the mean over ${config.evaluation.posteriorSamples} samples of its own posterior, whose spread has a figure of its own.`;
}
