/**
 * How the covariance of the variational Gaussian relaxes under gradient flow when it is parametrised in different
 * ways, at fixed likelihood noise. All ways share the optimum v = tau/a per mode, a = s + gam, tau = sig2/N; they differ
 * in the road to it, and with it in whether the spectral edge s_- shows. Only the standard deviation (a square root of
 * the covariance) in the eigenbasis gives the rate 2a of the rest of this library.
 */

import {
  keysOf,
  requireCount,
  requireKeys,
  requireNonNegative,
  requireOneOf,
  requirePositive,
  requirePositiveOrInfinite,
} from "../validate.ts";
import { broadcast, type Curves, type Values } from "./broadcast.ts";
import { FIXED_NOISE, type FixedNoiseParameters, fixedNoiseParameters } from "./fixed-noise.ts";
import { solveOde } from "./ode.ts";
import { average, spectrum } from "./quadrature.ts";
import { lambertWExp } from "./special.ts";

/** What is stepped: the standard deviation, log variance, log std, the variance itself, or softplus^-1 of the std. */
export type Parametrisation = "std" | "logVariance" | "logStd" | "variance" | "softplusStd";

/** Every parametrisation, by name. */
export const parametrisations = [
  "std",
  "logVariance",
  "logStd",
  "variance",
  "softplusStd",
] as const satisfies readonly Parametrisation[];

/** One mode: curvature a, tau = sig2/N and the initial variance v0. */
export interface VarianceMode {
  a: number;
  tau: number;
  v0: number;
}

/**
 * v(t) for one mode under gradient flow of a v/2 - (tau/2) log v in the chosen parameter. With tau = 0 the
 * parametrisation `variance` reaches 0 in finite time and stays there.
 */
export function modeVariance(kind: Parametrisation, { a, tau, v0 }: VarianceMode, t: number): number {
  switch (kind) {
    case "std":
      return v0 * decayed(2 * a, t) + 2 * tau * relaxed(2 * a, t);
    case "logVariance":
      return logistic(a, tau, v0, t / 2);
    case "logStd":
      return logistic(a, tau, v0, 2 * t);
    case "variance":
      return linearDescent(a, tau, v0, t);
    case "softplusStd":
      return solveOde(softplusFlow([a], tau), Float64Array.of(Math.sqrt(v0)), [t])[0][0] ** 2;
  }
}

/** v' = -v (a v - tau) after a time t. */
function logistic(a: number, tau: number, v0: number, t: number): number {
  return v0 / (decayed(tau, t) + a * v0 * relaxed(tau, t));
}

function decayed(rate: number, t: number): number {
  return rate > 0 ? Math.exp(-rate * t) : 1;
}

/** (1 - exp(-rate t))/rate. */
function relaxed(rate: number, t: number): number {
  return rate > 0 ? -Math.expm1(-rate * t) / rate : t;
}

/** v' = -(a - tau/v)/2. With r = v/v_inf and v_inf = tau/a: r + log|1 - r| decreases linearly in t. */
function linearDescent(a: number, tau: number, v0: number, t: number): number {
  if (tau === 0) return Math.max(0, v0 - (a * t) / 2);
  if (a === 0) return Math.sqrt(v0 * v0 + tau * t);
  const limit = tau / a;
  const elapsed = t / (2 * limit);
  const excess = v0 / limit - 1;
  if (excess === 0 || t === 0) return v0;
  if (excess > 0) return limit * (1 + lambertWExp(Math.log(excess) + excess - a * elapsed));
  return limit * riseTowardsOne(v0 / limit, a * elapsed);
}

/** Solve r + log(1 - r) = r0 + log(1 - r0) - elapsed for r in [r0, 1) by bisection. */
function riseTowardsOne(r0: number, elapsed: number): number {
  const target = belowOne(r0) + elapsed;
  let low = r0;
  let high = 1;
  while (true) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    if (belowOne(middle) < target) low = middle;
    else high = middle;
  }
}

/** -(r + log(1 - r)) = r^2/2 + r^3/3 + ... for 0 <= r < 1. */
function belowOne(r: number): number {
  if (r > 0.1) return -r - Math.log1p(-r);
  let power = r;
  let sum = 0;
  for (let n = 2; n <= 18; n++) {
    power *= r;
    sum += power / n;
  }
  return sum;
}

/** r' = -(a r - tau/r) (1 - exp(-r))^2 for r = softplus(rho), rho the parameter. */
function softplusFlow(a: ArrayLike<number>, tau: number) {
  return (_: number, r: Float64Array, dr: Float64Array) => {
    for (let i = 0; i < r.length; i++) dr[i] = (tau / r[i] - a[i] * r[i]) * Math.expm1(-r[i]) ** 2;
  };
}

/** Whose covariance `covarianceFlow` follows, in which parameters, and when. */
export interface CovarianceFlowInput<T extends Values, L extends Values> {
  t: T;
  lambda: L;
  parametrisation: Parametrisation;
  /**
   * `eigen`: one parameter per eigenvector of S. `original`: one per coordinate (mean field); the diagonal of S tends
   * to 1, so the spectrum is not seen at all.
   */
  basis?: "eigen" | "original";
  /** Likelihood noise; 0 by default. */
  sig2?: number;
  /** Total prior variance; Infinity, the flat prior, by default. */
  wp2?: number;
  /** Initial tr C. */
  u0: number;
  /** Dimension: all but `std` relax on time scales that depend on it. */
  d: number;
}

const COVARIANCE_FLOW = keysOf<CovarianceFlowInput<Values, Values>>({
  ...{ t: true, lambda: true, parametrisation: true, basis: true, sig2: true, wp2: true, u0: true, d: true },
});

