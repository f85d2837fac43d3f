/** The curves of a study once more, from regressions that are trained by gradient descent. */
import type { MathMode } from "../../core/module.ts";
import { fixedNoise } from "../../theory/fixed-noise.ts";
import { logSpaced } from "../../theory/grid.ts";
import { elboNoise, residualNoise } from "../../theory/learned-noise.ts";
import type { NoiseMode } from "../../theory/modes.ts";
import { trainRegression } from "../../theory/regression.ts";
import type { Simulation } from "../../theory/simulate.ts";
import { maxStepSize } from "../../theory/spectral.ts";
import type { CurveParameters } from "./curves.ts";

export interface TrainOptions {
  /** Dimension; the cost grows like its cube. */
  d: number;
  draws: number;
  seed: number;
  math?: MathMode;
}

export interface Trained extends TrainOptions {
  runs: Partial<Record<NoiseMode, Simulation>>;
}

const firstTime = 0.15;
const lastTime = 100;
/** The discretisation error of step k is about eta_k / (2 t_k): this is twice its bound. */
const relativeStep = 0.02;
/** Steps that may be spent on the first interval, where the initial variance grows fastest. */
const mostFirstSteps = 2000;
/**
 * V/sig2 = 10^4, in nats. Float32 resolves the covariance's factor up to 10^9 or so: the margin is for draws whose
 * smallest eigenvalue lies above the limit's, in which sig2 falls faster.
 */
const largestInformation = 0.5 * Math.log1p(1e4);

/**
 * Train every noise model of a study up to t = 100. Times at which a learned noise has become too small for float32 are
 * left out, and so is learned noise with u0 = 0: the factor's gradient does not exist at a singular covariance.
 *
 * @throws as `trainRegression`
 */
export async function trainStudy(
  { parameters, t }: { parameters: CurveParameters; t: readonly number[] },
  options: TrainOptions,
): Promise<Trained> {
  const { lambda, noise, sn2, u0 } = parameters;
  const runs: Trained["runs"] = {};
  const grid = logSpaced(firstTime, Math.min(lastTime, t[t.length - 1]), 12);
  const largestStep = maxStepSize(lambda, lambda * sn2) / 4;
  for (const noiseModel of noise) {
    if (noiseModel !== "fixed" && u0 === 0) continue;
    const times = grid.filter((time) => information(noiseModel, time, lambda, sn2, u0) < largestInformation);
    // The covariance changes by 2 lambda sig2 per unit of time, at first from u0, and sig2 is at most 1 + sn2 + u0.
    const first = Math.max(firstTime / mostFirstSteps, u0 / (10 * lambda * (1 + sn2 + u0)));
    runs[noiseModel] = await trainRegression({
      ...options,
      lambda,
      noiseModel,
      sn2,
      ...(noiseModel === "fixed" ? {} : { u0 }),
      times,
      eta: times.map((time, i) =>
        Math.min(largestStep, relativeStep * time, ...(i === 0 && noiseModel !== "fixed" ? [first] : [])),
      ),
    });
  }
  return { ...options, runs };
}

/** MI of the limit; 0 where it is not defined. */
function information(noise: NoiseMode, t: number, lambda: number, sn2: number, u0: number): number {
  if (noise === "fixed") return sn2 > 0 ? fixedNoise({ t, lambda, sn2 }).MI : 0;
  return (noise === "residual" ? residualNoise : elboNoise)({ t, lambda, sn2, u0 }).MI;
}
