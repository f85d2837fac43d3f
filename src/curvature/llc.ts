/**
 * The local learning coefficient (Lau et al., arXiv 2308.12108): the effective number of parameters of a possibly
 * singular minimum, lambda = n beta (E[L(theta)] - L(theta*)), with the expectation over the tempered posterior
 * exp(-n beta L) localised at theta* by exp(-gamma |theta - theta*|^2 / 2).
 */
import { stream } from "../random.ts";
import {
  keysOf,
  requireAbove,
  requireFinite,
  requireFunction,
  requireKept,
  requireKeys,
  requireLength,
  requireNonNegativeFloat32,
  requirePositiveFloat32,
  requireVector,
  requireWhole,
} from "../validate.ts";
import { DivergedChainError, LangevinChain } from "./langevin.ts";
import { type Batch, type CurvatureModel, meanLossAndGradient, requireModel, requireTerms } from "./model.ts";
import type { Vector } from "./vector.ts";

/**
 * The localisation alone gives |theta - theta*|^2 a mean of parameters / gamma, and a minimum less: a chain this many
 * times further away (plus 10 / gamma, for few parameters) has been thrown out, however finite its loss.
 */
const FARTHEST = 10;

/** How the chains of a learning coefficient are run. */
export interface LearningCoefficientOptions {
  /** n, the number of terms of the likelihood; it must be said, since n beta depends on it. */
  trainingTerms: number;
  /** n beta. Default n / log n. */
  nBeta?: number;
  /** gamma. */
  localisation: number;
  stepSize: number;
  /** Default 4. */
  chains?: number;
  /** Steps of each chain before the first counted one. */
  burnIn: number;
  /** Counted steps of each chain. */
  draws: number;
  seed: number;
  member?: number;
}

const LEARNING_COEFFICIENT = keysOf<LearningCoefficientOptions>({
  ...{ trainingTerms: true, nBeta: true, localisation: true, stepSize: true, chains: true, burnIn: true },
  ...{ draws: true, seed: true, member: true },
});

/** A local learning coefficient with what it was taken from. */
export interface LearningCoefficient {
  /** Mean over the chains: no estimate unless `failures` is empty. */
  llc: number;
  /** Why the chains give no estimate, in words; empty where they do. */
  failures: string[];
  /** Over the chains; NaN for a single one. */
  standardError: number;
  /** One estimate per chain. */
  perChain: number[];
  /** L(theta*), nats. */
  baseLoss: number;
  trainingTerms: number;
  nBeta: number;
  /** Loss of every counted step, one array per chain. */
  losses: Float64Array[];
  diagnostics: ChainDiagnostics;
}

/** Whether the chains behind a learning coefficient can be trusted. */
export interface ChainDiagnostics {
  /**
   * Gelman and Rubin's potential scale reduction of the losses, split chains; near 1 when the chains agree. NaN for fewer
   * than four draws, or losses that do not vary.
   */
  rHat: number;
  /** Independent draws the losses are worth, all chains together. */
  effectiveSampleSize: number;
  /** Mean loss of the last half minus that of the first, in standard deviations: far from 0 before equilibrium. */
  drift: number;
  /** Fraction of counted losses below L(theta*): near 1/2 and above, theta* is no local minimum of the loss. */
  belowBase: number;
}

/**
 * The local learning coefficient n beta (mean loss of chains around `centre` - L(centre)) of any loss.
 *
 * @param lossAndGradient mean loss (nats) and gradient on all data, or on a random batch chosen by (chain, step)
 * @param baseLoss L(theta*) on all data, nats
 * @throws RangeError for an option outside its range, DivergedChainError for a chain that leaves its neighbourhood
 */
export function estimateLearningCoefficient(
  centre: Vector,
  baseLoss: number,
  lossAndGradient: (
    parameters: Float64Array,
    chain: number,
    step: number,
  ) => { loss: number; gradient: Vector },
  options: LearningCoefficientOptions,
): LearningCoefficient {
  requireVector("centre", centre);
  requireFinite("baseLoss", baseLoss);
  requireFunction("lossAndGradient", lossAndGradient);
  requireKeys("options", options, LEARNING_COEFFICIENT);
  const { trainingTerms, localisation, stepSize, chains = 4, burnIn, draws, seed, member = 0 } = options;
  requireTerms("trainingTerms", requireAbove("trainingTerms", trainingTerms, 1));
  const nBeta = requirePositiveFloat32("nBeta", options.nBeta ?? trainingTerms / Math.log(trainingTerms));
  requireNonNegativeFloat32("localisation", localisation);
  requireKept("chains", chains);
  requireWhole("burnIn", burnIn);
  requireKept("draws", draws);
  const losses = Array.from({ length: chains }, (_, c) => {
    const rng = stream(seed, member, "learningCoefficient", c);
    const chain = new LangevinChain(centre, {
      ...{ stepSize, lossWeight: nBeta, precision: localisation, centre },
    });
    const kept = new Float64Array(draws);
    for (let step = 0; step < burnIn + draws; step++) {
      const { loss, gradient } = lossAndGradient(chain.position, c, step);
      if (step >= burnIn) kept[step - burnIn] = loss;
      chain.step(gradient, rng);
      if (localisation * squaredDistance(chain.position, centre) > FARTHEST * (centre.length + 10))
        throw new DivergedChainError(stepSize);
    }
    return kept;
  });
  const perChain = losses.map((kept) => nBeta * (mean(kept) - baseLoss));
  const llc = mean(perChain);
  const spread = perChain.reduce((sum, x) => sum + (x - llc) ** 2, 0);
  const diagnostics = chainDiagnostics(losses, baseLoss);
  const standardError = chains > 1 ? Math.sqrt(spread / (chains - 1) / chains) : Number.NaN;
  return {
    llc,
    failures: failedDiagnostics({ llc, standardError, diagnostics }, centre.length),
    standardError,
    perChain,
    baseLoss,
    trainingTerms,
    nBeta,
    losses,
    diagnostics,
  };
}

