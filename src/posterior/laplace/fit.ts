/** Fitting a Laplace approximation around a checkpoint. Argument names are those of laplace-torch. */

import { extremeEigenpairs, meanWithError } from "../../curvature/lanczos.ts";
import {
  type Batch,
  meanLoss,
  type PredictiveModel,
  requireCurvature,
  requireTerms,
  totalTerms,
} from "../../curvature/model.ts";
import {
  denseGgn,
  ggnOperator,
  type LinearOperator,
  rootedGgnOperator,
  scaledOperator,
} from "../../curvature/operators.ts";
import { spectralNoise } from "../../curvature/rounding.ts";
import { complementTrace } from "../../curvature/trace.ts";
import { stream } from "../../random.ts";
import { refuse, requireCount, requireLength, requireNonEmpty, requireOneOf } from "../../validate.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { requirePriorPrecision } from "../gaussian/gaussian.ts";
import { MatrixFreeCurvature } from "../gaussian/matrix-free.ts";
import { SpectralCurvature } from "../gaussian/spectral.ts";
import { maximiseEvidence, PRIOR_PRECISION_RANGE } from "./evidence.ts";
import { kroneckerFactored } from "./kfac.ts";
import {
  type HessianStructure,
  LaplacePosterior,
  STRUCTURES,
  SUBSETS,
  type SubsetOfWeights,
} from "./laplace.ts";
import {
  lastLayerData,
  lastLayerDiagonal,
  lastLayerFull,
  lastLayerKronecker,
  lastLayerOperator,
} from "./last-layer.ts";
import { predictiveNll } from "./predictive.ts";
import { sampledDiagonal } from "./sampled-diagonal.ts";

/** Options of `fitLaplace`, named as in laplace-torch. */
export interface LaplaceOptions {
  /** Default `lastLayer`, the unembedding. */
  subsetOfWeights?: SubsetOfWeights;
  /**
   * Default `kron`. `full` is dense (at most 4096 parameters); `lowRank` keeps the top eigenpairs of the GGN and
   * `remainder` of the rest; `matrixFree` decomposes nothing and works with products at every use.
   */
  hessianStructure?: HessianStructure;
  /**
   * delta of the prior N(0, I / delta): a number; `marginalLikelihood` (default) for the maximum of the evidence; or
   * the best predictive NLL on held-out batches over a grid (default 21 values from 1e-4 to 1e4).
   */
  priorPrecision?: number | "marginalLikelihood" | HeldOutChoice;
  /**
   * N, the number of terms of the likelihood, if it is not the number of predictions in the batches: the curvature and
   * the log-likelihood are N times their means over the batches.
   */
  trainingTerms?: number;
  /** Eigenpairs of `lowRank`, the best that 4 rank + 40 products with the GGN find. Default 20. */
  rank?: number;
  /**
   * What `lowRank` takes the eigenvalues that it does not know for. `trace` (default): all for their mean, by
   * Hutchinson's estimate of the trace. `zero`: not determined by the data at all; draws then vary in these directions as
   * much as the prior, and the evidence asks for a prior far too wide. At any prior precision the evidence of the whole
   * GGN is between the two: below `zero`, and (by Jensen's inequality, up to the error of the trace) above `trace`.
   */
  remainder?: "trace" | "zero";
  /**
   * Over all parameters: for `kron` random vectors backpropagated from each prediction, default 8; for `diag` random
   * gradients per chunk, by default as many as make 256 in all, which leaves a relative error of sqrt(2 / 256) = 9 % in
   * an element. `exact` enumerates the classes instead.
   */
  probes?: number | "exact";
  /** Sequences per chunk of `diag`. Default 16. */
  chunk?: number;
  /** Lanczos steps of `matrixFree`. Default 50. */
  lanczosSteps?: number;
  /** Random vectors for the traces of `matrixFree` and `lowRank`. Default 8. */
  traceProbes?: number;
  /** Root of the random numbers of the fit. Default 0. */
  seed?: number;
}

/** The prior precision whose predictions on held-out batches are best. */
export interface HeldOutChoice {
  heldOut: readonly Batch[];
  grid?: readonly number[];
  nSamples?: number;
  /**
   * `best` (default) takes the smallest NLL; `oneStandardError` the widest prior whose NLL exceeds it by no more than
   * its standard error: on data like the training data a point estimate is often best, which would leave no posterior.
   */
  rule?: "best" | "oneStandardError";
}

const KFAC_PROBES = 8;
const DEFAULT_GRID = Array.from({ length: 21 }, (_, i) => 10 ** (-4 + 0.4 * i));

/** Options that have a meaning for some structures only, and those. */
const SPECIAL: Partial<
  Record<keyof LaplaceOptions, { structures: readonly HessianStructure[]; subset?: SubsetOfWeights }>
> = {
  rank: { structures: ["lowRank"] },
  remainder: { structures: ["lowRank"] },
  probes: { structures: ["kron", "diag"], subset: "all" },
  chunk: { structures: ["diag"], subset: "all" },
  lanczosSteps: { structures: ["matrixFree"] },
  traceProbes: { structures: ["lowRank", "matrixFree"] },
};

