/** Everything one report on the linear model shows: curves and times at one lambda, a table over lambda, simulations. */

import type { Bridge } from "../analysis/bridge.ts";
import {
  requireCount,
  requireNonNegative,
  requireOneOf,
  requireOpenFraction,
  requirePositive,
} from "../validate.ts";
import { delayAsymptote, informationLimit, informationPlateau } from "./asymptotics.ts";
import { type FixedNoiseField, fixedNoise } from "./fixed-noise.ts";
import { labelNoiseVariance } from "./lambda-view.ts";
import { elboNoise, type LearnedNoiseField, residualNoise } from "./learned-noise.ts";
import { type NoiseMode, noiseModes } from "./modes.ts";
import { type Simulation, sampleSpectra, simulate } from "./simulate.ts";
import { collapseTimes, lossThreshold, peakTimes, times } from "./times.ts";
import type { Trained } from "./trained.ts";

export interface StudyOptions {
  /** lambda = d/N of the curves; 0.9 by default. */
  lambda?: number;
  /** Which models of the likelihood noise; all three by default. */
  noise?: readonly NoiseMode[];
  /** Variance of the label noise, in units of the teacher's |w*|^2 = 1; 1e-4 by default. */
  sn2?: number;
  /** Initial tr C of the learned-noise models; 0.01 by default. */
  u0?: number;
  /** Loss at which a curve counts as having arrived; 0.01 by default. */
  level?: number;
  /** Accuracy that this loss stands for, which fixes the tolerance eps of a correct prediction; 0.95 by default. */
  theta?: number;
  /** Size, draws and seed of the simulations; none if absent. */
  simulation?: { d: number; draws: number; seed: number };
}

/** Times at one lambda, without label noise. */
export interface StudyRow {
  lambda: number;
  tTrain: number;
  tGen: number;
  residual: { tPeak: number; vPeak: number | null; tU: number };
  elbo: { tPeak: number; vPeak: number | null; tU: number };
}

/** Mean and standard deviation over draws at one lambda. */
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
  /** lambda g(t), in the order of `noiseTimes`. */
  noiseVariance: Measured[];
}

export interface Study {
  parameters: Required<Omit<StudyOptions, "simulation">> & {
    eps: number;
    d?: number;
    draws?: number;
    seed?: number;
  };
  /** `noiseLevel`: when the noise-free curves pass the level sn2. */
  times: StudyRow & { noiseLevel: { tTrain: number; tGen: number } | null };
  asymptotics: { delay: number; informationPlateau: number; informationLimit: number };
  t: number[];
  curves: {
    fixed?: Record<FixedNoiseField, number[]>;
    residual?: Record<LearnedNoiseField, number[]>;
    elbo?: Record<LearnedNoiseField, number[]>;
  };
  table: StudyRow[];
  /** Label-noise variance over lambda at several times, for sn2 = 1. */
  lambdaView: { t: number; lambda: number[]; V: number[] }[];
  simulation?: { runs: Partial<Record<NoiseMode, Simulation>>; overLambda: SimulatedRow[] };
  /** The same curves from regressions trained by gradient descent. */
  trained?: Trained;
  /** Runs of transformers beside the linear model. */
  bridge?: Bridge;
}

/** Times at which the label-noise variance is shown over lambda. */
export const noiseTimes = [3, 10, 30, 100];
const tableLambdas = [0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 1, 1.005, 1.5, 3];
const simulatedLambdas = [0.2, 0.4, 0.6, 0.8, 0.9, 1.3, 2];
const firstTime = 0.05;
/** Explicit integration of the simulations costs time in proportion to this. */
const lastSimulatedTime = 1000;

/**
 * Compute a study.
 *
 * @throws RangeError for values outside their range
 */
