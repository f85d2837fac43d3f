/** Everything one report on the linear model shows: curves and times at one lambda, a table over lambda, simulations. */
import type { Bridge } from "../../analysis/bridge.ts";
import { delayAsymptote, informationLimit, informationPlateau } from "../../theory/asymptotics.ts";
import { linearlySpaced, logSpaced } from "../../theory/grid.ts";
import { labelNoiseVariance } from "../../theory/lambda-view.ts";
import { type NoiseMode, noiseModes } from "../../theory/modes.ts";
import type { Simulation } from "../../theory/simulate.ts";
import { fixedNoiseTimes, lossThreshold, times } from "../../theory/times.ts";
import {
  requireCount,
  requireNonNegative,
  requireOneOf,
  requireOpenFraction,
  requirePositive,
} from "../../validate.ts";
import { type CurveParameters, type StudyCurves, studyCurves } from "./curves.ts";
import { type SimulatedRow, type SimulationSize, simulateCurves, simulateRow } from "./simulated.ts";
import { type TimesRow, timesRow } from "./times-row.ts";
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
  simulation?: SimulationSize;
}

export type FixedTimes = ReturnType<typeof fixedNoiseTimes>;

export interface Study {
  parameters: CurveParameters & { level: number; theta: number; eps: number } & Partial<SimulationSize>;
  /**
   * `noiseLevel`: when the noise-free curves pass the level sn2. `fixed`: when the curves with fixed noise, which have the
   * label noise in them, pass the level.
   */
  times: TimesRow & { noiseLevel: { tTrain: number; tGen: number } | null; fixed?: FixedTimes };
  asymptotics: { delay: number; informationPlateau: number; informationLimit: number };
  t: number[];
  curves: StudyCurves;
  table: TimesRow[];
  /** Label-noise variance over lambda at several times, for sn2 = 1. */
  lambdaView: { t: number; lambda: number[]; V: number[] }[];
  simulation?: { runs: Partial<Record<NoiseMode, Simulation>>; overLambda: SimulatedRow[] };
  /** The same curves from regressions trained by gradient descent. */
  trained?: Trained;
  /** Runs of transformers beside the linear model. */
  bridge?: Bridge;
}

/** Times at which the label-noise variance is shown over lambda. */
const noiseTimes = [3, 10, 30, 100];
const tableLambdas = [0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 1, 1.005, 1.5, 3];
const simulatedLambdas = [0.2, 0.4, 0.6, 0.8, 0.9, 1.3, 2];
const firstTime = 0.05;

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
  const { simulation } = options;
  if (simulation) {
    requireCount("d", simulation.d);
    requireCount("draws", simulation.draws);
  }
  const row = timesRow(lambda, level, u0);
  const noiseLevel = sn2 > 0 ? times({ lambda, level: sn2 }) : null;
  const t = logSpaced(
    firstTime,
    lastTime([row.tTrain, row.tGen, row.elbo.tU, noiseLevel?.tTrain ?? 0, noiseLevel?.tGen ?? 0]),
    160,
  );
  const curves: CurveParameters = { lambda, noise, sn2, u0 };
  return {
    parameters: { ...curves, level, theta, eps: Math.sqrt(level / lossThreshold(1, theta)), ...simulation },
    times: {
      ...row,
      noiseLevel,
      ...(noise.includes("fixed") && { fixed: fixedNoiseTimes({ lambda, threshold: level, sn2 }) }),
    },
    asymptotics: {
      delay: delayAsymptote(lambda),
      informationPlateau: informationPlateau(lambda),
      informationLimit: informationLimit(lambda),
    },
    t,
    curves: studyCurves(curves, t),
    table: tableLambdas.map((value) => timesRow(value, level, u0)),
    lambdaView: noiseTimes.map((time) => {
      const grid = linearlySpaced(0.2, 3, 141);
      return { t: time, lambda: grid, V: labelNoiseVariance({ t: time, lambda: grid, sn2: 1 }).V };
    }),
    ...(simulation && {
      simulation: {
        runs: simulateCurves(curves, t, simulation),
        overLambda: simulatedLambdas.map((value) =>
          simulateRow(
            value,
            { ...simulation, d: Math.max(1, Math.round(simulation.d / 2)) },
            { level, u0, firstTime, noiseTimes },
          ),
        ),
      },
    }),
  };
}

/** The power of ten after all finite times, between 100 and 100 000. */
function lastTime(events: number[]): number {
  const latest = Math.max(60, ...events.filter(Number.isFinite));
  return Math.min(1e5, 10 ** Math.ceil(Math.log10(1.5 * latest)));
}
