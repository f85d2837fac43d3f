/** From the probabilities on a probe set to the measures of an evaluation record; nats. */

import type { EnsembleMeasures, PosteriorMeasures, PredictiveMeasures } from "../run/records.ts";
import { jensenShannon, relativeDistance, totalVariation } from "../tasks/distances.ts";
import type { PosteriorSpread } from "../training/messages.ts";
import { requireCount, requireLength, requireNonEmpty } from "../validate.ts";
import {
  accuracy,
  adaptiveCalibrationError,
  brierScore,
  expectedCalibrationError,
  negativeLogLikelihood,
} from "./calibration.ts";
import { decomposeMembers } from "./decompose.ts";
import { argmax, mean, type Probabilities, rowSum } from "./rows.ts";

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

function probeShape({ batch, references }: Probe): Shape {
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

/** Mean entropy (nats) of rows (B, C) known to be distributions. */
function meanEntropy(p: Probabilities, prompts: number): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) if (p[i] > 0) sum -= p[i] * Math.log(p[i]);
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
    accuracy: accuracy(last, lastTargets),
    accuracyByPosition: accuracyByPosition(probabilities, targets, shape),
    nll: negativeLogLikelihood(last, lastTargets),
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
  requireNonEmpty("memberProbabilities", memberProbabilities);
  memberProbabilities.forEach((p, m) => {
    requireLength(`memberProbabilities[${m}]`, p, probe.references.G.length, "prompts * positions * classes");
  });

  const parts = decomposeMembers(memberProbabilities, targets.length, classes, (row) =>
    describeRow(row, shape),
  );
  const last = lastPosition(parts.mean, shape, classes);
  const lastTargets = lastPosition(targets, shape, 1);
  const atLast = (values: Float64Array) => mean(lastPosition(values, shape, 1));
  const totalEntropy = atLast(parts.totalEntropy);

  const M = lastPosition(probe.references.M, shape, classes);
  const G = lastPosition(probe.references.G, shape, classes);
  const distanceM = meanDistances(last, M, prompts);
  const distanceG = meanDistances(last, G, prompts);
  const between = meanDistances(G, M, prompts).jensenShannon;

  return {
    accuracy: accuracy(last, lastTargets),
    accuracyByPosition: accuracyByPosition(parts.mean, targets, shape),
    nll: negativeLogLikelihood(last, lastTargets),
    entropy: totalEntropy,
    brier: brierScore(last, lastTargets),
    ece: expectedCalibrationError(last, lastTargets),
    adaptiveEce: adaptiveCalibrationError(last, lastTargets),
    totalEntropy,
    expectedEntropy: atLast(parts.expectedEntropy),
    mutualInformation: atLast(parts.mutualInformation),
    disagreement: atLast(parts.disagreement),
    variance: atLast(parts.variance),
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
  let divergence = 0;
  let variation = 0;
  for (let start = 0; start < p.length; start += classes) {
    const a = p.subarray(start, start + classes);
    const b = q.subarray(start, start + classes);
    divergence += jensenShannon(a, b);
    variation += totalVariation(a, b);
  }
  return { jensenShannon: divergence / prompts, totalVariation: variation / prompts };
}
