/**
 * Spectral functions of the Marchenko-Pastur law from which every curve of the linear model is built. The averages
 * <.> include the atom at 0.
 */

import { requireNonNegative } from "../validate.ts";
import { broadcast, type Curves, mapLambda, type Values } from "./broadcast.ts";
import { integrate, type Spectrum } from "./quadrature.ts";

/** Sums over the continuous part with the slowest exponential taken out: <s^k exp(-2st)>_c = exp(logScale) c_k. */
export interface Decay {
  logScale: number;
  c0: number;
  c1: number;
  c2: number;
}

/** c_0, c_1, c_2 and the common factor: ratios of them neither underflow nor lose digits at any t. */
export function decay(spec: Spectrum, t: number): Decay {
  let c0 = 0;
  let c1 = 0;
  let c2 = 0;
  for (let i = 0; i < spec.s.length; i++) {
    const s = spec.s[i];
    const term = spec.weight[i] * Math.exp(-2 * spec.offset[i] * t);
    c0 += term;
    c1 += term * s;
    c2 += term * s * s;
  }
  return { logScale: -2 * spec.edge * t, c0, c1, c2 };
}

/** 1 - f0 = <1 - exp(-2st)>, without cancellation at small t. */
export function lost(spec: Spectrum, t: number): number {
  return integrate(spec, (s) => -Math.expm1(-2 * s * t));
}

/** F = <(1 - exp(-2st)) / (2s)>, the integral of f0 from 0 to t; the atom contributes t. */
export function integralF(spec: Spectrum, t: number): number {
  return spec.atom * t + integrate(spec, (s) => -Math.expm1(-2 * s * t) / (2 * s));
}

/** g = <(1 - exp(-st))^2 / s>: how strongly label noise has been fitted. */
export function noiseGain(spec: Spectrum, t: number): number {
  return integrate(spec, (s) => Math.expm1(-s * t) ** 2 / s);
}

/**
 * f_k(t) = <s^k exp(-2st)> for k = 0, 1, 2; F(t), the integral of f0 from 0 to t; g(t) = <(1 - exp(-st))^2 / s>.
 *
 * `t` and `lambda` are numbers or lists of equal length. Times are those of gradient flow on half the mean squared
 * error. Source: the setting of Levi, Beck, Bar-Sinai, arXiv:2310.16441, with t twice their rate times time.
 *
 * @throws RangeError for t < 0 or lambda <= 0
 */
export function spectral<T extends Values, L extends Values>(
  t: T,
  lambda: L,
): Curves<"f0" | "f1" | "f2" | "F" | "g", T, L> {
  return broadcast(t, lambda, (spec) => (time) => {
    const { logScale, c0, c1, c2 } = decay(spec, time);
    const scale = Math.exp(logScale);
    return {
      f0: spec.atom + scale * c0,
      f1: scale * c1,
      f2: scale * c2,
      F: integralF(spec, time),
      g: noiseGain(spec, time),
    };
  });
}

/**
 * M = <1/(s + gam)> in closed form, for the rescaled weight decay gam >= 0. Infinity for gam = 0 and lambda >= 1.
 *
 * @throws RangeError for gam < 0 or lambda <= 0
 */
export function resolvent<L extends Values>(gam: number, lambda: L): Curves<"M", L, number>["M"] {
  requireNonNegative("gam", gam);
  return mapLambda(lambda, (spec) => ({ M: resolventAt(gam, spec.lambda) })).M;
}

/** <1/(s + gam)>. Both branches are the same root of a quadratic; each avoids the other's cancellation. */
export function resolventAt(gam: number, lambda: number): number {
  const b = 1 - lambda + gam;
  const q = Math.sqrt(b * b + 4 * lambda * gam);
  if (b > 0) return 2 / (b + q);
  return gam === 0 ? Infinity : (q - b) / (2 * lambda * gam);
}

/**
 * Gradient descent with step size eta follows t = eta k and is stable for eta below this bound, 2/(s_+ + gam).
 *
 * @throws RangeError for gam < 0 or lambda <= 0
 */
export function maxStepSize<L extends Values>(lambda: L, gam = 0): Curves<"eta", L, number>["eta"] {
  requireNonNegative("gam", gam);
  return mapLambda(lambda, ({ upperEdge }) => ({ eta: 2 / (upperEdge + gam) })).eta;
}
