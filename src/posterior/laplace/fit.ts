/** Fitting a Laplace approximation around a checkpoint. Argument names are those of laplace-torch. */

import type { ParameterGroup } from "../../curvature/groups.ts";
import { extremeEigenpairs, meanWithError } from "../../curvature/lanczos.ts";
import {
  type Batch,
  meanLoss,
  type PredictiveModel,
  requireCurvature,
  requireModel,
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
import { requireCount, requireLength, requireVector } from "../../validate.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { MatrixFreeCurvature } from "../gaussian/matrix-free.ts";
import { type GroupedPrior, priorGroups } from "../gaussian/prior.ts";
import { SpectralCurvature } from "../gaussian/spectral.ts";
import { maximiseEvidence, PRIOR_PRECISION_RANGE } from "./evidence.ts";
import { maximiseGroupedEvidence } from "./grouped-evidence.ts";
import { kroneckerFactored } from "./kfac.ts";
import { type HessianStructure, LaplacePosterior } from "./laplace.ts";
import {
  lastLayerData,
  lastLayerDiagonal,
  lastLayerFull,
  lastLayerKronecker,
  lastLayerOperator,
} from "./last-layer.ts";
import {
  DEFAULT_GRID,
  type HeldOutChoice,
  isList,
  type LaplaceOptions,
  requireLaplaceOptions,
} from "./options.ts";
import { predictiveNll } from "./predictive.ts";
import { sampledDiagonal } from "./sampled-diagonal.ts";

const KFAC_PROBES = 8;

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
  requireModel(model);
  requireVector("parameters", parameters);
  const { subsetOfWeights, hessianStructure, priorPrecision, priorStructure, seed } =
    requireLaplaceOptions(options);
  const { trainingTerms = totalTerms(batches) } = options;
  requireTerms("trainingTerms", trainingTerms);
  requireLength("parameters", parameters, model.parameterCount);
  model.setParameters(parameters);
  const { curvature, warnings } =
    subsetOfWeights === "all"
      ? allParameterCurvature(model, parameters, batches, trainingTerms, hessianStructure, options)
      : lastLayerCurvature(model, batches, trainingTerms, hessianStructure, options);
  model.setParameters(parameters);
  const offset = subsetOfWeights === "all" ? 0 : unembeddingOffset(model);
  const fixed = new LaplacePosterior({
    mean: parameters.slice(),
    subsetOfWeights,
    hessianStructure,
    offset,
    tiedEmbeddings: model.shape.tiedEmbeddings,
    curvature,
    priorPrecision: typeof priorPrecision === "number" ? priorPrecision : 1,
    logLikelihood: -trainingTerms * meanLoss(model, batches),
    trainingTerms,
    warnings,
  });
  const groups = priorGroups(model, priorStructure, offset, curvature.size);
  if (priorStructure !== "scalar" && groups.length > 1)
    return grouped(fixed, { structure: priorStructure, groups }, priorPrecision);
  const only = isList(priorPrecision) ? requireSingle(priorPrecision) : priorPrecision;
  if (typeof only === "number") return only === priorPrecision ? fixed : fixed.withPriorPrecision(only);
  if (only !== "marginalLikelihood")
    return chosen(fixed, bestOnHeldOut(model, fixed, only, seed), {
      range: only.grid ?? DEFAULT_GRID,
      what: "held-out NLL",
    });
  const best = maximiseEvidence({ ...fixed.fields, squaredNorm: fixed.squaredNorm });
  return chosen(fixed, best, { range: PRIOR_PRECISION_RANGE, what: "evidence" });
}

function requireSingle(precisions: readonly number[]): number {
  requireLength("priorPrecision", precisions, 1, "one for each group");
  return precisions[0];
}

/** With a prior precision for each of several groups: as stated, or those of the largest evidence. */
function grouped(
  posterior: LaplacePosterior,
  { structure, groups }: Pick<GroupedPrior, "structure" | "groups">,
  stated: NonNullable<LaplaceOptions["priorPrecision"]>,
): LaplacePosterior {
  const withPrior = (precisions: Float64Array, warnings: readonly string[] = []) =>
    posterior.withPrior({ structure, groups, precisions }, warnings);
  if (typeof stated === "number") return withPrior(new Float64Array(groups.length).fill(stated));
  if (isList(stated)) {
    requireLength("priorPrecision", stated, groups.length, "one for each group");
    return withPrior(Float64Array.from(stated));
  }
  const { curvature, logLikelihood } = posterior.fields;
  const squaredNorms = posterior.squaredNorms(groups);
  const best = maximiseGroupedEvidence({ curvature, logLikelihood, groups, squaredNorms });
  const atEnd = groups.filter((_, g) => PRIOR_PRECISION_RANGE.some((end) => isNear(best[g], end)));
  return withPrior(best, atEnd.length > 0 ? [endWarning(atEnd, groups.length)] : []);
}

function endWarning(atEnd: readonly ParameterGroup[], groups: number): string {
  const [low, high] = PRIOR_PRECISION_RANGE;
  const named = [...new Set(atEnd.map(({ name }) => name))].join(", ");
  const which = named === "" ? `${atEnd.length} of the ${groups} parameters` : named;
  return `the prior precision of ${which} is at an end of its range, ${low} to ${high}: the evidence has no best value inside`;
}

/** The searches come as near to an end as this. */
const isNear = (precision: number, end: number) => Math.abs(Math.log(precision / end)) < 1e-6;

/** With the best prior precision of a range; at an end of it there may be a better one beyond. */
function chosen(
  posterior: LaplacePosterior,
  best: number,
  { range, what }: { range: readonly number[]; what: string },
): LaplacePosterior {
  const [low, high] = [Math.min(...range), Math.max(...range)];
  const atEnd = low < high && (isNear(best, low) || isNear(best, high));
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
  if (structure === "matrixFree")
    return certain(new MatrixFreeCurvature(rooted, { steps: lanczosSteps, probes: traceProbes, seed }));
  requireCount("rank", rank, ggn.size);
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
