/**
 * The records of a run itself: `metrics.jsonl` holds one MetricsRecord a line, `timing.jsonl` one TimingRecord,
 * `summary.json` one RunSummary. Those of `posteriors.jsonl` and `spectrum.jsonl` live with the analyses that make them.
 */
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { ProbeReference } from "../tasks/probes.ts";
import type { LabelledEvents } from "../uncertainty/events.ts";
import type { EnsembleMeasures, MemberMeasures } from "../uncertainty/measures.ts";

export interface MemberRecord {
  member: number;
  /** Means over the training steps since the previous evaluation; null at step 0, where there are none. */
  loss: number | null;
  gradientNorm: number | null;
  sets: Partial<Record<ProbeSetName, MemberMeasures>>;
}

/** One evaluation of the whole ensemble. Contains no wall-clock time: equal runs give equal bytes. */
export interface MetricsRecord {
  step: number;
  /** Training tokens of one member so far. */
  tokens: number;
  learningRate: number;
  members: MemberRecord[];
  ensemble: Partial<Record<ProbeSetName, EnsembleMeasures>>;
}

/** Of the probe sets that the run has. */
export type References = Partial<Record<ProbeSetName, ProbeReference>>;

/** What metrics.jsonl leaves out because it differs between equal runs. */
export interface TimingRecord {
  step: number;
  /** Wall-clock seconds that the run had taken, interruptions not counted. */
  seconds: number;
  /** Training tokens of all members so far. */
  tokens: number;
  /** Seconds that workers spent in training steps and in predictions so far, all members together. */
  trainSeconds: number;
  evaluationSeconds: number;
}

/** The step of each event, null while it has not been seen; those with labels are the median member's. */
export interface RunEvents {
  memorisedStep: number | null;
  /** There exactly with a prompt pool. */
  generalisedStep?: number | null;
  grokStep: number | null;
  uncertaintyPeakStep: number | null;
  collapseStep: number | null;
}

/** At the last evaluation; of the prompts of a pool exactly if there is one. */
export interface FinalAccuracy {
  seenTasks: number;
  unseenTasks: number;
  trainPrompts?: number;
}

export interface MemberSummary {
  member: number;
  memorisedStep: number | null;
  /** There exactly with a prompt pool. */
  generalisedStep?: number | null;
  grokStep: number | null;
  finalLoss: number | null;
  accuracy: FinalAccuracy;
  /** Step at which the loss became non-finite, if it did. */
  failedStep: number | null;
}

/** What `--json` prints and `summary.json` holds. */
export interface RunSummary extends RunEvents {
  /** The first had no meanPrediction. */
  schema: "epigrok-run/1" | "epigrok-run/2";
  runDir: string;
  members: number;
  steps: number;
  verdict: string;
  /** Events of the ensemble's mean prediction, as those of the median member above. */
  meanPrediction?: LabelledEvents;
  accuracy: FinalAccuracy;
  mutualInformation: { peak: number; final: number };
  tokensPerSecond: number;
  math: "fast" | "strict";
  /** Width of the arithmetic in the last part of the run, which the numbers do not depend on. */
  simd: 128 | 256;
  perMember: MemberSummary[];
  references: References;
}
