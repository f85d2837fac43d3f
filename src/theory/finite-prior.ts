/** Learned noise with a finite prior, where no closed form exists: the asymptotic mode equations, integrated. */

import {
  keysOf,
  requireKeys,
  requireList,
  requireNonNegative,
  requireOneOf,
  requirePositive,
  requirePositiveOrInfinite,
} from "../validate.ts";
import { learnedModes, type ModeCurves, type ModeSystem } from "./modes.ts";
import { spectrum } from "./quadrature.ts";

/** The model of `finitePrior`: learned noise and a prior of finite variance. */
export interface FinitePriorInput {
  /** Times in non-decreasing order. */
  t: readonly number[];
  lambda: number;
  /** `residual`: sig2 = R. `elbo`: sig2 = R + tr SC. */
  noise: "residual" | "elbo";
  /** |w*|^2; 1 by default. */
  w2?: number;
  /** E|m(0)|^2; 0 by default. */
  k2?: number;
  /** Variance of the label noise; 0 by default. */
  sn2?: number;
  /** Total prior variance d/alpha; `w2` by default; Infinity for a flat prior. */
  wp2?: number;
  /** Initial tr C. */
  u0: number;
  /** Local error per step, relative; 1e-10 by default. */
  tolerance?: number;
}

const FINITE_PRIOR = keysOf<FinitePriorInput>({
  ...{ t: true, lambda: true, noise: true, w2: true, k2: true, sn2: true, wp2: true, u0: true },
  tolerance: true,
});

/** Modes lighter than this share of the total are left out: they would only cost time. */
const negligible = 1e-20;

/**
 * G, T, R, V, VS, MI and sig2 at each time, in the limit of large d at fixed lambda. The work grows like the largest t.
 *
 * @throws RangeError for values outside their range and for times that decrease
 */
export function finitePrior(input: FinitePriorInput): Record<keyof ModeCurves, number[]> {
  requireKeys("finitePrior", input, FINITE_PRIOR);
  requireList("t", input.t);
  const noise = requireOneOf("noise", input.noise, ["residual", "elbo"]);
  const w2 = requireNonNegative("w2", input.w2 ?? 1);
  const k2 = requireNonNegative("k2", input.k2 ?? 0);
  requirePositive("w2 + k2", w2 + k2);
  const sn2 = requireNonNegative("sn2", input.sn2 ?? 0);
  const wp2 = requirePositiveOrInfinite("wp2", input.wp2 ?? w2);
  const u0 = requireNonNegative("u0", input.u0);
  const tolerance = requirePositive("tolerance", input.tolerance ?? 1e-10);
  const system = asymptoticSystem({ lambda: input.lambda, w2, k2, sn2, wp2, u0 });
  const rows = learnedModes(system, input.t, noise, tolerance);
  const fields = ["G", "T", "R", "V", "VS", "MI", "sig2"] as const;
  return Object.fromEntries(fields.map((field) => [field, rows.map((row) => row[field])])) as Record<
    keyof ModeCurves,
    number[]
  >;
}

interface Averages {
  lambda: number;
  w2: number;
  k2: number;
  sn2: number;
  wp2: number;
  u0: number;
}

/** Quadrature nodes as modes, averaged over teacher, initial mean and label noise. */
function asymptoticSystem({ lambda, w2, k2, sn2, wp2, u0 }: Averages): ModeSystem {
  const spec = spectrum(lambda);
  const kept = [...spec.s.keys()].filter((i) => spec.weight[i] > negligible);
  const zero = spec.atom > 0 ? [0] : [];
  const s = Float64Array.from([...zero, ...kept.map((i) => spec.s[i])]);
  const weight = Float64Array.from([...zero.map(() => spec.atom), ...kept.map((i) => spec.weight[i])]);
  const outside = sn2 * Math.max(0, 1 - lambda);
  return {
    lambda,
    s,
    u0,
    wp2,
    observe: ({ b, k, z, u }) => {
      const sums = { G: 0, T: 0, R: outside, V: 0, VS: 0 };
      for (let i = 0; i < s.length; i++) {
        const signal = w2 * b[i] * b[i] + k2 * k[i] * k[i];
        const error = signal + sn2 * lambda * s[i] * z[i] * z[i];
        sums.G += weight[i] * error;
        sums.T += weight[i] * s[i] * error;
        sums.V += weight[i] * u[i];
        sums.VS += weight[i] * s[i] * u[i];
        if (s[i] === 0) continue;
        const unfitted = 1 - s[i] * z[i];
        sums.R += weight[i] * (s[i] * signal + sn2 * lambda * unfitted * unfitted);
      }
      return sums;
    },
  };
}
