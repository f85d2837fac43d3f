/**
 * The Bayesian linear model with a flat prior and a learned noise variance, exact for all t and lambda.
 *
 * Residual noise: sig2(t) is the training residual R(t), a plug-in estimate. ELBO noise: sig2(t) = R + tr SC, the exact
 * maximiser of the ELBO over sig2 at every moment. Without a prior the mean does not depend on sig2, so G, T and R are
 * the same in both; only the covariance differs. Its flow u' = -2 s u + 2 lambda sig2(t) closes in Laplace space
 * because the Stieltjes transform of the Marchenko-Pastur law solves a quadratic equation.
 *
 * Notation: w = |w*|^2 + E|m(0)|^2, u0 = tr C(0), W = w + u0.
 */

import { keysOf, requireKeys, requireNonNegative, requirePositive } from "../validate.ts";
import { broadcast, type Curves, type Values } from "./broadcast.ts";
import { integrate, type Spectrum } from "./quadrature.ts";
import { integralF, lost, noiseGain } from "./spectral.ts";

/** Teacher, label noise and initial covariance of a model that learns its noise. */
export interface LearnedNoiseParameters {
  /** |w*|^2 + E|m(0)|^2; 1 by default. */
  w?: number;
  /** Variance of the label noise; 0 by default. */
  sn2?: number;
  /** Initial tr C. */
  u0: number;
}

export const LEARNED_NOISE = keysOf<LearnedNoiseParameters>({ w: true, sn2: true, u0: true });

export type LearnedNoise = Required<LearnedNoiseParameters>;

/** The curves of `residualNoise` and `elboNoise`, which say what each is. */
export type LearnedNoiseField = "G" | "T" | "R" | "V" | "VS" | "MI" | "sig2";

export function learnedNoiseParameters(parameters: LearnedNoiseParameters): LearnedNoise {
  return {
    w: requirePositive("w", parameters.w ?? 1),
    sn2: requireNonNegative("sn2", parameters.sn2 ?? 0),
    u0: requireNonNegative("u0", parameters.u0),
  };
}

/**
 * Curves with sig2(t) = R(t), the training residual.
 *
 * G, T, R, V, VS as in `fixedNoise`, sig2 = R, and MI = log(1 + V/sig2)/2 in nats. V + R = sn2 + W f0; for u0 = sn2 = 0
 * V = G - T, the generalisation gap. For lambda >= 1 R falls to 0 and MI grows without bound. Where exponentials
 * underflow, V and R are 0 but MI keeps its value.
 *
 * @throws RangeError for t < 0, lambda <= 0, w <= 0 and negative sn2 or u0
 */
export function residualNoise<T extends Values, L extends Values>(
  input: { t: T; lambda: L } & LearnedNoiseParameters,
): Curves<LearnedNoiseField, T, L> {
  requireKeys("residualNoise", input, ["t", "lambda", ...LEARNED_NOISE]);
  const parameters = learnedNoiseParameters(input);
  return broadcast(input.t, input.lambda, (spec) => (t) => residualNoiseAt(spec, t, parameters));
}

/**
 * Curves with sig2(t) = R + tr SC = sn2 + W f0, the exact M-step of the ELBO. Fields as in `residualNoise`. For
 * lambda >= 1 V never falls.
 *
 * @throws RangeError as `residualNoise`
 */
export function elboNoise<T extends Values, L extends Values>(
  input: { t: T; lambda: L } & LearnedNoiseParameters,
): Curves<LearnedNoiseField, T, L> {
  requireKeys("elboNoise", input, ["t", "lambda", ...LEARNED_NOISE]);
  const parameters = learnedNoiseParameters(input);
  return broadcast(input.t, input.lambda, (spec) => (t) => elboNoiseAt(spec, t, parameters));
}

export function residualNoiseAt(
  spec: Spectrum,
  t: number,
  p: LearnedNoise,
): Record<LearnedNoiseField, number> {
  const { lambda } = spec;
  const mean = meanCurves(spec, t, p);
  const V = residualVariance(spec, t, p);
  const VS =
    p.u0 * mean.f1 +
    p.w * vanishing(spec, t, 0, (s) => s * (1 + lambda - s)) +
    p.sn2 * lambda * vanishing(spec, t, Math.max(0, 1 - lambda), (s) => lambda - s);
  return {
    ...mean.curves,
    V,
    VS,
    sig2: mean.curves.R,
    MI: residualInformation(spec, t, p, V, mean.curves.R),
  };
}

function elboNoiseAt(spec: Spectrum, t: number, p: LearnedNoise): Record<LearnedNoiseField, number> {
  const mean = meanCurves(spec, t, p);
  const sig2 = p.sn2 + p.u0 * mean.f0 + p.w * mean.f0;
  const VS = p.sn2 * spec.lambda * mean.lost + p.u0 * mean.f0 + p.w * mean.gap;
  const V = elboVariance(spec, t, p);
  return { ...mean.curves, V, VS, sig2, MI: elboInformation(spec, t, p, V, sig2) };
}

