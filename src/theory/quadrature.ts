/**
 * Averages over the Marchenko-Pastur law: the limiting eigenvalue law of S = X'X/N for N standard normal rows of
 * length d, with lambda = d/N,
 *
 *   rho(s) = sqrt((s_+ - s)(s - s_-)) / (2 pi lambda s) on [s_-, s_+],  s_pm = (1 pm sqrt(lambda))^2,
 *
 * plus an atom of mass max(0, 1 - 1/lambda) at 0.
 *
 * With s = s_- + 4 sqrt(lambda) x^2 and x^2 = 1/(1 + exp(-2u)) the measure becomes
 * (16/pi) x^3 (1 - x^2)^(3/2) / s du on the real line, and the trapezoidal rule in u converges exponentially. For
 * |Im u| < pi/4 the real part of s stays positive, so exp(-st) is bounded there for every t, and the pole of 1/s lies
 * farther out for every lambda: one fixed set of nodes serves all times and all ratios, lambda = 1 included. All
 * weights are positive, so that even exponentially small averages keep their relative accuracy.
 */
import { requirePositive } from "../validate.ts";

/** Spacing of the nodes in u. The error is about exp(-2 pi (pi/4) / step) = 7e-18. */
const step = 1 / 8;
/** x = exp(first): far below the diffusive scale 1/sqrt(t) of any time of interest. */
const first = -60;
/** Beyond this the weights, of order exp(-3u), are below rounding. */
const last = 14;

/** Nodes and weights of the continuous part, and the atom. */
export interface Spectrum {
  readonly lambda: number;
  /** s_-, the lower edge of the continuous part. */
  readonly edge: number;
  /** s_+, the upper edge. */
  readonly upperEdge: number;
  /** Mass at s = 0. */
  readonly atom: number;
  /** Eigenvalues s_i. */
  readonly s: Float64Array;
  /** s_i - s_-, without cancellation. */
  readonly offset: Float64Array;
  /** Weights; their sum is min(1, 1/lambda). */
  readonly weight: Float64Array;
}

/**
 * The quadrature rule for one ratio lambda = d/N.
 *
 * @throws RangeError if lambda is not a finite number above 0
 */
export function spectrum(lambda: number): Spectrum {
  requirePositive("lambda", lambda);
  const root = Math.sqrt(lambda);
  // (1 - lambda) is exact near 1, where 1 - root would lose digits.
  const edge = ((1 - lambda) / (1 + root)) ** 2;
  const count = Math.round((last - first) / step) + 1;
  const s = new Float64Array(count);
  const offset = new Float64Array(count);
  const weight = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const u = first + i * step;
    const x2 = 1 / (1 + Math.exp(-2 * u));
    const rest = 1 / (1 + Math.exp(2 * u));
    offset[i] = 4 * root * x2;
    s[i] = edge + offset[i];
    weight[i] = ((16 / Math.PI) * (x2 * rest) ** 1.5 * step) / s[i];
  }
  return { lambda, edge, upperEdge: (1 + root) ** 2, atom: Math.max(0, 1 - 1 / lambda), s, offset, weight };
}

/** Integral over the continuous part. `h` gets s and s - s_-. */
export function integrate(spec: Spectrum, h: (s: number, offset: number) => number): number {
  let sum = 0;
  for (let i = 0; i < spec.s.length; i++) sum += spec.weight[i] * h(spec.s[i], spec.offset[i]);
  return sum;
}

/** Average including the atom. `h` must be defined at 0 when lambda > 1. */
export function average(spec: Spectrum, h: (s: number) => number): number {
  const continuous = integrate(spec, h);
  return spec.atom > 0 ? spec.atom * h(0) + continuous : continuous;
}