const GENERAL: readonly (keyof LaplaceOptions)[] = [
  ...(["subsetOfWeights", "hessianStructure", "priorPrecision", "trainingTerms", "seed"] as const),
];

/** @throws RangeError for an option that there is none of, or that the structure has no use for */
function requireUse(options: LaplaceOptions, subset: SubsetOfWeights, structure: HessianStructure): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || (GENERAL as readonly string[]).includes(name)) continue;
    const special = SPECIAL[name as keyof LaplaceOptions];
    if (!special)
      refuse("option of fitLaplace", name, `one of ${[...GENERAL, ...Object.keys(SPECIAL)].join(", ")}`);
    const { structures, subset: only = subset } = special;
    if (structures.includes(structure) && subset === only) continue;
    const whole = only === subset ? "" : ` and subsetOfWeights ${only}`;
    refuse(
      name,
      typeof value === "object" ? "a value" : value,
      `left out with ${structure} over ${subset}: it is for hessianStructure ${structures.join(" or ")}${whole}`,
    );
  }
}

/** A curvature, and what speaks against it. */
interface Found {
  curvature: Curvature;
  warnings: string[];
}

/**
 * Gaussian posterior with precision N x mean GGN + delta I around `parameters`, which need not be an optimum. The GGN
 * over the batches is that of all their predictions. Decoupled weight decay is not a Gaussian prior; the prior is the
 * one stated by delta, whatever the training did. What speaks against the result is in its `warnings`.
 *
 * @throws RangeError for an empty list of batches, a checkpoint of another shape, a prior precision outside 1e-30 .. 1e30,
 *   a rank above the number of parameters, a full structure that is too large, or an option that the structure has no use
 *   for
 */
export function fitLaplace(
  model: PredictiveModel,
  parameters: Float32Array,
  batches: readonly Batch[],
  options: LaplaceOptions = {},
): LaplacePosterior {
  const { subsetOfWeights = "lastLayer", hessianStructure = "kron", seed = 0 } = options;
  const { priorPrecision = "marginalLikelihood", trainingTerms = totalTerms(batches) } = options;
  requireOneOf("subsetOfWeights", subsetOfWeights, SUBSETS);
  requireOneOf("hessianStructure", hessianStructure, STRUCTURES);
  requireUse(options, subsetOfWeights, hessianStructure);
  requireTerms("trainingTerms", trainingTerms);
  requireLength("parameters", parameters, model.parameterCount);
  if (typeof priorPrecision === "number") requirePriorPrecision("priorPrecision", priorPrecision);
  else if (typeof priorPrecision !== "object" || priorPrecision === null)
    requireOneOf("priorPrecision", priorPrecision, ["marginalLikelihood"]);
  model.setParameters(parameters);
  const { curvature, warnings } =
    subsetOfWeights === "all"
      ? allParameterCurvature(model, parameters, batches, trainingTerms, hessianStructure, options)
      : lastLayerCurvature(model, batches, trainingTerms, hessianStructure, options);
  model.setParameters(parameters);
  const fixed = new LaplacePosterior({
    mean: parameters.slice(),
    subsetOfWeights,
    hessianStructure,
    offset: subsetOfWeights === "all" ? 0 : unembeddingOffset(model),
    tiedEmbeddings: model.shape.tiedEmbeddings,
    curvature,
    priorPrecision: typeof priorPrecision === "number" ? priorPrecision : 1,
    logLikelihood: -trainingTerms * meanLoss(model, batches),
    trainingTerms,
    warnings,
  });
  if (typeof priorPrecision === "number") return fixed;
  if (priorPrecision !== "marginalLikelihood")
    return chosen(fixed, bestOnHeldOut(model, fixed, priorPrecision, seed), {
      range: priorPrecision.grid ?? DEFAULT_GRID,
      what: "held-out NLL",
    });
  const best = maximiseEvidence({ ...fixed.fields, squaredNorm: fixed.squaredNorm });
  return chosen(fixed, best, { range: PRIOR_PRECISION_RANGE, what: "evidence" });
}

/** With the best prior precision of a range; at an end of it there may be a better one beyond. */
function chosen(
  posterior: LaplacePosterior,
  best: number,
  { range, what }: { range: readonly number[]; what: string },
): LaplacePosterior {
  const [low, high] = [Math.min(...range), Math.max(...range)];
  // The bisection comes as near to an end as this.
  const near = (end: number) => Math.abs(Math.log(best / end)) < 1e-6;
  const atEnd = low < high && (near(low) || near(high));
  const warning = `prior precision ${best.toPrecision(3)} is the end of its range, ${low} to ${high}: the ${what} has no best value inside`;
  return posterior.withPriorPrecision(best, atEnd ? [warning] : []);
}

function unembeddingOffset(model: PredictiveModel): number {
  const name = model.shape.tiedEmbeddings ? "transformer.wte.weight" : "lm_head.weight";
  const tensor = model.parameters.find((parameter) => parameter.name === name);
  if (!tensor) throw new RangeError(`model: got no parameter ${name}, which holds the last layer`);
  return tensor.offset;
}

