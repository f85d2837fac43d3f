/** What a configuration says about a member's IVON posterior N(m, 1 / (lambda (h + delta))), in the core's terms. */
import type { Config, IvonConfig } from "../config/schema.ts";
import type { IvonSampleOptions } from "../core/ivon.ts";
import { termsSeenAt } from "./loss-terms.ts";

/** The parameters that no sample changes; `step` and `sample` are the rest of a sample's key. */
export type IvonGaussian = Omit<IvonSampleOptions, "step" | "sample">;

/** What makes a member's stored mean its IVON posterior: h, lambda and delta. */
export interface IvonCurvature {
  hessian: Float32Array;
  effectiveSampleSize: number;
  weightDecay: number;
}

export function ivonGaussian(
  config: Config,
  { effectiveSampleSize }: IvonConfig,
  member: number,
): IvonGaussian {
  return {
    effectiveSampleSize:
      effectiveSampleSize === "termsSeen" ? termsSeenAt(config, config.training.steps) : effectiveSampleSize,
    weightDecay: config.training.weightDecay,
    seed: config.seed,
    member,
  };
}
