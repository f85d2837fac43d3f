/** The curves and times of a study once more, from finite-size draws. */
import { logSpaced } from "../../theory/grid.ts";
import type { NoiseMode } from "../../theory/modes.ts";
import { type Simulation, sampleSpectra, simulate } from "../../theory/simulate.ts";
import type { CurveParameters } from "./curves.ts";

export interface SimulationSize {
  /** Dimension. */
  d: number;
  draws: number;
  seed: number;
}

/** Mean and standard deviation over draws. */
export interface Measured {
  mean: number;
  sd: number;
}

/** Simulated counterparts of a table row; null where not every draw has arrived by the end of the simulated time. */
export interface SimulatedRow {
  lambda: number;
  tTrain: Measured | null;
  tGen: Measured | null;
  tU: Measured | null;
  /** lambda g(t), in the order of the times asked for. */
  noiseVariance: Measured[];
}

/** Explicit integration costs time in proportion to this. */
const lastTime = 1000;

export function simulateCurves(
  { lambda, noise, sn2, u0 }: CurveParameters,
  t: readonly number[],
  { d, draws, seed }: SimulationSize,
): Partial<Record<NoiseMode, Simulation>> {
  const N = Math.max(1, Math.round(d / lambda));
  const shared = {
    d,
    N,
    t: logSpaced(0.1, Math.min(lastTime, t[t.length - 1]), 13),
    sn2,
    draws,
    seed,
    spectra: sampleSpectra({ d, N, draws, seed }),
    tolerance: 1e-6,
  };
  return Object.fromEntries(
    noise.map((mode) => [mode, simulate({ ...shared, noise: mode, ...(mode === "fixed" ? {} : { u0 }) })]),
  );
}

/** When curves with residual noise and without label noise arrive at the level, at the lambda nearest to `ratio`. */
export function simulateRow(
  ratio: number,
  { d, draws, seed }: SimulationSize,
  {
    level,
    u0,
    firstTime,
    noiseTimes,
  }: { level: number; u0: number; firstTime: number; noiseTimes: number[] },
): SimulatedRow {
  const N = Math.max(1, Math.round(d / ratio));
  const spectra = sampleSpectra({ d, N, draws, seed });
  const t = logSpaced(firstTime, lastTime / 2, 120);
  const run = simulate({ d, N, t, noise: "residual", u0, draws, seed, spectra, tolerance: 1e-6 });
  const arrival = (field: "T" | "G" | "V") => {
    const arrivals = run.draws.map((draw) => lastFallBelow(t, draw[field], level));
    return arrivals.every(Number.isFinite) ? measured(arrivals) : null;
  };
  return {
    lambda: d / N,
    tTrain: arrival("T"),
    tGen: arrival("G"),
    tU: arrival("V"),
    noiseVariance: noiseTimes.map((time) =>
      measured(spectra.map((s) => s.reduce((sum, value) => sum + fittedNoise(value, time), 0) / N)),
    ),
  };
}

/** Standard deviation with n - 1 in the denominator; 0 for a single value. */
export function measured(values: readonly number[]): Measured {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** (1 - exp(-s t))^2 / s. */
function fittedNoise(s: number, t: number): number {
  return s > 0 ? Math.expm1(-s * t) ** 2 / s : 0;
}

/** The time from which on a sampled curve stays at or below the level, interpolated in log t and log value. */
function lastFallBelow(t: number[], values: number[], level: number): number {
  const above = values.findLastIndex((value) => value > level);
  if (above === values.length - 1) return Infinity;
  if (above < 0) return 0;
  const [low, high] = [values[above], values[above + 1]];
  const share = Math.log(low / level) / Math.log(low / high);
  return t[above] * (t[above + 1] / t[above]) ** share;
}
