/**
 * The records of a run itself: `metrics.jsonl` holds one MetricsRecord a line, `answers.jsonl` one AnswerRecord,
 * `timing.jsonl` one TimingRecord, `summary.json` one RunSummary. Those of `posteriors.jsonl` and `spectrum.jsonl` live with the analyses that make them.
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
  /** With `ensemble.bootstrap`, on sets of what is trained: of the prompts, or tasks, that are the member's own. */
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

/**
 * The answer table at one evaluation: fixed prompts, one for each pair of a task and a query, asked for their last answer.
 * Cells are in rows, task x queries + query. With one variable the queries are inputs; with several they stand for
 * their multiples as well. Large families are sampled.
 */
export interface AnswerRecord {
  step: number;
  /** How many members answered. */
  members: number;
  /** Family indices of the rows: first `seenTasks` tasks of training. */
  tasks: number[];
  seenTasks: number;
  /** Input indices of the columns: first `seenInputs` inputs of training. */
  inputs: number[];
  seenInputs: number;
  /** With contexts that are not in the pool. */
  fresh: CellAnswers;
  /** Prompts of the pool; there exactly with one. */
  pool?: CellAnswers;
}

/** By cell; null where there is no prompt. */
export interface CellAnswers {
  /** How many members answer right. */
  right: (number | null)[];
  /** The probability a member gives its own answer, right or not: mean over the members, to two decimals. */
  confidence: (number | null)[];
}

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
  /** null: never evaluated. */
  seenTasks: number | null;
  unseenTasks: number | null;
  trainPrompts?: number | null;
}

export interface MemberSummary {
  member: number;
  memorisedStep: number | null;
  /** There exactly with a prompt pool. */
  generalisedStep?: number | null;
  grokStep: number | null;
  finalLoss: number | null;
  accuracy: FinalAccuracy;
  /** Step at which the loss or the predictions became non-finite, if they did. */
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
  /** null without an evaluation. */
  mutualInformation: { peak: number | null; final: number | null };
  tokensPerSecond: number;
  math: "fast" | "strict";
  /** Width of the arithmetic in the last part of the run, which the numbers do not depend on. */
  simd: 128 | 256;
  perMember: MemberSummary[];
  references: References;
}
