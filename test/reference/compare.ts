/** How far a float32 result may be from the float64 reference, and how far it is. For tests only. */

/**
 * max |a - b| / max |b|: the error relative to the largest magnitude of the reference tensor. Rounding errors of a
 * sum scale with its largest terms, so an element-wise ratio would blow up on entries that cancel to nearly 0.
 * 0 when both are all zero, Infinity when only the reference is; NaN when either holds one, which no bound accepts.
 */
export function maxRelativeError(a: Float32Array | Float64Array, b: Float64Array): number {
  if (a.length !== b.length) throw new RangeError(`a has length ${a.length}; it must be ${b.length}, as b`);
  let error = 0;
  let magnitude = 0;
  for (let i = 0; i < b.length; i++) {
    // Math.max, unlike a comparison, lets NaN through.
    error = Math.max(error, Math.abs(a[i] - b[i]));
    magnitude = Math.max(magnitude, Math.abs(b[i]));
  }
  return error === 0 ? 0 : error / magnitude;
}

/** Unit roundoff of float32: half the gap between 1 and the next number, relative to 1. */
const UNIT_ROUNDOFF = 2 ** -24;

/** Multiple of the rounding error's standard deviation that the worst element of a tensor may reach. */
const SAFETY = 4;

/**
 * Bound on `maxRelativeError` after `stages` chained float32 reductions of at most `reductionLength` terms each:
 * 4 * sqrt(stages * n) * 2^-24.
 *
 * Rounding errors behave as independent (Higham and Mary 2019, "A new approach to probabilistic rounding error
 * analysis"): each of the n additions errs by at most u = 2^-24 of its partial sum. Partial sums grow as k with
 * terms of one sign and as sqrt(k) with random signs, and so does the result; either way the standard deviation is
 * below sqrt(n) u of the result's typical size, against n u in the worst case. Errors of successive stages add in
 * quadrature. A layer that divides by something small (LayerNorm of a nearly constant vector) is not covered.
 */
export function float32Tolerance(reductionLength: number, stages = 1): number {
  return SAFETY * Math.sqrt(stages * reductionLength) * UNIT_ROUNDOFF;
}