interface MeanCurves {
  f0: number;
  f1: number;
  /** 1 - f0. */
  lost: number;
  /** f0 - f1. */
  gap: number;
  curves: { G: number; T: number; R: number };
}

/** What depends on the mean m(t) only. */
function meanCurves(spec: Spectrum, t: number, p: LearnedNoise): MeanCurves {
  const { lambda, atom } = spec;
  const f0c = integrate(spec, (s) => Math.exp(-2 * s * t));
  const f1 = integrate(spec, (s) => s * Math.exp(-2 * s * t));
  const fittedNoise = integrate(spec, (s) => Math.expm1(-s * t) ** 2);
  return {
    f0: atom + f0c,
    f1,
    lost: lost(spec, t),
    gap: vanishing(spec, t, atom, (s) => 1 - s),
    curves: {
      G: p.w * (atom + f0c) + lambda * p.sn2 * noiseGain(spec, t),
      T: p.w * f1 + lambda * p.sn2 * fittedNoise,
      R: p.w * f1 + p.sn2 * (Math.max(0, 1 - lambda) + lambda * f0c),
    },
  };
}

/** Times at which all exponentials are still close to 1. */
function early(spec: Spectrum, t: number): boolean {
  return 2 * spec.upperEdge * t < 1;
}

/**
 * constant + <p(s) exp(-2st)> over the continuous part, for p and constant such that it is 0 at t = 0. Early on the
 * cancellation is done in the integrand.
 */
function vanishing(spec: Spectrum, t: number, constant: number, p: (s: number) => number): number {
  return early(spec, t)
    ? integrate(spec, (s) => p(s) * Math.expm1(-2 * s * t))
    : constant + integrate(spec, (s) => p(s) * Math.exp(-2 * s * t));
}

/** V = W f0 - w f1 + lambda sn2 (1 - f0), as a sum of non-negative terms. */
export function residualVariance(spec: Spectrum, t: number, p: LearnedNoise): number {
  const gap = vanishing(spec, t, spec.atom, (s) => 1 - s);
  const away = lost(spec, t);
  const f0 = spec.atom + integrate(spec, (s) => Math.exp(-2 * s * t));
  return p.u0 * f0 + p.w * gap + p.sn2 * spec.lambda * away;
}

/**
 * V = W - w f0 - 2 [(1 - lambda) W - lambda sn2] F. For lambda < 1 this loses its digits once V << W, so an equivalent
 * form takes over in which the constants have cancelled.
 */
export function elboVariance(spec: Spectrum, t: number, p: LearnedNoise): number {
  const { lambda } = spec;
  const W = p.w + p.u0;
  const F = integralF(spec, t);
  const noise = 2 * lambda * p.sn2 * F;
  if (lambda >= 1 || t < 1) return p.u0 + p.w * lost(spec, t) - 2 * (1 - lambda) * W * F + noise;
  return noise + integrate(spec, (s) => (((1 - lambda) * W) / s - p.w) * Math.exp(-2 * s * t));
}

/** log(1 + V/R)/2 with the common decay exp(-2 s_- t) taken out of what would underflow. */
function residualInformation(spec: Spectrum, t: number, p: LearnedNoise, V: number, R: number): number {
  const { lambda, edge } = spec;
  if (early(spec, t) || (p.sn2 > 0 && lambda < 1)) return 0.5 * Math.log1p(V / R);
  const residual = integrate(spec, (s, offset) => (p.w * s + p.sn2 * lambda) * Math.exp(-2 * offset * t));
  if (lambda > 1) return halfLog1pExp(Math.log(V) - Math.log(residual) + 2 * edge * t);
  const variance = integrate(spec, (s, offset) => (p.u0 + p.w * (1 - s)) * Math.exp(-2 * offset * t));
  const noise = p.sn2 * lambda * lost(spec, t);
  return 0.5 * Math.log1p((variance + noise) / residual);
}

/** As `residualInformation`, for sig2 = sn2 + W f0, which vanishes only for lambda <= 1 and sn2 = 0. */
function elboInformation(spec: Spectrum, t: number, p: LearnedNoise, V: number, sig2: number): number {
  const { lambda } = spec;
  if (p.sn2 > 0 || lambda >= 1 || t < 1) return 0.5 * Math.log1p(V / sig2);
  const W = p.w + p.u0;
  const variance = integrate(spec, (s, offset) => (((1 - lambda) * W) / s - p.w) * Math.exp(-2 * offset * t));
  return 0.5 * Math.log1p(variance / (W * integrate(spec, (_, offset) => Math.exp(-2 * offset * t))));
}

/** log(1 + exp(x))/2. */
function halfLog1pExp(x: number): number {
  return 0.5 * (Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))));
}
