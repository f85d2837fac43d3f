import { requireCount, requireFunction, requireObject, requireTypedArray } from "../../validate.ts";

/**
 * Positive semi-definite curvature matrices H (n, n) in structured form. A Gaussian posterior has precision
 * H + delta I; everything asked of it (solves, samples, log-determinant, variances) is a function of H, so each
 * structure offers just three primitives, for any f on [0, inf). The prior precision stays outside: evidence as a
 * function of it costs no new decomposition.
 */
export interface Curvature {
  /** n */
  readonly size: number;
  /** Smallest eigenvalue that the arithmetic behind H tells from 0: those below count as 0. */
  readonly resolution: number;
  /** f(H) v. */
  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array;
  /** tr f(H). */
  trace(f: (eigenvalue: number) => number): number;
  /** diag f(H). */
  diagonal(f: (eigenvalue: number) => number): Float64Array;
  /**
   * H + D for the diagonal matrix D of `prior` (n), as what functions can be taken of.
   * @throws RangeError for a prior with which the structure is lost
   */
  whitened(prior: Float64Array): Whitened;
  /** The block of H on a range, where H does not couple it to the rest; null where it may. */
  part(offset: number, length: number): Curvature | null;
}

/** H + D = b^(1/2) (H~ + I) b^(1/2), with b diagonal. */
export interface Whitened {
  /** b (n) */
  base: Float64Array;
  /** H~ */
  curvature: Curvature;
}

/** @throws RangeError for what is none */
export function requireStructure(curvature: Curvature): void {
  requireCount("curvature.size", requireObject("curvature", curvature).size);
  for (const method of ["apply", "trace", "diagonal", "whitened", "part"] as const)
    requireFunction(`curvature.${method}`, curvature[method]);
}

/** The whole, or null: of a matrix that has no independent parts. */
export function onlyWhole(curvature: Curvature, offset: number, length: number): Curvature | null {
  return offset === 0 && length === curvature.size ? curvature : null;
}

/** More negative than products in float32 explain, as a fraction of the largest. */
const INDEFINITE = -1e-4;

/** @throws RangeError unless it is finite, and not more negative than rounding explains where the largest is `largest` */
export function requireNotNegative(eigenvalue: number, largest: number): void {
  if (!(eigenvalue >= INDEFINITE * largest && Number.isFinite(eigenvalue)))
    throw new RangeError(
      `eigenvalue: got ${eigenvalue} with largest ${largest}, a curvature must be positive semi-definite`,
    );
}

/**
 * Rounding leaves eigenvalues slightly off, those that are 0 on either side of it: what it explains is set to 0.
 * @param noise what rounding may leave of 0, as a fraction of the largest; 0, where they stand each for itself, clears
 *   the negative ones only
 * @throws RangeError if one is more negative than float32 products explain, or not finite
 */
export function requireSemiDefinite(eigenvalues: Float64Array, noise = 0): Float64Array {
  requireTypedArray("eigenvalues", eigenvalues, "Float64Array");
  const largest = largestOf(eigenvalues);
  for (const x of eigenvalues) requireNotNegative(x, largest);
  return eigenvalues.map((x) => (x > noise * largest ? x : 0));
}

/** Largest magnitude. */
export function largestOf(eigenvalues: Float64Array): number {
  return eigenvalues.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
}
