/**
 * The records of a run itself: `metrics.jsonl` holds one MetricsRecord a line, `summary.json` one RunSummary. Those of
 * `posteriors.jsonl` and `spectrum.jsonl` live with the analyses that make them.
 */
import type { ProbeSetName } from "../training/messages.ts";

/** Measures of one predictive distribution against labels and against the exact references; nats. */
export interface PredictiveMeasures {
  /** Top-1 accuracy, every position of the prompt (index = number of context examples), and at the last one. */
  accuracy: number;
  accuracyByPosition: number[];
  /** Mean -log p(target) at the last position. */
  nll: number;
  /** Mean entropy of the predictive at the last position. */
  entropy: number;
}

/** Measures of one member's predictive; with samples of its own posterior, of their mean. */
export interface MemberMeasures extends PredictiveMeasures {
  /** IVON's weights or dropout's masks: present if the member predicts with samples of them. */
  posterior?: PosteriorMeasures;
}

/**
 * A member's own epistemic uncertainty, from the samples of its posterior. At the last position
 * `entropy = expectedEntropy + mutualInformation`, means over the prompts; nats.
 */
export interface PosteriorMeasures {
  /** S. The mutual information is a plug-in estimate, at most log S: compare at equal S only. */
  samples: number;
  /** Mean entropy of the samples' predictives. */
  expectedEntropy: number;
  mutualInformation: number;
  mutualInformationByPosition: number[];
}

/**
 * Measures of an ensemble's predictions at the last position, with MI also per context position; nats. The mutual
 * information is that between members: the spread within a member's own posterior is part of `expectedEntropy`.
 */
export interface EnsembleMeasures extends PredictiveMeasures {
  brier: number;
  ece: number;
  adaptiveEce: number;
  totalEntropy: number;
  expectedEntropy: number;
  mutualInformation: number;
  disagreement: number;
  variance: number;
  mutualInformationByPosition: number[];
  expectedEntropyByPosition: number[];
  totalEntropyByPosition: number[];
  /** Jensen-Shannon divergence (nats) and total variation to the memorising and the generalising predictor. */
  distanceM: { jensenShannon: number; totalVariation: number };
  distanceG: { jensenShannon: number; totalVariation: number };
  /** 0 = generalising, 1 = memorising, from Jensen-Shannon; null where the two references coincide. */
  relativeDistance: number | null;
}

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

/** Bayes-optimal accuracies and reference entropies of one probe set, last position first by name, then all. */
export interface ProbeReference {
  prompts: number;
  positions: number;
  chance: number;
  /** Expected accuracy of the generalising predictor G: the ceiling. */
  ceiling: number;
  ceilingByPosition: number[];
  /** Accuracy of the memorising predictor M on this set. */
  memorisingAccuracy: number;
  /** Mean entropy of G at the last position, nats. */
  entropyG: number;
  /** Fraction of prompts on which some training task fits the context. */
  supportM: number;
}

export interface RunEvents {
  memorisedStep: number | null;
  grokStep: number | null;
  uncertaintyPeakStep: number | null;
  collapseStep: number | null;
}

export interface MemberSummary {
  member: number;
  memorisedStep: number | null;
  grokStep: number | null;
  finalLoss: number | null;
  accuracy: { seenTasks: number; unseenTasks: number };
  /** Step at which the loss became non-finite, if it did. */
  failedStep: number | null;
}

/** What `--json` prints and `summary.json` holds. */
export interface RunSummary extends RunEvents {
  schema: "epigrok-run/1";
  runDir: string;
  members: number;
  steps: number;
  verdict: string;
  accuracy: { seenTasks: number; unseenTasks: number };
  mutualInformation: { peak: number; final: number };
  tokensPerSecond: number;
  math: "fast" | "strict";
  perMember: MemberSummary[];
  references: Partial<Record<ProbeSetName, ProbeReference>>;
}
