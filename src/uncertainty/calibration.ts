/**
 * Scores of one predictive distribution against labels. For an ensemble pass the mean predictive: the score of the
 * mean is not the mean of the members' scores.
 *
 * Every function takes `probabilities` (prompts, classes), row-major, and `targets` (prompts) with the true class of
 * each prompt; it averages over prompts and throws a RangeError if there is no prompt, if the lengths do not fit, if
 * a target is not a class, or if a row is not a distribution. Among equally probable classes the lowest is predicted.
 */
import { log } from "../elementary.ts";
import { refuse, requireList, requireNonEmpty } from "../validate.ts";
import { argmax, type Probabilities, rowSum } from "./rows.ts";

/** Number of confidence bins of both calibration errors. */
const CALIBRATION_BINS = 15;

/**
 * A float32 softmax underflows to 0 where the true probability is merely tiny. The log-likelihood counts such values
 * as the smallest normal float32, 2^-126 (87.3 nats), so that one prompt cannot make a mean infinite.
 */
const SMALLEST_PROBABILITY = 2 ** -126;

/** Check the arguments; returns the number of classes. */
function checkPredictions(probabilities: Probabilities, targets: ArrayLike<number>): number {
  requireList("probabilities", probabilities);
  requireList("targets", targets);
  const prompts = targets.length;
  requireNonEmpty("targets", targets);
  const classes = probabilities.length / prompts;
  if (!Number.isInteger(classes) || classes < 1)
    refuse("length of probabilities", probabilities.length, `prompts * classes with ${prompts} prompts`);
  for (let i = 0; i < prompts; i++) {
    if (!Number.isInteger(targets[i]) || targets[i] < 0 || targets[i] >= classes)
      refuse(`targets[${i}]`, targets[i], `a class from 0 to ${classes - 1}`);
    rowSum(probabilities, i * classes, classes, () => `prompt ${i}`);
  }
  return classes;
}

/** Fraction of prompts whose most probable class is the target. */
export function accuracy(probabilities: Probabilities, targets: ArrayLike<number>): number {
  const classes = checkPredictions(probabilities, targets);
  let correct = 0;
  for (let i = 0; i < targets.length; i++) {
    if (argmax(probabilities, i * classes, classes) === targets[i]) correct++;
  }
  return correct / targets.length;
}

/** Mean -log p(target), nats; probabilities below 2^-126 count as 2^-126. */
export function negativeLogLikelihood(probabilities: Probabilities, targets: ArrayLike<number>): number {
  const classes = checkPredictions(probabilities, targets);
  let sum = 0;
  for (let i = 0; i < targets.length; i++) {
    sum -= log(Math.max(probabilities[i * classes + targets[i]], SMALLEST_PROBABILITY));
  }
  return sum / targets.length;
}

/** Brier score: mean of sum_c (p(c) - [c = target])^2, from 0 to 2 (Brier 1950, the multi-class form). */
export function brierScore(probabilities: Probabilities, targets: ArrayLike<number>): number {
  const classes = checkPredictions(probabilities, targets);
  let sum = 0;
  for (let i = 0; i < targets.length; i++) {
    for (let c = 0; c < classes; c++) {
      const hit = c === targets[i] ? 1 : 0;
      sum += (probabilities[i * classes + c] - hit) ** 2;
    }
  }
  return sum / targets.length;
}

/** Confidence (largest probability) of every prompt and whether its class is the target (1) or not (0). */
function topLabels(probabilities: Probabilities, targets: ArrayLike<number>) {
  const classes = checkPredictions(probabilities, targets);
  const confidence = new Float64Array(targets.length);
  const correct = new Float64Array(targets.length);
  for (let i = 0; i < targets.length; i++) {
    const top = argmax(probabilities, i * classes, classes);
    confidence[i] = probabilities[i * classes + top];
    correct[i] = top === targets[i] ? 1 : 0;
  }
  return { confidence, correct };
}

/**
 * Expected calibration error: sum over 15 equal-width bins ((b-1)/15, b/15] of the share of prompts in the bin times
 * |accuracy - mean confidence| of the bin (Guo et al. 2017, arXiv 1706.04599).
 */
export function expectedCalibrationError(probabilities: Probabilities, targets: ArrayLike<number>): number {
  const { confidence, correct } = topLabels(probabilities, targets);
  const gap = new Float64Array(CALIBRATION_BINS);
  for (let i = 0; i < confidence.length; i++) {
    const bin = Math.min(CALIBRATION_BINS, Math.ceil(confidence[i] * CALIBRATION_BINS)) - 1;
    gap[bin] += correct[i] - confidence[i];
  }
  return gap.reduce((sum, value) => sum + Math.abs(value), 0) / confidence.length;
}

/**
 * Adaptive calibration error of the predicted class: as the expected calibration error, but the bins are 15 runs of
 * prompts sorted by confidence whose sizes differ by at most one (Nguyen & O'Connor 2015, arXiv 1508.05154). With
 * fewer than 15 prompts every prompt is its own bin. Prompts of equal confidence share their mean correctness, so
 * the result does not depend on the order of the prompts. (Nixon et al. 2019 use the same name for an average over
 * all classes.)
 */
export function adaptiveCalibrationError(probabilities: Probabilities, targets: ArrayLike<number>): number {
  const { confidence, correct } = topLabels(probabilities, targets);
  const n = confidence.length;
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => confidence[a] - confidence[b]);

  // Signed gap of each prompt in sorted order, correctness averaged within runs of equal confidence.
  const gap = new Float64Array(n);
  for (let start = 0, end = 0; start < n; start = end) {
    let hits = 0;
    for (; end < n && confidence[order[end]] === confidence[order[start]]; end++) hits += correct[order[end]];
    gap.fill(hits / (end - start) - confidence[order[start]], start, end);
  }

  let error = 0;
  for (let b = 0; b < CALIBRATION_BINS; b++) {
    const start = Math.floor((b * n) / CALIBRATION_BINS);
    const end = Math.floor(((b + 1) * n) / CALIBRATION_BINS);
    error += Math.abs(gap.subarray(start, end).reduce((sum, value) => sum + value, 0));
  }
  return error / n;
}