export function study(options: StudyOptions = {}): Study {
  const lambda = requirePositive("lambda", options.lambda ?? 0.9);
  const noise = (options.noise ?? noiseModes).map((mode) => requireOneOf("noise", mode, noiseModes));
  const sn2 = requireNonNegative("sn2", options.sn2 ?? 1e-4);
  const u0 = requireNonNegative("u0", options.u0 ?? 0.01);
  const level = requireOpenFraction("level", options.level ?? 0.01);
  const theta = requireOpenFraction("theta", options.theta ?? 0.95);
  const row = studyRow(lambda, level, u0);
  const noiseLevel = sn2 > 0 ? times({ lambda, level: sn2 }) : null;
  const t = logSpaced(
    firstTime,
    lastTime([row.tTrain, row.tGen, row.elbo.tU, noiseLevel?.tTrain ?? 0, noiseLevel?.tGen ?? 0]),
    160,
  );
  const curves: Study["curves"] = {};
  if (noise.includes("fixed")) curves.fixed = fixedNoise({ t, lambda, sn2 });
  if (noise.includes("residual")) curves.residual = residualNoise({ t, lambda, sn2, u0 });
  if (noise.includes("elbo")) curves.elbo = elboNoise({ t, lambda, sn2, u0 });
  const result: Study = {
    parameters: { lambda, noise, sn2, u0, level, theta, eps: Math.sqrt(level / lossThreshold(1, theta)) },
    times: { ...row, noiseLevel },
    asymptotics: {
      delay: delayAsymptote(lambda),
      informationPlateau: informationPlateau(lambda),
      informationLimit: informationLimit(lambda),
    },
    t,
    curves,
    table: tableLambdas.map((value) => studyRow(value, level, u0)),
    lambdaView: noiseTimes.map((time) => {
      const grid = linearlySpaced(0.2, 3, 141);
      return { t: time, lambda: grid, V: labelNoiseVariance({ t: time, lambda: grid, sn2: 1 }).V };
    }),
  };
  if (options.simulation) {
    const { d, draws, seed } = options.simulation;
    requireCount("d", d);
    requireCount("draws", draws);
    Object.assign(result.parameters, { d, draws, seed });
    result.simulation = {
      runs: simulateCurves(result, d, draws, seed),
      overLambda: simulatedLambdas.map((value) =>
        simulateRow(value, Math.max(1, Math.round(d / 2)), draws, seed, level, u0),
      ),
    };
  }
  return result;
}

/** Times at one lambda, without label noise. */
export function studyRow(lambda: number, level: number, u0: number): StudyRow {
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

function simulateCurves(
  { parameters, t }: Study,
  d: number,
  draws: number,
  seed: number,
): Partial<Record<NoiseMode, Simulation>> {
  const { lambda, noise, sn2, u0 } = parameters;
  const N = Math.max(1, Math.round(d / lambda));
  const shared = {
    d,
    N,
    t: logSpaced(0.1, Math.min(lastSimulatedTime, t[t.length - 1]), 13),
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

function simulateRow(
  ratio: number,
  d: number,
  draws: number,
  seed: number,
  level: number,
  u0: number,
): SimulatedRow {
  const N = Math.max(1, Math.round(d / ratio));
  const spectra = sampleSpectra({ d, N, draws, seed });
  const t = logSpaced(firstTime, lastSimulatedTime / 2, 120);
  const run = simulate({ d, N, t, noise: "residual", u0, draws, seed, spectra, tolerance: 1e-6 });
  const arrival = (field: "T" | "G" | "V") =>
    measured(run.draws.map((draw) => lastFallBelow(t, draw[field], level)));
  return {
    lambda: d / N,
    tTrain: arrival("T"),
    tGen: arrival("G"),
    tU: arrival("V"),
    noiseVariance: noiseTimes.map(
      (time) =>
        measured(spectra.map((s) => s.reduce((sum, value) => sum + fittedNoise(value, time), 0) / N))!,
    ),
  };
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

/** Mean and standard deviation; null unless all values are finite. */
function measured(values: number[]): Measured | null {
  if (!values.every(Number.isFinite)) return null;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** The power of ten after all finite times, between 100 and 100 000. */
function lastTime(events: number[]): number {
  const latest = Math.max(60, ...events.filter(Number.isFinite));
  return Math.min(1e5, 10 ** Math.ceil(Math.log10(1.5 * latest)));
}

export function logSpaced(from: number, to: number, count: number): number[] {
  return linearlySpaced(0, 1, count).map((x) => from * (to / from) ** x);
}

export function linearlySpaced(from: number, to: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}
