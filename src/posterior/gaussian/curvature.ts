/**
 * Positive semi-definite curvature matrices H (n, n) in structured form. A Gaussian posterior has precision
 * H + delta I; everything asked of it (solves, samples, log-determinant, variances) is a function of H, so each
 * structure offers just three primitives, for any f on [0, inf). The prior precision stays outside: evidence as a
 * function of it costs no new decomposition.
 */
export interface Curvature {
  /** n */
  readonly size: number;
  /** f(H) v. */
  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array;
  /** tr f(H). */
  trace(f: (eigenvalue: number) => number): number;
  /** diag f(H). */
  diagonal(f: (eigenvalue: number) => number): Float64Array;
}

/**
 * Rounding can leave eigenvalues of a positive semi-definite matrix slightly below 0: they are set to 0.
 * @throws RangeError if one is more negative than float32 products explain, or not finite
 */
export function requireSemiDefinite(eigenvalues: Float64Array): Float64Array {
  const largest = eigenvalues.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  for (const x of eigenvalues) {
    if (!(x >= -1e-4 * largest && Number.isFinite(x))) {
      throw new RangeError(
        `eigenvalue: got ${x} with largest ${largest}, a curvature must be positive semi-definite`,
      );
    }
  }
  return eigenvalues.map((x) => Math.max(0, x));
}
