/**
 * The Bayesian linear model with a fixed likelihood noise: asymptotic curves.
 *
 * Inputs x ~ N(0, I_d), N points, lambda = d/N; labels y = x.w* + N(0, sn2). Model: prior N(0, I/alpha), likelihood
 * noise sig2. The variational Gaussian N(m, RR') follows the gradient flow of the negative ELBO, scaled by sig2/N,
 * in m and in a square root R of its covariance, so an eigenmode s of S = X'X/N relaxes at rate a = s + gam in the
 * mean and 2a in the covariance.
 */

import { keysOf, requireKeys, requireNonNegative, requirePositiveOrInfinite } from "../validate.ts";
import { broadcast, type Curves, type Values } from "./broadcast.ts";
import { type Spectrum, spectrum } from "./quadrature.ts";

/** Parameters of the fixed-noise model; all are free of the dimension d. */
export interface FixedNoiseParameters {
  /** |w*|^2; 1 by default. */
  w2?: number;
  /** E|m(0)|^2 of a random centred initial mean; 0 by default. */
  k2?: number;
  /** Variance of the label noise; 0 by default. */
  sn2?: number;
  /** Noise variance of the model's likelihood; `sn2` by default. */
  sig2?: number;
  /** Total prior variance d/alpha; `w2` by default; Infinity for a flat prior. */
  wp2?: number;
  /** Initial tr C; `w2 + k2` by default. */
  u0?: number;
}

export const FIXED_NOISE = keysOf<FixedNoiseParameters>({
  ...{ w2: true, k2: true, sn2: true, sig2: true, wp2: true, u0: true },
});

/** Complete parameters, with the rescaled weight decay gam and the noise floor q of the covariance. */
export interface FixedNoise extends Required<FixedNoiseParameters> {
  gam: number;
  q: number;
}

/** Fill in the defaults, which are the calibrated choice, and check the ranges. */
export function fixedNoiseParameters(parameters: FixedNoiseParameters, lambda: number): FixedNoise {
  const w2 = requireNonNegative("w2", parameters.w2 ?? 1);
  const k2 = requireNonNegative("k2", parameters.k2 ?? 0);
  const sn2 = requireNonNegative("sn2", parameters.sn2 ?? 0);
  const sig2 = requireNonNegative("sig2", parameters.sig2 ?? sn2);
  const wp2 = requirePositiveOrInfinite("wp2", parameters.wp2 ?? w2);
  const u0 = requireNonNegative("u0", parameters.u0 ?? w2 + k2);
  const q = lambda * sig2;
  return { w2, k2, sn2, sig2, wp2, u0, gam: q / wp2, q };
}

/** The curves of `fixedNoise`, which says what each is. */
export type FixedNoiseField = "G" | "T" | "R" | "V" | "VS" | "MI";

/**
 * Curves of the fixed-noise model.
 *
 * G = |m - w*|^2, generalisation error; T = (m - w*)'S(m - w*), training error against clean labels; R, mean squared
 * training residual; V = tr C and VS = tr SC, epistemic predictive variance at a test point and at the training
 * points; MI = log(1 + V/sig2)/2 in nats, NaN for sig2 = 0. `t` is gradient-flow time; `t` and `lambda` are numbers
 * or lists of equal length.
 *
 * With w2 = wp2, sn2 = sig2 and u0 = w2 + k2 (the defaults), G = V and T = VS at every t.
 *
 * @throws RangeError for t < 0, lambda <= 0, wp2 <= 0 and negative variances
 */
export function fixedNoise<T extends Values, L extends Values>(
  input: { t: T; lambda: L } & FixedNoiseParameters,
): Curves<FixedNoiseField, T, L> {
  requireKeys("fixedNoise", input, ["t", "lambda", ...FIXED_NOISE]);
  return broadcast(input.t, input.lambda, (spec) => {
    const parameters = fixedNoiseParameters(input, spec.lambda);
    return (t) => fixedNoiseAt(spec, t, parameters);
  });
}

/**
 * The same at one time, which may be Infinity, for a ready-made quadrature rule. At t = Infinity the integral of 1/s
 * that appears for a flat prior at lambda = 1 diverges; `fixedNoiseLimit` handles that case.
 */
export function fixedNoiseAt(spec: Spectrum, t: number, p: FixedNoise): Record<FixedNoiseField, number> {
  const { lambda } = spec;
  const sums = { G: 0, T: 0, R: 0, V: 0, VS: 0 };
  const add = (weight: number, s: number) => {
    const a = s + p.gam;
    const remaining = decayed(a, t);
    const fitted = relaxed(a, t);
    // What is left of the teacher in this mode: gam/a + (s/a) exp(-at), in the form that does not cancel.
    const left = s === 0 ? 1 : s * fitted < 0.5 ? 1 - s * fitted : p.gam / a + (s / a) * remaining;
    const noise = p.sn2 * lambda;
    const start = p.k2 * remaining * remaining;
    const error = p.w2 * left * left + start + (s > 0 ? noise * s * fitted * fitted : 0);
    const variance = p.u0 * remaining * remaining + (p.q > 0 ? 2 * p.q * relaxed(2 * a, t) : 0);
    sums.G += weight * error;
    sums.V += weight * variance;
    if (s === 0) return;
    sums.T += weight * s * error;
    sums.VS += weight * s * variance;
    // Training residual: the unfitted part of signal and noise, both inside the column space of X.
    sums.R += weight * (s * (p.w2 * left * left + start) + noise * left * left);
  };
  for (let i = 0; i < spec.s.length; i++) add(spec.weight[i], spec.s[i]);
  if (spec.atom > 0) add(spec.atom, 0);
  // Noise outside the column space is never fitted.
  sums.R += p.sn2 * Math.max(0, 1 - lambda);
  return { ...sums, MI: fixedInformation(sums.V, p.sig2) };
}

function fixedInformation(V: number, sig2: number): number {
  return sig2 > 0 ? 0.5 * Math.log1p(V / sig2) : Number.NaN;
}

function decayed(a: number, t: number): number {
  return a > 0 ? Math.exp(-a * t) : 1;
}

/** (1 - exp(-a t))/a, which is t at a = 0. */
function relaxed(a: number, t: number): number {
  return a > 0 ? -Math.expm1(-a * t) / a : t;
}

/**
 * Limits of the fixed-noise curves as t grows. G and V are Infinity where they diverge: for a flat prior with noise, V
 * at lambda >= 1 and G at lambda = 1.
 *
 * @throws RangeError as `fixedNoise`
 */
export function fixedNoiseLimit(
  input: { lambda: number } & FixedNoiseParameters,
): Record<FixedNoiseField, number> {
  requireKeys("fixedNoiseLimit", input, ["lambda", ...FIXED_NOISE]);
  const p = fixedNoiseParameters(input, input.lambda);
  const limit = fixedNoiseAt(spectrum(input.lambda), Infinity, p);
  if (p.gam > 0 || input.lambda !== 1) return limit;
  const V = p.q > 0 ? Infinity : 0;
  return { ...limit, G: p.sn2 > 0 ? Infinity : 0, V, MI: fixedInformation(V, p.sig2) };
}
