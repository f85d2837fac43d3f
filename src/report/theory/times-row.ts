/** The times of the linear model at one lambda, as a row of a table. */
import { elboNoise, residualNoise } from "../../theory/learned-noise.ts";
import { collapseTimes, peakTimes, times } from "../../theory/times.ts";

/** Without label noise. Infinity: never. */
export interface TimesRow {
  lambda: number;
  tTrain: number;
  tGen: number;
  residual: { tPeak: number; vPeak: number | null; tU: number };
  elbo: { tPeak: number; vPeak: number | null; tU: number };
}

/** @throws RangeError for values outside their range */
export function timesRow(lambda: number, level: number, u0: number): TimesRow {
  const peaks = peakTimes({ lambda, u0 });
  const collapse = collapseTimes({ lambda, level, u0 });
  const height = (t: number, curve: typeof residualNoise) =>
    Number.isFinite(t) ? curve({ t, lambda, u0 }).V : null;
  return {
    lambda,
    ...times({ lambda, level }),
    residual: {
      tPeak: peaks.residual,
      vPeak: height(peaks.residual, residualNoise),
      tU: collapse.residual,
    },
    elbo: { tPeak: peaks.elbo, vPeak: height(peaks.elbo, elboNoise), tU: collapse.elbo },
  };
}