/**
 * V = tr C and VS = tr SC for a diagonal covariance in the chosen basis. With `std` in the eigenbasis these are the V and
 * VS of `fixedNoise`. `softplusStd` has no closed form and is integrated numerically, at a cost that grows with t.
 *
 * @throws RangeError for values outside their range, and for u0 <= 0
 */
export function covarianceFlow<T extends Values, L extends Values>(
  input: CovarianceFlowInput<T, L>,
): Curves<"V" | "VS", T, L> {
  requireKeys("covarianceFlow", input, COVARIANCE_FLOW);
  const kind = requireOneOf("parametrisation", input.parametrisation, parametrisations);
  const basis = requireOneOf("basis", input.basis ?? "eigen", ["eigen", "original"]);
  const sig2 = requireNonNegative("sig2", input.sig2 ?? 0);
  const wp2 = requirePositiveOrInfinite("wp2", input.wp2 ?? Infinity);
  const u0 = requirePositive("u0", input.u0);
  const d = requireCount("d", input.d);
  return broadcast(input.t, input.lambda, (spec) => {
    const q = spec.lambda * sig2;
    const gam = q / wp2;
    const at = (a: number, t: number) => d * modeVariance(kind, { a, tau: q / d, v0: u0 / d }, t);
    return (t) => {
      if (basis === "original") {
        const V = at(1 + gam, t);
        return { V, VS: V };
      }
      if (kind !== "softplusStd") {
        return {
          V: average(spec, (s) => at(s + gam, t)),
          VS: average(spec, (s) => s * at(s + gam, t)),
        };
      }
      // All nodes in one system: they share the step size. The atom, of weight 0 for lambda <= 1, comes first.
      const a = Float64Array.from([0, ...spec.s], (s) => s + gam);
      const start = new Float64Array(a.length).fill(Math.sqrt(u0 / d));
      const r = solveOde(softplusFlow(a, q / d), start, [t])[0];
      const sums = { V: spec.atom * d * r[0] ** 2, VS: 0 };
      for (let i = 0; i < spec.s.length; i++) {
        const mass = spec.weight[i] * d * r[i + 1] ** 2;
        sums.V += mass;
        sums.VS += spec.s[i] * mass;
      }
      return sums;
    };
  });
}

/**
 * tr C relative to its start for a lower-triangular factor (Cholesky) under plain gradient flow without noise, large d:
 * the integral of f0(t; lambda x) over x in [0, 1]. Column j of the factor sees only the coordinates from j on, that is
 * a smaller problem. The exponent is that of the full square root, the prefactor smaller. At finite d the deviation
 * grows with t (about 9 % at t = 10 for d = 150).
 *
 * @throws RangeError for t < 0 or lambda <= 0
 */
export function choleskyTrace<T extends Values, L extends Values>(input: {
  t: T;
  lambda: L;
}): Curves<"V", T, L> {
  requireKeys("choleskyTrace", input, ["t", "lambda"]);
  return broadcast(input.t, input.lambda, (spec) => (t) => {
    // x = 1/(1 + exp(-u)) clusters nodes at both ends, where the integrand may be steep.
    const step = 1 / 4;
    let sum = 0;
    for (let u = -40; u <= 40; u += step) {
      const x = 1 / (1 + Math.exp(-u));
      const jacobian = x / (1 + Math.exp(u));
      sum += jacobian * average(spectrum(spec.lambda * x), (s) => Math.exp(-2 * s * t));
    }
    return { V: step * sum };
  });
}

/**
 * Natural gradient flow (the Bayesian learning rule) at rate rho, fixed noise: the negative control. Every mode decays as
 * 1/D with D = 1 + (a u0/q)(exp(rho t) - 1), q = lambda sig2, so a mode's eigenvalue only shifts its time by
 * log(1/a)/rho and the delay between training and generalisation is almost removed. Fields as in `fixedNoise`.
 *
 * @throws RangeError as `fixedNoise`, and for sig2 <= 0, u0 <= 0 or rho <= 0
 */
export function naturalGradient<T extends Values, L extends Values>(
  input: { t: T; lambda: L; rho?: number } & FixedNoiseParameters,
): Curves<"G" | "T" | "V" | "VS", T, L> {
  requireKeys("naturalGradient", input, ["t", "lambda", "rho", ...FIXED_NOISE]);
  const rho = requirePositive("rho", input.rho ?? 1);
  return broadcast(input.t, input.lambda, (spec) => {
    const p = fixedNoiseParameters(input, spec.lambda);
    requirePositive("sig2", p.sig2);
    requirePositive("u0", p.u0);
    return (t) => {
      const e = Math.exp(-rho * t);
      const grown = -Math.expm1(-rho * t);
      const variance = (s: number) => p.u0 / (e + ((s + p.gam) * p.u0 * grown) / p.q);
      const error = (s: number) => {
        const a = s + p.gam;
        const gain = (a * p.u0 * grown) / p.q;
        // A null mode of a flat prior never moves.
        if (a === 0) return p.w2 + p.k2;
        const left = e / (e + gain);
        // (1 - 1/D)/a.
        const fitted = (p.u0 * grown) / p.q / (e + gain);
        const teacher = p.gam * fitted + left;
        return p.w2 * teacher ** 2 + p.k2 * left ** 2 + p.sn2 * spec.lambda * s * fitted ** 2;
      };
      return {
        G: average(spec, error),
        T: average(spec, (s) => s * error(s)),
        V: average(spec, variance),
        VS: average(spec, (s) => s * variance(s)),
      };
    };
  });
}
