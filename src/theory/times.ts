/** When the curves of the linear model peak and when they fall below a level. */

import { requireKeys, requireNonNegative, requireOpenFraction, requirePositive } from "../validate.ts";
import { type Curves, mapLambda, type Values } from "./broadcast.ts";
import { FIXED_NOISE, type FixedNoiseParameters, fixedNoiseAt, fixedNoiseParameters } from "./fixed-noise.ts";
import {
  elboVariance,
  LEARNED_NOISE,
  type LearnedNoiseParameters,
  learnedNoiseParameters,
  residualNoiseAt,
  residualVariance,
} from "./learned-noise.ts";
import { type Spectrum, spectrum } from "./quadrature.ts";
import { crossing, firstCrossing } from "./solve.ts";
import { erf, erfinv } from "./special.ts";
import { decay } from "./spectral.ts";

/**
 * Fraction of points predicted to within eps when the error is N(0, loss): erf(eps / sqrt(2 loss)). With V in place of
 * the loss this is the accuracy the model claims for itself, without labels.
 *
 * @throws RangeError for eps <= 0 or loss < 0
 */
export function accuracy(eps: number, loss: number): number {
  requirePositive("eps", eps);
  requireNonNegative("loss", loss);
  return loss === 0 ? 1 : erf(eps / Math.sqrt(2 * loss));
}

/**
 * The loss L* = eps^2 / (2 erfinv(theta)^2) at which `accuracy(eps, L*)` is theta.
 *
 * @throws RangeError for eps <= 0 or theta outside (0, 1)
 */
export function lossThreshold(eps: number, theta: number): number {
  requirePositive("eps", eps);
  requireOpenFraction("theta", theta);
  return eps ** 2 / (2 * erfinv(theta) ** 2);
}

/**
 * Times at which G/w = f0 and T/w = f1 fall to `level` without label noise and without a prior. 0 for level >= 1;
 * Infinity where the limit lies above the level, as for f0 at lambda >= 1/(1 - level).
 *
 * @throws RangeError for level <= 0 or lambda <= 0
 */
export function times<L extends Values>(input: {
  lambda: L;
  level: number;
}): Curves<"tGen" | "tTrain", L, number> {
  requireKeys("times", input, ["lambda", "level"]);
  const level = requirePositive("level", input.level);
  return mapLambda(input.lambda, (spec) => ({
    tGen:
      level > spec.atom
        ? crossing((t) => logContinuous(spec, t, "c0") - Math.log(level - spec.atom))
        : Infinity,
    tTrain: crossing((t) => logContinuous(spec, t, "c1") - Math.log(level)),
  }));
}

/** log <s^k exp(-2st)> over the continuous part. */
function logContinuous(spec: Spectrum, t: number, moment: "c0" | "c1"): number {
  const sums = decay(spec, t);
  return sums.logScale + Math.log(sums[moment]);
}

/**
 * Times at which V peaks with learned noise and a flat prior: `residual` for sig2 = R, `elbo` for the ELBO's M-step.
 * There is at most one peak. 0 means that V falls from the start, Infinity that it rises for ever.
 *
 * @throws RangeError for lambda <= 0, w <= 0 and negative sn2 or u0
 */
export function peakTimes<L extends Values>(
  input: { lambda: L } & LearnedNoiseParameters,
): Curves<"residual" | "elbo", L, number> {
  requireKeys("peakTimes", input, ["lambda", ...LEARNED_NOISE]);
  const { w, sn2, u0 } = learnedNoiseParameters(input);
  return mapLambda(input.lambda, (spec) => {
    const { lambda } = spec;
    // V' = 0 where f2/f1, respectively f1/f0, equals these constants; both ratios decrease from their value at t = 0.
    const residual = (w + u0 - lambda * sn2) / w;
    const elbo = ((1 - lambda) * (w + u0) - lambda * sn2) / w;
    return {
      residual: ratioReaches(spec, residual, 1 + lambda, "c2", "c1"),
      elbo: lambda >= 1 ? Infinity : ratioReaches(spec, elbo, 1, "c1", "c0"),
    };
  });
}

function ratioReaches(
  spec: Spectrum,
  constant: number,
  start: number,
  numerator: "c1" | "c2",
  denominator: "c0" | "c1",
): number {
  if (constant >= start) return 0;
  if (constant <= spec.edge) return Infinity;
  return crossing((t) => {
    const sums = decay(spec, t);
    return sums[numerator] / sums[denominator] - constant;
  });
}

/**
 * Uncertainty times with learned noise and a flat prior: the first t, from the peak on, with V <= level w. Infinity
 * where V never gets there. `level` is relative to w, as in `times`.
 *
 * @throws RangeError as `peakTimes`, and for level <= 0
 */
export function collapseTimes<L extends Values>(
  input: { lambda: L; level: number } & LearnedNoiseParameters,
): Curves<"residual" | "elbo", L, number> {
  requireKeys("collapseTimes", input, ["lambda", "level", ...LEARNED_NOISE]);
  const parameters = learnedNoiseParameters(input);
  const threshold = requirePositive("level", input.level) * parameters.w;
  return mapLambda(input.lambda, (spec) => {
    const peaks = peakTimes({ ...parameters, lambda: spec.lambda });
    const collapse = (peak: number, variance: (t: number) => number) => {
      if (peak === Infinity) return Infinity;
      if (variance(peak) <= threshold) return peak;
      return peak + crossing((t) => variance(peak + t) - threshold);
    };
    return {
      residual: collapse(peaks.residual, (t) => residualVariance(spec, t, parameters)),
      elbo: collapse(peaks.elbo, (t) => elboVariance(spec, t, parameters)),
    };
  });
}

/**
 * First times at which the mean of the learned-noise model, with label noise, has G (tGen) and T (tTrain) at or below
 * `threshold`. With noise G may rise again later (overfitting).
 *
 * @throws RangeError as `peakTimes`, and for threshold <= 0
 */
export function learnedNoiseTimes(input: { lambda: number; threshold: number } & LearnedNoiseParameters): {
  tGen: number;
  tTrain: number;
} {
  requireKeys("learnedNoiseTimes", input, ["lambda", "threshold", ...LEARNED_NOISE]);
  const threshold = requirePositive("threshold", input.threshold);
  const parameters = learnedNoiseParameters(input);
  const spec = spectrum(input.lambda);
  return {
    tGen: firstCrossing((t) => residualNoiseAt(spec, t, parameters).G - threshold),
    tTrain: firstCrossing((t) => residualNoiseAt(spec, t, parameters).T - threshold),
  };
}

/**
 * First times at which the curves of the fixed-noise model are at or below `threshold`: G (tGen), T (tTrain), V (tU)
 * and VS (tUTrain). In the calibrated model tU = tGen and tUTrain = tTrain.
 *
 * @throws RangeError as `fixedNoise`, and for threshold <= 0
 */
export function fixedNoiseTimes(input: { lambda: number; threshold: number } & FixedNoiseParameters): {
  tGen: number;
  tTrain: number;
  tU: number;
  tUTrain: number;
} {
  requireKeys("fixedNoiseTimes", input, ["lambda", "threshold", ...FIXED_NOISE]);
  const threshold = requirePositive("threshold", input.threshold);
  const parameters = fixedNoiseParameters(input, input.lambda);
  const spec = spectrum(input.lambda);
  const below = (field: "G" | "T" | "V" | "VS") =>
    firstCrossing((t) => fixedNoiseAt(spec, t, parameters)[field] - threshold);
  return { tGen: below("G"), tTrain: below("T"), tU: below("V"), tUTrain: below("VS") };
}