/**
 * The same for a checkpoint of a model, with loss and gradient over all predictions of the batches at every step.
 * @throws RangeError for an empty list of batches, a checkpoint of another shape, or an option outside its range
 */
export function learningCoefficient(
  model: CurvatureModel,
  parameters: Float32Array,
  batches: readonly Batch[],
  options: LearningCoefficientOptions,
): LearningCoefficient {
  requireModel(model);
  requireVector("parameters", parameters);
  requireLength("parameters", parameters, model.parameterCount);
  requireKeys("options", options, LEARNING_COEFFICIENT);
  model.setParameters(parameters);
  // In the arithmetic of the chain: what another leaves different would be multiplied by n beta.
  const baseLoss = meanLossAndGradient(model, batches).loss;
  const lossAndGradient = (position: Float64Array) => {
    model.setParameters(Float32Array.from(position));
    return meanLossAndGradient(model, batches);
  };
  return estimateLearningCoefficient(parameters, baseLoss, lossAndGradient, options);
}

/** Beyond these, chains have not come to what they are to sample. */
const [LARGEST_R_HAT, LARGEST_DRIFT, FEWEST_DRAWS] = [1.1, 1, 10];

/**
 * Why chains give no learning coefficient, in words; nothing where they do.
 * @param parameters number of parameters: a learning coefficient is from 0 to half of it
 */
export function failedDiagnostics(
  {
    llc,
    standardError,
    diagnostics: { rHat, effectiveSampleSize, drift, belowBase },
  }: { llc: number; standardError: number | null; diagnostics: Nullable<ChainDiagnostics> },
  parameters: number,
): string[] {
  const outside = (what: string, x: number | null, beyond: (x: number) => boolean, limit: string) => {
    if (x === null || Number.isNaN(x))
      return [`${what} is unknown: too few draws, or losses that do not vary`];
    return beyond(x) ? [`${what} is ${x.toPrecision(3)}, ${limit}`] : [];
  };
  return [
    ...(belowBase !== null && belowBase < 0.5
      ? []
      : [
          `${Math.round(100 * (belowBase ?? 1))} % of the losses lie below that of the checkpoint, which is no minimum`,
        ]),
    ...(llc < 0 ? ["the mean is below 0, which no learning coefficient is"] : []),
    ...(llc - 2 * (standardError || 0) > parameters / 2
      ? ["the mean is above half the number of parameters, which no learning coefficient is"]
      : []),
    ...outside(
      "R-hat",
      rHat,
      (x) => x > LARGEST_R_HAT,
      `above ${LARGEST_R_HAT}: the chains have not settled`,
    ),
    ...outside(
      "the drift in standard deviations",
      drift,
      (x) => Math.abs(x) > LARGEST_DRIFT,
      `beyond ${LARGEST_DRIFT}: the chains have not settled`,
    ),
    ...outside(
      "the effective sample size",
      effectiveSampleSize,
      (x) => x < FEWEST_DRAWS,
      `below ${FEWEST_DRAWS}`,
    ),
  ];
}

/** As JSON keeps it, which has no NaN. */
export type Nullable<T> = { [Key in keyof T]: T[Key] | null };

/** Diagnostics of chains of equal length. */
export function chainDiagnostics(losses: readonly Float64Array[], baseLoss: number): ChainDiagnostics {
  const half = Math.floor(losses[0].length / 2);
  const first = losses.map((kept) => kept.subarray(0, half));
  const last = losses.map((kept) => kept.subarray(kept.length - half));
  const all = losses.flatMap((kept) => Array.from(kept));
  return {
    rHat: scaleReduction([...first, ...last]),
    effectiveSampleSize: losses.reduce((sum, kept) => sum + effectiveSampleSize(kept), 0),
    drift: (mean(last.map(mean)) - mean(first.map(mean))) / Math.sqrt(variance(all)),
    belowBase: all.filter((loss) => loss < baseLoss).length / all.length,
  };
}

function squaredDistance(a: Vector, b: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Unbiased. */
function variance(values: ArrayLike<number>): number {
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - centre) ** 2;
  return sum / (values.length - 1);
}

/** sqrt of (within + between variance) over within, for chains of equal length n. */
function scaleReduction(chains: readonly Float64Array[]): number {
  const n = chains[0].length;
  const within = mean(chains.map(variance));
  const between = variance(chains.map(mean));
  return Math.sqrt((n - 1) / n + between / within);
}

/** n / (1 + 2 sum of autocorrelations), summed as long as pairs of them stay positive (Geyer 1992). */
function effectiveSampleSize(values: Float64Array): number {
  const n = values.length;
  const centre = mean(values);
  const covariance = (lag: number) => {
    let sum = 0;
    for (let i = 0; i + lag < n; i++) sum += (values[i] - centre) * (values[i + lag] - centre);
    return sum / n;
  };
  const zero = covariance(0);
  let time = -1;
  for (let lag = 0; lag + 1 < n; lag += 2) {
    const pair = (covariance(lag) + covariance(lag + 1)) / zero;
    if (!(pair > 0)) break;
    time += 2 * pair;
  }
  // Antithetic chains may be worth more than n; noise in their small sum must not count as more.
  return zero > 0 ? n / Math.max(1, time) : Number.NaN;
}
