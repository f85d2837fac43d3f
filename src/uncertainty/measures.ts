/** From the probabilities on a probe set to the measures of an evaluation record; nats. */
import { log } from "../elementary.ts";
import {
  requireCount,
  requireLength,
  requireList,
  requireNonEmpty,
  requireObject,
  requireTypedArray,
} from "../validate.ts";
import * as calibration from "./calibration.ts";
import { decomposeMembers, type PosteriorSpread } from "./decompose.ts";
import { divergence, relativeDistance, variation } from "./distances.ts";
import { argmax, type Probabilities, rowSum } from "./rows.ts";
import { type StatisticValues, statisticsOf } from "./statistics.ts";

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
export interface EnsembleMeasures extends PredictiveMeasures, StatisticValues {
  mutualInformationByPosition: number[];
  expectedEntropyByPosition: number[];
  totalEntropyByPosition: number[];
  /** Jensen-Shannon divergence (nats) and total variation to the memorising and the generalising predictor. */
  distanceM: { jensenShannon: number; totalVariation: number };
  distanceG: { jensenShannon: number; totalVariation: number };
  /** 0 = generalising, 1 = memorising, from Jensen-Shannon; null where the two references coincide. */
  relativeDistance: number | null;
}

/** What the measures need of a probe set: B prompts with P predicted positions each; C classes. */
export interface Probe {
  /** Targets (B, P), row-major. */
  batch: { targets: Int32Array; batchSize: number };
  /** Exact predictives of the memorising (M) and the generalising (G) predictor, (B, P, C). */
  references: { M: Float64Array; G: Float64Array };
}

interface Shape {
  prompts: number;
  positions: number;
  classes: number;
}

/** Below this mean Jensen-Shannon divergence (nats) the two references count as the same predictor. */
const COINCIDENCE = 1e-9;

function probeShape(probe: Probe): Shape {
  const { batch, references } = requireObject("probe", probe);
  requireTypedArray("batch.targets", requireObject("batch", batch).targets, "Int32Array");
  for (const name of ["M", "G"] as const)
    requireTypedArray(`references.${name}`, requireObject("references", references)[name], "Float64Array");
  requireCount("batch.batchSize", batch.batchSize);
  const positions = batch.targets.length / batch.batchSize;
  requireCount("batch.targets.length / batch.batchSize", positions);
  const classes = references.G.length / batch.targets.length;
  requireCount("references.G.length / batch.targets.length", classes);
  requireLength("references.M", references.M, references.G.length, "the length of references.G");
  return { prompts: batch.batchSize, positions, classes };
}

/** The rows of the last position: (B, P, width) -> (B, width). */
function lastPosition<T extends Probabilities | Int32Array>(
  values: T,
  { positions }: Shape,
  width: number,
): T {
  const stride = positions * width;
  const last = values.slice(0, values.length / positions) as T;
  for (let end = stride, to = 0; end <= values.length; end += stride, to += width) {
    last.set(values.subarray(end - width, end), to);
  }
  return last;
}

/** Mean over prompts of a quantity (B, P), one value per position. */
function meanByPosition(values: Probabilities, { prompts, positions }: Shape): number[] {
  const means = new Array<number>(positions).fill(0);
  for (let i = 0; i < values.length; i++) means[i % positions] += values[i];
  return means.map((sum) => sum / prompts);
}

function accuracyByPosition(p: Probabilities, targets: Int32Array, shape: Shape): number[] {
  const hits = Float64Array.from(targets, (target, row) =>
    argmax(p, row * shape.classes, shape.classes) === target ? 1 : 0,
  );
  return meanByPosition(hits, shape);
}

/** The rows (B, width) of some prompts: those where `kept` (B) is not 0. */
export function selectPrompts<T extends Probabilities | Int32Array>(values: T, kept: Uint8Array): T {
  const width = values.length / kept.length;
  return values.filter((_, i) => kept[Math.floor(i / width)] !== 0) as T;
}

/** Mean entropy (nats) of rows (B, C) known to be distributions. */
function meanEntropy(p: Probabilities, prompts: number): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) if (p[i] > 0) sum -= p[i] * log(p[i]);
  return Math.max(0, sum / prompts);
}

/**
 * Measures of one member's predictions.
 *
 * @param probabilities (B, P, C), row-major
 * @throws RangeError for shapes that do not fit and for rows that are not distributions
 */
export function predictiveMeasures(probabilities: Probabilities, probe: Probe): PredictiveMeasures {
  const shape = probeShape(probe);
  const { targets } = probe.batch;
  requireLength("probabilities", probabilities, probe.references.G.length, "prompts * positions * classes");
  for (let row = 0; row < targets.length; row++) {
    rowSum(probabilities, row * shape.classes, shape.classes, () => describeRow(row, shape));
  }
  const last = lastPosition(probabilities, shape, shape.classes);
  const lastTargets = lastPosition(targets, shape, 1);
  return {
    accuracy: calibration.accuracy(last, lastTargets),
    accuracyByPosition: accuracyByPosition(probabilities, targets, shape),
    nll: calibration.negativeLogLikelihood(last, lastTargets),
    entropy: meanEntropy(last, shape.prompts),
  };
}

