/**
 * Estimates of the accuracy on prompts without labels, of an ensemble's mean prediction. An entry of the table is all
 * that an estimate needs: rows, tables, figures and the help follow from it.
 */
import type { AccuracyScale } from "../uncertainty/events.ts";
import { argmax, mean } from "../uncertainty/rows.ts";
import { consensusAccuracy } from "./consensus.ts";
import { accuracyOfShare, returnedShare } from "./cycle.ts";
import type { CyclePrediction, EnsemblePrediction, LabelledPrediction } from "./ensemble.ts";

/** What there is besides predictions on unseen tasks. */
export interface Evidence {
  seen: LabelledPrediction | null;
  cycle: CyclePrediction | null;
}

interface AccuracyEstimator {
  label: string;
  /** In a sentence: what it is, and its source. */
  about: string;
  /** What it cannot do without, besides the predictions: members to compare, prompts asked back, labels of seen tasks. */
  needs: readonly ("members" | keyof Evidence)[];
  estimate(unseen: EnsemblePrediction, evidence: Evidence, scale: AccuracyScale): number;
}

/** The diagnosis takes the first that there is; the others are shown beside it. */
export const ESTIMATORS = {
  cycle: {
    label: "cycle",
    about:
      "share of answers from which the members that give them come back to what the prompt shows, asked for an example in exchange for the query; half-way to its square root",
    needs: ["cycle"],
    estimate: (unseen, { cycle }, scale) => accuracyOfShare(returnedShare(unseen, cycle!), scale),
  },
  consensusDifference: {
    label: "cons. & seen",
    about: "consensus on unseen tasks, less what it overstates on seen tasks",
    needs: ["members", "seen"],
    estimate: (unseen, { seen }) => moved(seen!, consensusOf(unseen), consensusOf(seen!)),
  },
  consensus: {
    label: "consensus",
    about:
      "how often the answer is right if each member is right with a probability of its own and else says anything (Dawid and Skene 1979)",
    needs: ["members"],
    estimate: (unseen) => consensusOf(unseen),
  },
  difference: {
    label: "DoC",
    about:
      "accuracy on seen tasks, less by how much confidence is lower on unseen tasks (Guillory et al. 2021)",
    needs: ["seen"],
    estimate: (unseen, { seen }) => moved(seen!, meanConfidence(unseen), meanConfidence(seen!)),
  },
  confidence: {
    label: "confidence",
    about:
      "mean probability of the answer under the mean prediction: its accuracy, if the ensemble is calibrated",
    needs: [],
    estimate: (unseen) => meanConfidence(unseen),
  },
  agreement: {
    label: "GDE",
    about:
      "share of pairs of members that give the same answer: the accuracy of one member, if the ensemble is calibrated (Jiang et al. 2022)",
    needs: ["members"],
    estimate: (unseen) => 1 - mean(unseen.disagreement),
  },
  threshold: {
    label: "ATC",
    about:
      "share of prompts with less entropy than the threshold that gives the right accuracy on seen tasks (Garg et al. 2022)",
    needs: ["seen"],
    estimate: (unseen, { seen }) => thresholdedShare(unseen, seen!),
  },
} as const satisfies Record<string, AccuracyEstimator>;

export type EstimatorName = keyof typeof ESTIMATORS;

export const ESTIMATOR_NAMES = Object.keys(ESTIMATORS) as EstimatorName[];

/** null: it needs what is not there. */
export type Estimates = Record<EstimatorName, number | null>;

export function estimatesOf(unseen: EnsemblePrediction, evidence: Evidence, scale: AccuracyScale): Estimates {
  const has = { members: unseen.members > 1, seen: evidence.seen !== null, cycle: evidence.cycle !== null };
  return Object.fromEntries(
    ESTIMATOR_NAMES.map((name) => {
      const { needs, estimate }: AccuracyEstimator = ESTIMATORS[name];
      return [name, needs.every((need) => has[need]) ? estimate(unseen, evidence, scale) : null];
    }),
  ) as Estimates;
}

/** Share of prompts that the mean prediction is right on. */
export function accuracyOf({ answers, targets }: LabelledPrediction): number {
  return answers.filter((answer, b) => answer === Number(targets[b])).length / answers.length;
}

const consensusOf = ({ memberAnswers, answers, classes }: EnsemblePrediction) =>
  consensusAccuracy(memberAnswers, answers, classes);

/** The accuracy on seen tasks, moved by as much as an estimate differs between seen and unseen tasks. */
const moved = (seen: LabelledPrediction, onUnseen: number, onSeen: number) =>
  Math.min(1, Math.max(0, accuracyOf(seen) + onUnseen - onSeen));

function meanConfidence({ mean: p, classes, answers }: EnsemblePrediction): number {
  return answers.reduce((sum, answer, b) => sum + p[b * classes + answer], 0) / answers.length;
}

/** As many seen prompts have more entropy than the threshold as are answered wrongly. */
function thresholdedShare(unseen: EnsemblePrediction, seen: LabelledPrediction): number {
  const right = Math.round(accuracyOf(seen) * seen.targets.length);
  if (right === 0) return 0;
  const threshold = seen.totalEntropy.toSorted()[right - 1];
  return unseen.totalEntropy.filter((entropy) => entropy <= threshold).length / unseen.totalEntropy.length;
}

/** The most probable class of each row. */
export function answersOf(p: Float64Array, classes: number): Int32Array {
  return Int32Array.from({ length: p.length / classes }, (_, b) => argmax(p, b * classes, classes));
}
