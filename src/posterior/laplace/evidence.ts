/**
 * The Laplace approximation of the log evidence with the prior N(0, I / delta) on the n parameters theta:
 * log p(D | theta*) - 1/2 [ log |H + delta I| - n log delta + delta |theta*|^2 ].
 * H is the curvature of -log p(D | theta), the sum over all N terms. Training with decoupled weight decay is not MAP
 * training under this prior; the formula treats the checkpoint as if it were the mode.
 */

import { requireFinite, requireNonNegative, requireObject } from "../../validate.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { Gaussian, requirePriorPrecision } from "../gaussian/gaussian.ts";

/** What a fitted approximation says of the evidence. */
export interface LaplaceEvidence {
  /** Log evidence, nats. */
  logMarginalLikelihood: number;
  /** delta of the prior N(0, I / delta); of several the geometric mean over the parameters. */
  priorPrecision: number;
  /** By the name of the layer or block; absent where it is the same for all, or each parameter has its own. */
  priorPrecisions?: Readonly<Record<string, number>>;
  effectiveParameters: number;
  /** Smallest eigenvalue of the curvature that the arithmetic tells from 0. Absent in earlier records. */
  resolution?: number;
  /** What speaks against these numbers, in words; empty where nothing does. Absent in earlier records. */
  warnings?: readonly string[];
}

export interface EvidenceTerms {
  curvature: Curvature;
  /** log p(D | theta*), nats. */
  logLikelihood: number;
  /** |theta*|^2 over the parameters that the posterior covers. */
  squaredNorm: number;
}

function requireTerms(terms: Pick<EvidenceTerms, "curvature" | "squaredNorm">, priorPrecision: number): void {
  requireNonNegative("squaredNorm", requireObject("terms", terms).squaredNorm);
  requirePriorPrecision("priorPrecision", priorPrecision);
}

/** @throws RangeError unless the prior precision is positive */
export function logEvidence(terms: EvidenceTerms, priorPrecision: number): number {
  requireTerms(terms, priorPrecision);
  const { curvature, logLikelihood, squaredNorm } = terms;
  requireFinite("logLikelihood", logLikelihood);
  const gaussian = new Gaussian(curvature, priorPrecision);
  const occam =
    gaussian.logDeterminant() - curvature.size * Math.log(priorPrecision) + priorPrecision * squaredNorm;
  return logLikelihood - occam / 2;
}

/** Its derivative with respect to log delta: (effective parameters - delta |theta*|^2) / 2. */
export function logEvidenceSlope(terms: EvidenceTerms, priorPrecision: number): number {
  requireTerms(terms, priorPrecision);
  const { curvature, squaredNorm } = terms;
  const gaussian = new Gaussian(curvature, priorPrecision);
  return (gaussian.effectiveParameters() - priorPrecision * squaredNorm) / 2;
}

/** Prior precisions between which the evidence is maximised. */
export const PRIOR_PRECISION_RANGE = [1e-10, 1e10] as const;

/**
 * The prior precision of largest evidence. The effective number of parameters falls with delta and delta |theta*|^2
 * rises, so the slope changes sign once at most and bisection in log delta finds the only maximum; without a change of
 * sign it is the end of the range, 1e-10 or 1e10: there the evidence has no maximum, and the number is none of its.
 */
export function maximiseEvidence(terms: EvidenceTerms): number {
  requireNonNegative("squaredNorm", requireObject("terms", terms).squaredNorm);
  let [low, high] = PRIOR_PRECISION_RANGE.map(Math.log);
  while (high - low > 1e-9) {
    const middle = (low + high) / 2;
    if (logEvidenceSlope(terms, Math.exp(middle)) > 0) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}