/**
 * How far the samples of one member's own posterior differ.
 *
 * @param spread the parts of the entropy at every prediction, (B, P)
 * @param samples S, how many samples they are from
 * @throws RangeError for a length that does not fit
 */
export function posteriorMeasures(
  { expectedEntropy, mutualInformation }: PosteriorSpread,
  samples: number,
  probe: Probe,
): PosteriorMeasures {
  const shape = probeShape(probe);
  requireCount("samples", samples);
  const predictions = probe.batch.targets.length;
  requireLength("expectedEntropy", expectedEntropy, predictions, "prompts * positions");
  requireLength("mutualInformation", mutualInformation, predictions, "prompts * positions");
  const byPosition = meanByPosition(mutualInformation, shape);
  return {
    samples,
    expectedEntropy: meanByPosition(expectedEntropy, shape)[shape.positions - 1],
    mutualInformation: byPosition[shape.positions - 1],
    mutualInformationByPosition: byPosition,
  };
}

/**
 * Measures of an ensemble. Accuracy, likelihood, calibration and distances are those of the mean predictive; scalars
 * are means over the prompts at the last position.
 *
 * @param memberProbabilities one array (B, P, C) per member, row-major
 * @throws RangeError if there is no member, for shapes that do not fit and for rows that are not distributions
 */
export function ensembleMeasures(
  memberProbabilities: readonly Probabilities[],
  probe: Probe,
): EnsembleMeasures {
  const shape = probeShape(probe);
  const { classes, prompts } = shape;
  const { targets } = probe.batch;
  requireList("memberProbabilities", memberProbabilities);
  requireNonEmpty("memberProbabilities", memberProbabilities);
  memberProbabilities.forEach((p, m) => {
    requireLength(`memberProbabilities[${m}]`, p, probe.references.G.length, "prompts * positions * classes");
  });

  const parts = decomposeMembers(memberProbabilities, targets.length, classes, (row) =>
    describeRow(row, shape),
  );
  const last = lastPosition(parts.mean, shape, classes);
  const { accuracy, nll, ...statistics } = statisticsOf({
    members: memberProbabilities.length,
    classes,
    targets: lastPosition(targets, shape, 1),
    mean: last,
    votes: lastPosition(parts.votes, shape, classes),
    totalEntropy: lastPosition(parts.totalEntropy, shape, 1),
    expectedEntropy: lastPosition(parts.expectedEntropy, shape, 1),
    mutualInformation: lastPosition(parts.mutualInformation, shape, 1),
    disagreement: lastPosition(parts.disagreement, shape, 1),
    variance: lastPosition(parts.variance, shape, 1),
  });

  const M = lastPosition(probe.references.M, shape, classes);
  const G = lastPosition(probe.references.G, shape, classes);
  const distanceM = meanDistances(last, M, prompts);
  const distanceG = meanDistances(last, G, prompts);
  const between = meanDistances(G, M, prompts).jensenShannon;

  return {
    accuracy,
    accuracyByPosition: accuracyByPosition(parts.mean, targets, shape),
    nll,
    entropy: statistics.totalEntropy,
    ...statistics,
    mutualInformationByPosition: meanByPosition(parts.mutualInformation, shape),
    expectedEntropyByPosition: meanByPosition(parts.expectedEntropy, shape),
    totalEntropyByPosition: meanByPosition(parts.totalEntropy, shape),
    distanceM,
    distanceG,
    // A ratio of means: prompts on which M and G agree would make single ratios 0/0.
    relativeDistance: relativeDistance(
      distanceG.jensenShannon,
      distanceM.jensenShannon,
      between > COINCIDENCE ? between : 0,
    ),
  };
}

function describeRow(row: number, { positions }: Shape): string {
  return `prompt ${Math.floor(row / positions)}, position ${row % positions}`;
}

/** Mean distances of the rows of p and q, both (B, C). */
function meanDistances(p: Float64Array, q: Float64Array, prompts: number) {
  const classes = p.length / prompts;
  const sums = { jensenShannon: 0, totalVariation: 0 };
  for (let start = 0; start < p.length; start += classes) {
    const a = p.subarray(start, start + classes);
    const b = q.subarray(start, start + classes);
    sums.jensenShannon += divergence(a, b);
    sums.totalVariation += variation(a, b);
  }
  return { jensenShannon: sums.jensenShannon / prompts, totalVariation: sums.totalVariation / prompts };
}
