/** The entropy decomposition of an ensemble's predictions into aleatoric and epistemic parts; nats throughout. */
import { log } from "../elementary.ts";
import { requireCount, requireLength, requireObject, requireTypedArray } from "../validate.ts";
import { argmax, type Probabilities, rowSum } from "./rows.ts";

/** One value per prompt, and the mean predictive itself. p_m is the predictive of member m, p̄ their mean. */
export interface Decomposition {
  /** H(p̄), nats. */
  totalEntropy: Float64Array;
  /** mean_m H(p_m), nats: the aleatoric part, which includes what the context leaves open about the task. */
  expectedEntropy: Float64Array;
  /** H(p̄) - mean_m H(p_m), nats: the epistemic part, from 0 to min(log members, log classes). */
  mutualInformation: Float64Array;
  /** Fraction of member pairs whose most probable classes differ: 1 - sum_c C(n_c, 2) / C(M, 2). 0 for one member. */
  disagreement: Float64Array;
  /** sum_c Var_m p_m(c), the population variance (divided by M): from 0 to 1 - 1/M. */
  variance: Float64Array;
  /** p̄, (prompts, classes), every row summing to 1. */
  mean: Float64Array;
  /** n_c, how many members find class c most probable, (prompts, classes). */
  votes: Int32Array;
}

/** The two parts of the entropy of a mean over posterior samples, (prompts, positions), nats. */
export interface PosteriorSpread {
  /** Mean entropy of the samples' predictives. */
  expectedEntropy: Float32Array;
  /** Entropy of their mean less `expectedEntropy`. */
  mutualInformation: Float32Array;
}

/** Largest possible mutual information of M members over C classes, nats. */
export const informationBound = (members: number, classes: number) => log(Math.min(members, classes));

/**
 * Decompose the predictive entropy of `members` members (or posterior samples) for every prompt.
 *
 * Rows are checked and then renormalised in float64, so that 0 <= mutualInformation <= min(log members,
 * log classes) holds for float32 softmax output; the final clamp to these bounds only ever removes rounding errors.
 * The plug-in mutual information of a few members is biased low and grows with their number: compare values at an
 * equal number of members only. Votes of equal probability go to the lowest class.
 *
 * Source: the decomposition is Depeweg et al. 2018 (arXiv 1710.07283), for ensembles Lakshminarayanan et al. 2017.
 *
 * @param probabilities (members, prompts, classes), row-major
 * @returns one float64 value per prompt and quantity, in nats, and the mean predictive (prompts, classes)
 * @throws RangeError for a wrong length, and for a row that is not a distribution, naming its member and prompt
 */
export function decompose(
  probabilities: Probabilities,
  shape: { members: number; prompts: number; classes: number },
): Decomposition {
  requireTypedArray("probabilities", probabilities, "Float32Array", "Float64Array");
  const { members, prompts, classes } = requireObject("shape", shape);
  requireCount("members", members);
  requireCount("prompts", prompts);
  requireCount("classes", classes);
  requireLength("probabilities", probabilities, members * prompts * classes, "members * prompts * classes");
  const size = prompts * classes;
  const perMember = Array.from({ length: members }, (_, m) =>
    probabilities.subarray(m * size, (m + 1) * size),
  );
  return decomposeMembers(perMember, prompts, classes, (prompt) => `prompt ${prompt}`);
}

/**
 * The same for members held in separate arrays, each (rows, classes) row-major; `describeRow` names a row in error
 * messages. Shapes are the caller's responsibility.
 */
export function decomposeMembers(
  members: readonly Probabilities[],
  rows: number,
  classes: number,
  describeRow: (row: number) => string,
): Decomposition {
  const M = members.length;
  const pairs = (M * (M - 1)) / 2;
  const largestInformation = informationBound(M, classes);
  const totalEntropy = new Float64Array(rows);
  const expectedEntropy = new Float64Array(rows);
  const mutualInformation = new Float64Array(rows);
  const disagreement = new Float64Array(rows);
  const variance = new Float64Array(rows);
  const mean = new Float64Array(rows * classes);
  const votes = new Int32Array(rows * classes);
  const sums = new Float64Array(M);

  for (let row = 0; row < rows; row++) {
    const offset = row * classes;
    let expected = 0;
    for (let m = 0; m < M; m++) {
      const p = members[m];
      const sum = rowSum(p, offset, classes, () => `member ${m}, ${describeRow(row)}`);
      sums[m] = sum;
      votes[offset + argmax(p, offset, classes)]++;
      for (let c = 0; c < classes; c++) {
        const value = p[offset + c] / sum;
        mean[offset + c] += value / M;
        if (value > 0) expected -= value * log(value);
      }
    }
    expected /= M;

    let total = 0;
    let spread = 0;
    let agreeingPairs = 0;
    for (let c = 0; c < classes; c++) {
      const average = mean[offset + c];
      if (average > 0) total -= average * log(average);
      for (let m = 0; m < M; m++) spread += (members[m][offset + c] / sums[m] - average) ** 2;
      agreeingPairs += (votes[offset + c] * (votes[offset + c] - 1)) / 2;
    }
    totalEntropy[row] = Math.max(0, total);
    expectedEntropy[row] = Math.max(0, expected);
    mutualInformation[row] = Math.min(largestInformation, Math.max(0, total - expected));
    disagreement[row] = M > 1 ? 1 - agreeingPairs / pairs : 0;
    variance[row] = spread / M;
  }
  return { totalEntropy, expectedEntropy, mutualInformation, disagreement, variance, mean, votes };
}
