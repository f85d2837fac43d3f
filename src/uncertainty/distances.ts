/** Distances of a predictive distribution to the exact references. Distributions are over the same classes; nats. */

import { log } from "../elementary.ts";
import { requireLength, requireNonEmpty } from "../validate.ts";
import { rowSum } from "./rows.ts";

type Distribution = ArrayLike<number>;

/** @throws RangeError for what is no distribution, and for different numbers of classes */
function requireDistributions(p: Distribution, q: Distribution): void {
  requireNonEmpty("distribution", p);
  requireLength("distribution", q, p.length, "the classes of the other one");
  for (const [i, each] of [p, q].entries())
    rowSum(each, 0, each.length, () => (i === 0 ? "first distribution" : "second distribution"));
}

/**
 * Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2 with m = (p + q)/2, in nats: 0 to ln 2, finite for any
 * supports.
 *
 * @throws RangeError for different numbers of classes, and for what is no distribution
 */
export function jensenShannon(p: Distribution, q: Distribution): number {
  requireDistributions(p, q);
  return divergence(p, q);
}

/** The same of rows that have been checked. */
export function divergence(p: Distribution, q: Distribution): number {
  let sum = 0;
  for (let c = 0; c < p.length; c++) {
    // Each probability over the mixture's, without halving: half of the smallest denormal would round to 0.
    const both = p[c] + q[c];
    if (p[c] > 0) sum += p[c] * log((2 * p[c]) / both);
    if (q[c] > 0) sum += q[c] * log((2 * q[c]) / both);
  }
  // Rounding can leave a sum of the order of -1e-17 for equal distributions.
  return Math.max(0, sum / 2);
}

/**
 * Total variation distance sum_c |p_c - q_c| / 2, from 0 to 1.
 *
 * @throws RangeError for different numbers of classes, and for what is no distribution
 */
export function totalVariation(p: Distribution, q: Distribution): number {
  requireDistributions(p, q);
  return variation(p, q);
}

/** The same of rows that have been checked. */
export function variation(p: Distribution, q: Distribution): number {
  let sum = 0;
  for (let c = 0; c < p.length; c++) sum += Math.abs(p[c] - q[c]);
  return sum / 2;
}

/**
 * Where a model stands between the generalising predictor G (0) and the memorising predictor M (1):
 * (r + 1)/2 with r = (d(q, G) - d(q, M)) / d(G, M). Null where the references coincide, d(G, M) = 0. Not confined to
 * [0, 1] for a divergence that breaks the triangle inequality, as Jensen-Shannon does (its square root keeps it).
 */
export function relativeDistance(dG: number, dM: number, dGM: number): number | null {
  return dGM === 0 ? null : ((dG - dM) / dGM + 1) / 2;
}

/**
 * Regret KL(reference || q) in nats of predicting q where the reference is the exact posterior predictive: averaged
 * over prompts drawn from the reference's prior, it is the excess of q's expected log loss over the lowest one
 * possible. Infinite where q gives no probability to a class the reference holds possible.
 *
 * @throws RangeError for different numbers of classes, and for what is no distribution
 */
export function regret(reference: Distribution, q: Distribution): number {
  requireDistributions(reference, q);
  let sum = 0;
  for (let c = 0; c < q.length; c++) {
    if (reference[c] > 0) sum += reference[c] * log(reference[c] / q[c]);
  }
  return sum;
}
