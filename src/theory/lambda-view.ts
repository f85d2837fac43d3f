/** The second view: variances as functions of lambda = d/N, at a fixed time or at the exact posterior. */

import { requireKeys, requireNonNegative, requirePositive } from "../validate.ts";
import { broadcast, type Curves, mapLambda, type Values } from "./broadcast.ts";
import { spectrum } from "./quadrature.ts";
import { maximise } from "./solve.ts";
import { noiseGain, resolventAt } from "./spectral.ts";

/**
 * lambda sn2 g(t): the variance over draws of the label noise of a mean trained for time t from 0. As a function of
 * lambda it has a peak that moves towards 1 and grows as t grows.
 *
 * @throws RangeError for t < 0, lambda <= 0 or sn2 < 0
 */
export function labelNoiseVariance<T extends Values, L extends Values>(input: {
  t: T;
  lambda: L;
  sn2: number;
}): Curves<"V", T, L> {
  requireKeys("labelNoiseVariance", input, ["t", "lambda", "sn2"]);
  const sn2 = requireNonNegative("sn2", input.sn2);
  return broadcast(input.t, input.lambda, (spec) => (t) => ({ V: spec.lambda * sn2 * noiseGain(spec, t) }));
}

/**
 * The peak of `labelNoiseVariance` over lambda: its place and its height for sn2 = 1.
 *
 * @throws RangeError for t <= 0
 */
export function labelNoisePeak(t: number): { lambda: number; height: number } {
  requirePositive("t", t);
  const height = (lambda: number) => lambda * noiseGain(spectrum(lambda), t);
  // Early on g is t^2 and the variance rises with lambda over a wider range: follow it up to the peak.
  let high = 2;
  while (height(2 * high) > height(high)) high *= 2;
  const lambda = maximise(height, 0.1, 2 * high);
  return { lambda, height: height(lambda) };
}

/**
 * Trace of the exact posterior covariance, lambda sig2 M(gam) with gam = lambda sig2/wp2, and the part of it that lies
 * in the row space of X. The total grows with lambda without a peak: more data never increase it. Only the row-space
 * part peaks, near lambda = 1.
 *
 * @throws RangeError for lambda <= 0, sig2 <= 0 or wp2 that is not positive and finite
 */
export function posteriorTrace<L extends Values>(input: {
  lambda: L;
  sig2: number;
  wp2: number;
}): Curves<"total" | "rowSpace", L, number> {
  requireKeys("posteriorTrace", input, ["lambda", "sig2", "wp2"]);
  const sig2 = requirePositive("sig2", input.sig2);
  const wp2 = requirePositive("wp2", input.wp2);
  return mapLambda(input.lambda, ({ lambda, atom }) => {
    const total = lambda * sig2 * resolventAt((lambda * sig2) / wp2, lambda);
    return { total, rowSpace: total - wp2 * atom };
  });
}
