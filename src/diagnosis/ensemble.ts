/** Predictions of an ensemble, as estimates of its accuracy take them. */
import type { Decomposition } from "../uncertainty/decompose.ts";
import type { AccuracyScale } from "../uncertainty/events.ts";

/** What an ensemble predicts for B prompts. */
export interface EnsemblePrediction extends Decomposition {
  members: number;
  classes: number;
  /** (B, C) of each member. */
  memberProbabilities: (Float32Array | Float64Array)[];
  /** The most probable class, (B): of each member, and of their mean. */
  memberAnswers: Int32Array[];
  answers: Int32Array;
}

/** Predictions for prompts whose answers are known. */
export interface LabelledPrediction extends EnsemblePrediction {
  targets: ArrayLike<number>;
}

/** Predictions for the same prompts as on unseen tasks, asked back; the targets are what these show. */
export interface CyclePrediction extends LabelledPrediction {
  /** Share of the prompts that come back by chance, and that can come back. */
  scale: AccuracyScale;
}
