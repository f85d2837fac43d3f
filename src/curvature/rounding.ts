/** What rounding leaves of the eigenvalues of a matrix: below it nothing is known, and scaling by N does not change that. */
import type { PredictiveModel } from "./model.ts";

/** Half the gap between 1 and the next number. */
const UNIT_ROUNDOFF = { float32: 2 ** -24, float64: 2 ** -53 } as const;

/** Of the arithmetic of a model. */
export function unitRoundoff(model: PredictiveModel): number {
  return model.getParameters() instanceof Float32Array ? UNIT_ROUNDOFF.float32 : UNIT_ROUNDOFF.float64;
}

/**
 * What may be left of an eigenvalue 0 of a symmetric matrix (size, size), as a fraction of the largest: 4 sqrt(size) u.
 * Rounding errors of its elements are about as independent, and the spectrum of such a matrix reaches as far as twice the
 * root of its size (Wigner's semicircle).
 */
export function spectralNoise(size: number, roundoff: number = UNIT_ROUNDOFF.float64): number {
  return 4 * Math.sqrt(size) * roundoff;
}
