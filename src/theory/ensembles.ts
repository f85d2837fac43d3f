/** Variance over the members of a deterministic ensemble, tr Cov(m(t)), with gradient flow and no prior. */

import { requireKeys, requireNonNegative } from "../validate.ts";
import { broadcast, type Curves, type Values } from "./broadcast.ts";
import { average, type Spectrum } from "./quadrature.ts";
import { decay } from "./spectral.ts";

/**
 * Members trained on independent data sets from the common start m(0) = 0, without label noise:
 * V = w2 (<exp(-2st)> - <exp(-st)>^2). It starts at 0, peaks at t of order 1 and, for lambda <= 1, decays at the rate
 * 2 s_-; for lambda > 1 it rises to w2 (1 - 1/lambda)/lambda. Bootstrap samples of one data set have another spectrum
 * and are not covered.
 *
 * @throws RangeError for t < 0, lambda <= 0 or w2 < 0
 */
export function dataSetEnsemble<T extends Values, L extends Values>(input: {
  t: T;
  lambda: L;
  w2: number;
}): Curves<"V", T, L> {
  requireKeys("dataSetEnsemble", input, ["t", "lambda", "w2"]);
  const w2 = requireNonNegative("w2", input.w2);
  return broadcast(input.t, input.lambda, (spec) => (t) => ({ V: w2 * varianceOfDecay(spec, t) }));
}

/** Variance of exp(-st) over the spectrum, as an average of squares: no cancellation at small t. */
function varianceOfDecay(spec: Spectrum, t: number): number {
  const mean = average(spec, (s) => Math.expm1(-s * t));
  return average(spec, (s) => (Math.expm1(-s * t) - mean) ** 2);
}

/**
 * Members that differ in a random initial mean of total variance k2 only: V = k2 f0(t), which never rises.
 *
 * @throws RangeError for t < 0, lambda <= 0 or k2 < 0
 */
export function initEnsemble<T extends Values, L extends Values>(input: {
  t: T;
  lambda: L;
  k2: number;
}): Curves<"V", T, L> {
  requireKeys("initEnsemble", input, ["t", "lambda", "k2"]);
  const k2 = requireNonNegative("k2", input.k2);
  return broadcast(input.t, input.lambda, (spec) => (t) => {
    const { logScale, c0 } = decay(spec, t);
    return { V: k2 * (spec.atom + Math.exp(logScale) * c0) };
  });
}
