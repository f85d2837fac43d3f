/**
 * The statistics of an evaluation. An entry of the table is all that a statistic needs: from it follow the field of an
 * ensemble's measures, what the detector is shown and how that is checked, the comparison of posteriors and, with a
 * plot, the report's figure.
 */
import { log } from "../elementary.ts";
import {
  accuracy,
  adaptiveCalibrationError,
  brierScore,
  expectedCalibrationError,
  negativeLogLikelihood,
} from "./calibration.ts";
import { type Decomposition, informationBound } from "./decompose.ts";
import { mean } from "./rows.ts";

/** What a statistic is taken from: an ensemble's predictions at the last position of B prompts. */
export interface EnsemblePredictions extends Decomposition {
  /** M, members or posterior samples, and C. */
  members: number;
  classes: number;
  /** The true classes, (B). */
  targets: Int32Array;
}

/** A line in one of the report's figures of statistics. */
export interface StatisticPlot {
  figure: "disagreement" | "calibration";
  /** In the legend, short. */
  label: string;
  /** In the caption: the thing measured and its unit, without an article. */
  about: string;
  stroke: "solid" | "dashed" | "dotted";
}

export interface Statistic {
  /** The version of the records that first holds it; records of an earlier one are read without it. */
  since: number;
  /** Whether it takes the true classes. The detector sees those that do not. */
  labelled: boolean;
  /** Largest value for M members over C classes; the smallest is 0. */
  bound: (members: number, classes: number) => number;
  /** One number for all prompts: their mean, if each has a value of its own. */
  ofPredictions: (predictions: EnsemblePredictions) => number;
  /** null: nowhere, or in a figure of another kind. */
  plot: StatisticPlot | null;
}

/** The largest entropy over C classes, nats. */
const entropyBound = (_: number, classes: number) => log(classes);

/** In the order of the records. Entropies and information in nats; the scores are those of the mean predictive. */
export const STATISTICS = {
  accuracy: {
    since: 0,
    labelled: true,
    bound: () => 1,
    ofPredictions: (p) => accuracy(p.mean, p.targets),
    plot: null,
  },
  nll: {
    since: 0,
    labelled: true,
    bound: () => Number.POSITIVE_INFINITY,
    ofPredictions: (p) => negativeLogLikelihood(p.mean, p.targets),
    plot: null,
  },
  brier: {
    since: 0,
    labelled: true,
    bound: () => 2,
    ofPredictions: (p) => brierScore(p.mean, p.targets),
    plot: { figure: "calibration", label: "Brier", about: "Brier score from 0 to 2", stroke: "dashed" },
  },
  ece: {
    since: 0,
    labelled: true,
    bound: () => 1,
    ofPredictions: (p) => expectedCalibrationError(p.mean, p.targets),
    plot: {
      figure: "calibration",
      label: "ECE",
      about: "expected calibration error over 15 equal-width bins",
      stroke: "solid",
    },
  },
  adaptiveEce: {
    since: 0,
    labelled: true,
    bound: () => 1,
    ofPredictions: (p) => adaptiveCalibrationError(p.mean, p.targets),
    plot: null,
  },
  totalEntropy: {
    since: 0,
    labelled: false,
    bound: entropyBound,
    ofPredictions: (p) => mean(p.totalEntropy),
    plot: null,
  },
  expectedEntropy: {
    since: 0,
    labelled: false,
    bound: entropyBound,
    ofPredictions: (p) => mean(p.expectedEntropy),
    plot: null,
  },
  mutualInformation: {
    since: 0,
    labelled: false,
    bound: informationBound,
    ofPredictions: (p) => mean(p.mutualInformation),
    plot: null,
  },
  disagreement: {
    since: 0,
    labelled: false,
    bound: () => 1,
    ofPredictions: (p) => mean(p.disagreement),
    plot: {
      figure: "disagreement",
      label: "disagr.",
      about: "share of member pairs whose top-1 answers differ",
      stroke: "solid",
    },
  },
  variance: {
    since: 0,
    labelled: false,
    bound: (members) => 1 - 1 / members,
    ofPredictions: (p) => mean(p.variance),
    plot: {
      figure: "disagreement",
      label: "var.",
      about: "variance of the members' probabilities summed over the classes",
      stroke: "dashed",
    },
  },
  voteEntropy: {
    since: 1,
    labelled: false,
    bound: informationBound,
    ofPredictions: ({ votes, members, classes }) =>
      votes.reduce((sum, n) => (n > 0 ? sum - (n / members) * log(n / members) : sum), 0) /
      (votes.length / classes),
    plot: {
      figure: "disagreement",
      label: "vote H",
      about: "entropy of the members' top-1 answers in nats",
      stroke: "dotted",
    },
  },
} as const satisfies Record<string, Statistic>;

export type StatisticName = keyof typeof STATISTICS;

export const STATISTIC_NAMES = Object.keys(STATISTICS) as StatisticName[];

/** Names of the entries with this property. */
type Having<Property> = {
  [Name in StatisticName]: (typeof STATISTICS)[Name] extends Property ? Name : never;
}[StatisticName];

export type UnlabelledStatistic = Having<{ labelled: false }>;

export const UNLABELLED_STATISTICS = STATISTIC_NAMES.filter(
  (name): name is UnlabelledStatistic => !STATISTICS[name].labelled,
);

/** The version of records that hold these statistics. */
export const RECORD_VERSION = Math.max(...STATISTIC_NAMES.map((name) => STATISTICS[name].since));

/** The statistics of one evaluation as a record has them: all of them, or fewer in one of an earlier version. */
export type StatisticValues = Record<Having<{ since: 0 }>, number> & Partial<Record<StatisticName, number>>;

export function statisticsOf(predictions: EnsemblePredictions): Record<StatisticName, number> {
  return Object.fromEntries(
    STATISTIC_NAMES.map((name) => [name, STATISTICS[name].ofPredictions(predictions)]),
  ) as Record<StatisticName, number>;
}
