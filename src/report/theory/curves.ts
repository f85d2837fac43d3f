/** The asymptotic curves of a study at one lambda, each model of the noise beside the others. */
import { type FixedNoiseField, fixedNoise } from "../../theory/fixed-noise.ts";
import { elboNoise, type LearnedNoiseField, residualNoise } from "../../theory/learned-noise.ts";
import type { NoiseMode } from "../../theory/modes.ts";

export interface CurveParameters {
  /** lambda = d/N. */
  lambda: number;
  /** Which models of the likelihood noise. */
  noise: readonly NoiseMode[];
  /** Variance of the label noise, in units of the teacher's |w*|^2 = 1. */
  sn2: number;
  /** Initial tr C of the learned-noise models. */
  u0: number;
}

export type StudyCurves = {
  fixed?: Record<FixedNoiseField, number[]>;
  residual?: Record<LearnedNoiseField, number[]>;
  elbo?: Record<LearnedNoiseField, number[]>;
};

export function studyCurves({ lambda, noise, sn2, u0 }: CurveParameters, t: readonly number[]): StudyCurves {
  return {
    ...(noise.includes("fixed") && { fixed: fixedNoise({ t, lambda, sn2 }) }),
    ...(noise.includes("residual") && { residual: residualNoise({ t, lambda, sn2, u0 }) }),
    ...(noise.includes("elbo") && { elbo: elboNoise({ t, lambda, sn2, u0 }) }),
  };
}
