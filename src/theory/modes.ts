/**
 * The dynamics of a list of eigenmodes, shared by the asymptotic equations (modes = quadrature nodes) and by the finite
 * simulation (modes = eigenvalues of one S).
 *
 * In the mode of eigenvalue s, with a = s + gam, the error of the mean is m - w* = -b c + k m0 + z n, where c, m0 and n
 * are the components of the teacher, of the initial mean and of X'xi/N, and u is d times the variance:
 *
 *   b' = -a b + gam,  k' = -a k,  z' = 1 - a z,  u' = -2 a u + 2 lambda sig2,  gam = lambda sig2 / wp2,
 *
 * from b = k = 1, z = 0, u = u0.
 */
import { solveOde } from "./ode.ts";

/** How sig2(t) is set: constant, the training residual, or the ELBO's own maximiser. */
export type NoiseMode = "fixed" | "residual" | "elbo";

export const noiseModes = ["fixed", "residual", "elbo"] as const satisfies readonly NoiseMode[];

/** Amplitudes per mode at one time. */
export interface Amplitudes {
  b: Float64Array;
  k: Float64Array;
  z: Float64Array;
  u: Float64Array;
}

/** Sums over modes at one time; the fields are those of `fixedNoise`. */
export interface ModeSums {
  G: number;
  T: number;
  R: number;
  V: number;
  VS: number;
}

export interface ModeSystem {
  lambda: number;
  /** Eigenvalues. */
  s: Float64Array;
  u0: number;
  /** d/alpha; Infinity for a flat prior. */
  wp2: number;
  observe: (amplitudes: Amplitudes) => ModeSums;
}

export type ModeCurves = ModeSums & { MI: number; sig2: number };

/** Closed solution for a constant sig2. */
export function fixedModes(system: ModeSystem, times: readonly number[], sig2: number): ModeCurves[] {
  const { s, u0, lambda } = system;
  const q = lambda * sig2;
  const gam = q / system.wp2;
  return times.map((t) => {
    const amplitudes = emptyAmplitudes(s.length);
    for (let i = 0; i < s.length; i++) {
      const a = s[i] + gam;
      const e = Math.exp(-a * t);
      const fitted = a > 0 ? -Math.expm1(-a * t) / a : t;
      amplitudes.k[i] = e;
      amplitudes.z[i] = fitted;
      amplitudes.b[i] = a > 0 ? gam * fitted + e : 1;
      amplitudes.u[i] = u0 * e * e + q * (a > 0 ? -Math.expm1(-2 * a * t) / a : 2 * t);
    }
    return withNoise(system.observe(amplitudes), sig2);
  });
}

/** Numerical solution when sig2 follows the training residual or the ELBO. Times must not decrease. */
export function learnedModes(
  system: ModeSystem,
  times: readonly number[],
  mode: "residual" | "elbo",
  tolerance: number,
): ModeCurves[] {
  const { s, lambda, wp2 } = system;
  const count = s.length;
  const start = new Float64Array(4 * count);
  start.fill(1, 0, 2 * count).fill(system.u0, 3 * count);
  const learned = (sums: ModeSums) => (mode === "residual" ? sums.R : sums.R + sums.VS);
  const states = solveOde(
    (_, y, dy) => {
      const now = split(y);
      const change = split(dy);
      const q = lambda * learned(system.observe(now));
      const gam = q / wp2;
      for (let i = 0; i < count; i++) {
        const a = s[i] + gam;
        change.b[i] = gam - a * now.b[i];
        change.k[i] = -a * now.k[i];
        change.z[i] = 1 - a * now.z[i];
        change.u[i] = 2 * (q - a * now.u[i]);
      }
    },
    start,
    times,
    tolerance,
  );
  return states.map((state) => {
    const sums = system.observe(split(state));
    return withNoise(sums, learned(sums));
  });
}

/** Add sig2 and MI = log(1 + V/sig2)/2, which is NaN for sig2 = 0. */
export function withNoise(sums: ModeSums, sig2: number): ModeCurves {
  return { ...sums, sig2, MI: sig2 > 0 ? 0.5 * Math.log1p(sums.V / sig2) : Number.NaN };
}

/** Views of the four quarters of one state vector. */
function split(state: Float64Array): Amplitudes {
  const n = state.length / 4;
  return {
    b: state.subarray(0, n),
    k: state.subarray(n, 2 * n),
    z: state.subarray(2 * n, 3 * n),
    u: state.subarray(3 * n),
  };
}

function emptyAmplitudes(count: number): Amplitudes {
  return split(new Float64Array(4 * count));
}
