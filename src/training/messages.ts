/** Messages between the ensemble controller and its workers. Imports types only. */
import type { Config } from "../config/schema.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { PosteriorSpread } from "../uncertainty/decompose.ts";

/**
 * Everything needed to continue one member after `step` steps: the flat parameter vector and AdamW's two moments. Of an
 * IVON member: the mean of its posterior, the mean gradient gbar, and the estimate h of the Hessian's diagonal.
 */
export interface MemberState {
  step: number;
  parameters: Float32Array;
  firstMoment: Float32Array;
  secondMoment: Float32Array;
}

/**
 * Sums over the training steps of one evaluation interval. An interval that was interrupted goes on adding to
 * the same sums, so that its means come out with the same bytes as without the interruption.
 */
export interface IntervalSums {
  steps: number;
  loss: number;
  gradientNorm: number;
}

/** Train one member from `state.step` to `toStep`, then predict on the probe sets. `state: null` means initialise. */
export interface SegmentRequest {
  config: Config;
  member: number;
  state: MemberState | null;
  toStep: number;
  /** Whether the answer table is asked there too. */
  answers?: boolean;
  /** Sums of the steps of this interval that an interrupted segment has done already; absent: none. */
  carried?: IntervalSums;
}

/** One member's predictions on one probe set. */
export interface ProbePrediction {
  set: ProbeSetName;
  /** Predictive probabilities, (prompts, positions, classes), row-major: the mean over posterior samples, if any. */
  probabilities: Float32Array;
  /** How the samples of the member's own posterior differ; absent if it predicts without samples. */
  posterior?: PosteriorSpread;
  /** Predictive probabilities of the prompts asked back with the member's own answers, (prompts, classes). */
  cycle?: Float32Array;
}

/** One member's answers to the prompts of the answer table, in their order. */
export interface MemberAnswers {
  /** 1 where the most probable class is the target. */
  right: Float32Array;
  /** Probability of that class. */
  confidence: Float32Array;
}

/** What was not finite: the loss of a step, before which the state is, or predictions after it. */
export interface NonFinite {
  what: "loss" | "predictions";
  step: number;
}

export interface SegmentResult {
  member: number;
  /** State at `toStep`, or earlier if the run was asked to stop or the loss became non-finite. */
  state: MemberState;
  /**
   * `carried` plus the steps of this segment, added in the order of the steps: training loss in nats and global
   * gradient norm before clipping. IVON's are at its weight samples, not at the mean.
   */
  sums: IntervalSums;
  /** Predictions at `state.step`; empty unless the segment reached `toStep`, and they are finite. */
  predictions: ProbePrediction[];
  /** At `state.step`, if the request asked for them and the segment reached `toStep`. */
  answers?: MemberAnswers;
  /** Set when a member's numbers are no longer finite. */
  nonFinite?: NonFinite;
  /** Tokens processed in training. */
  tokens: number;
  /** Seconds spent in training steps and in evaluation. */
  trainSeconds: number;
  evaluationSeconds: number;
}