const certain = (curvature: Curvature): Found => ({ curvature, warnings: [] });

function lastLayerCurvature(
  model: PredictiveModel,
  batches: readonly Batch[],
  terms: number,
  structure: HessianStructure,
  options: LaplaceOptions,
): Found {
  const data = lastLayerData(model, batches);
  if (structure === "full") return certain(lastLayerFull(data, terms));
  if (structure === "diag") return certain(lastLayerDiagonal(data, terms));
  if (structure === "kron") return certain(lastLayerKronecker(data, terms));
  const ggn = scaledOperator(lastLayerOperator(data), terms);
  return productCurvature({ ggn, rooted: ggn }, structure, options);
}

function allParameterCurvature(
  model: PredictiveModel,
  parameters: Float32Array,
  batches: readonly Batch[],
  terms: number,
  structure: HessianStructure,
  options: LaplaceOptions,
): Found {
  requireCurvature(model);
  const { chunk = 16, seed = 0 } = options;
  if (structure === "kron")
    return certain(kroneckerFactored(model, batches, terms, { probes: options.probes ?? KFAC_PROBES, seed }));
  if (structure === "diag") {
    const chunks = batches.reduce((sum, batch) => sum + Math.ceil(batch.batchSize / chunk), 0);
    const { probes = Math.ceil(256 / chunks) } = options;
    return certain(sampledDiagonal(model, batches, terms, { probes, chunk, seed }));
  }
  if (structure === "full") {
    const ggn = denseGgn(model, parameters, batches).map((x) => terms * x);
    return certain(SpectralCurvature.fromMatrix(ggn, model.parameterCount));
  }
  const rooted = scaledOperator(rootedGgnOperator(model, parameters, batches), terms);
  const ggn = scaledOperator(ggnOperator(model, batches), terms);
  return productCurvature({ ggn, rooted }, structure, options);
}

/**
 * The structures that need nothing but products.
 * @param ggn where the largest eigenvalues are looked for: half the cost of one with a root
 * @param rooted the same matrix, for what lies near 0
 */
function productCurvature(
  { ggn, rooted }: { ggn: LinearOperator; rooted: LinearOperator },
  structure: HessianStructure,
  {
    rank = Math.min(20, ggn.size),
    remainder = "trace",
    lanczosSteps = 50,
    traceProbes = 8,
    seed = 0,
  }: LaplaceOptions,
): Found {
  requireCount("traceProbes", traceProbes);
  requireCount("lanczosSteps", lanczosSteps);
  if (structure === "matrixFree")
    return certain(new MatrixFreeCurvature(rooted, { steps: lanczosSteps, probes: traceProbes, seed }));
  requireCount("rank", rank, ggn.size);
  requireOneOf("remainder", remainder, ["trace", "zero"]);
  const rng = stream(seed, 0, "lowRankCurvature");
  const pairs = extremeEigenpairs(ggn, {
    k: rank,
    rng,
    // What products in float32 allow for; sampling needs no more.
    tolerance: 1e-4,
    maxIterations: 8 * rank + 80,
  });
  const { eigenvalues, eigenvectors, residuals, iterations, converged } = pairs;
  const largest = Math.max(...residuals) / eigenvalues[0];
  const warnings = converged
    ? []
    : [
        `the ${rank} largest eigenpairs have not converged in ${iterations} products (residual ${largest.toPrecision(2)} of the largest eigenvalue): others may be missing among them`,
      ];
  const spectral = (rest: number) =>
    new SpectralCurvature(eigenvalues, eigenvectors, rest, ggn.noise ?? spectralNoise(ggn.size));
  if (remainder === "zero" || rank === ggn.size) return { curvature: spectral(0), warnings };
  const { estimate } = complementTrace(rooted, eigenvectors, { samples: traceProbes, rng });
  return { curvature: spectral(Math.max(0, estimate) / (ggn.size - rank)), warnings };
}

function bestOnHeldOut(
  model: PredictiveModel,
  posterior: LaplacePosterior,
  { heldOut, grid = DEFAULT_GRID, nSamples = 32, rule = "best" }: HeldOutChoice,
  seed: number,
): number {
  totalTerms(heldOut);
  requireNonEmpty("grid", grid);
  requireOneOf("rule", rule, ["best", "oneStandardError"]);
  const scores = grid.map((priorPrecision) => {
    const candidate = posterior.withPriorPrecision(priorPrecision);
    // The same normal deviates for every candidate: their differences are not noise.
    const rng = stream(seed, 0, "heldOutChoice");
    const nll = heldOut.flatMap((batch) => {
      const draws = candidate.predict(model, batch, { nSamples, rng });
      return Array.from(predictiveNll(draws, batch.targets, model.shape.dVocab));
    });
    return { priorPrecision, ...meanWithError(nll) };
  });
  const best = scores.reduce((a, b) => (b.estimate < a.estimate ? b : a));
  if (rule === "best") return best.priorPrecision;
  const allowed = best.estimate + best.standardError;
  const acceptable = scores.filter(({ estimate }) => estimate <= allowed);
  return Math.min(best.priorPrecision, ...acceptable.map(({ priorPrecision }) => priorPrecision));
}
