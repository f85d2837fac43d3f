/** Leading behaviour of times and curves near the spectral edge, without label noise and without a prior. */

import { requireNonNegative, requirePositive } from "../validate.ts";
import { spectrum } from "./quadrature.ts";
import { crossing } from "./solve.ts";
import { erfc, erfcx } from "./special.ts";

/**
 * log(1/s_-) / (2 s_-): what t_gen - t_train tends to as the level goes to 0 at fixed lambda < 1. The approach is slow:
 * at a level of 1e-9 it still lacks 15 % for lambda = 0.9. NaN for lambda >= 1, where it is not defined.
 */
export function delayAsymptote(lambda: number): number {
  const { edge } = spectrum(lambda);
  return lambda < 1 ? -Math.log(edge) / (2 * edge) : Number.NaN;
}

/**
 * -log(1 - sqrt(lambda)), nats: the plateau of MI with residual noise before label noise is fitted. The delay above is
 * this divided by s_-. NaN for lambda >= 1.
 */
export function informationPlateau(lambda: number): number {
  const { edge } = spectrum(lambda);
  return lambda < 1 ? -0.5 * Math.log(edge) : Number.NaN;
}

/** -log(1 - lambda)/2, nats: the limit of MI with learned noise for sn2 > 0. Infinity for lambda >= 1. */
export function informationLimit(lambda: number): number {
  requirePositive("lambda", lambda);
  return lambda < 1 ? -0.5 * Math.log1p(-lambda) : Infinity;
}

/**
 * Critical scaling near lambda = 1: f0 = sqrt(s_-) Phi(s_- t), below (lambda < 1) or above (lambda > 1).
 *
 * @throws RangeError for x <= 0
 */
export function criticalPhi(x: number, side: "below" | "above"): number {
  requirePositive("x", x);
  const y = Math.sqrt(2 * x);
  const head = Math.exp(-2 * x) / Math.sqrt(2 * Math.PI * x);
  // 1 + erf y = 2 - erfc y.
  if (side === "above") return head + 2 - erfc(y);
  return Math.exp(-2 * x) * (1 / Math.sqrt(2 * Math.PI * x) - erfcx(y));
}

/**
 * Critical scaling of V with ELBO noise for lambda just below 1: V = W Psi(s_- t), so V collapses only at a time of
 * order 1/s_-, whereas t_gen stays finite at lambda = 1.
 *
 * @throws RangeError for x < 0
 */
export function criticalPsi(x: number): number {
  requireNonNegative("x", x);
  return Math.exp(-2 * x) * ((1 + 4 * x) * erfcx(Math.sqrt(2 * x)) - 2 * Math.sqrt((2 * x) / Math.PI));
}

/** x = s_- t at which Psi has fallen to a half, 0.041054. */
export function criticalHalfTime(): number {
  return crossing((x) => criticalPsi(x) - 0.5);
}

/**
 * Leading order for small level at lambda = 1: t_gen = 1/(2 pi l^2) and t_train = (2 sqrt(pi) l)^(-2/3) / 2. At a fixed
 * level grokking does not diverge at lambda = 1.
 *
 * @throws RangeError for level <= 0
 */
export function thresholdTimes(level: number): { tGen: number; tTrain: number } {
  requirePositive("level", level);
  return {
    tGen: 1 / (2 * Math.PI * level ** 2),
    tTrain: 0.5 * (2 * Math.sqrt(Math.PI) * level) ** (-2 / 3),
  };
}

/**
 * Leading order of the peak time of V with ELBO noise as lambda -> 1 from below: 1/(4 (1 - lambda)(1 + u0/w)).
 *
 * @throws RangeError for w <= 0 or u0 < 0
 */
export function elboPeakAsymptote(lambda: number, w: number, u0: number): number {
  requirePositive("lambda", lambda);
  requirePositive("w", w);
  requireNonNegative("u0", u0);
  return lambda < 1 ? 1 / (4 * (1 - lambda) * (1 + u0 / w)) : Infinity;
}
