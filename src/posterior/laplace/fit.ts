/** Fitting a Laplace approximation around a checkpoint. Argument names are those of laplace-torch. */

import { extremeEigenpairs, meanWithError } from "../../curvature/lanczos.ts";
import {
  type Batch,
  meanLoss,
  type PredictiveModel,
  requireCurvature,
  totalTerms,
} from "../../curvature/model.ts";
import { denseMatrix, ggnOperator, type LinearOperator, scaledOperator } from "../../curvature/operators.ts";
import { complementTrace } from "../../curvature/trace.ts";
import { stream } from "../../random.ts";
import { requireCount, requireLength, requireOneOf, requirePositive } from "../../validate.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { MatrixFreeCurvature } from "../gaussian/matrix-free.ts";
import { SpectralCurvature } from "../gaussian/spectral.ts";
import { maximiseEvidence } from "./evidence.ts";
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

/**
 * Gaussian posterior with precision N x mean GGN + delta I around `parameters`, which need not be an optimum. The GGN
 * over the batches is that of all their predictions. Decoupled weight decay is not a Gaussian prior; the prior is the
 * one stated by delta, whatever the training did.
 *
 * @throws RangeError for an empty list of batches, a checkpoint of another shape, a prior precision that is not
 *   positive, a rank above the number of parameters, or a full structure that is too large
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
  requirePositive("trainingTerms", trainingTerms);
  requireLength("parameters", parameters, model.parameterCount);
  if (typeof priorPrecision === "number") requirePositive("priorPrecision", priorPrecision);
  else if (typeof priorPrecision === "string")
    requireOneOf("priorPrecision", priorPrecision, ["marginalLikelihood"]);
  model.setParameters(parameters);
  const posterior = new LaplacePosterior({
    mean: parameters.slice(),
    subsetOfWeights,
    hessianStructure,
    offset: subsetOfWeights === "all" ? 0 : unembeddingOffset(model),
    tiedEmbeddings: model.shape.tiedEmbeddings,
    curvature:
      subsetOfWeights === "all"
        ? allParameterCurvature(model, parameters, batches, trainingTerms, hessianStructure, options)
        : lastLayerCurvature(model, batches, trainingTerms, hessianStructure, options),
    priorPrecision: typeof priorPrecision === "number" ? priorPrecision : 1,
    logLikelihood: -trainingTerms * meanLoss(model, batches),
    trainingTerms,
  });
  if (typeof priorPrecision === "number") return posterior;
  if (priorPrecision === "marginalLikelihood")
    return posterior.withPriorPrecision(
      maximiseEvidence({ ...posterior.fields, squaredNorm: posterior.squaredNorm }),
    );
  return posterior.withPriorPrecision(bestOnHeldOut(model, posterior, priorPrecision, seed));
}

function unembeddingOffset(model: PredictiveModel): number {
  const name = model.shape.tiedEmbeddings ? "transformer.wte.weight" : "lm_head.weight";
  const tensor = model.parameters.find((parameter) => parameter.name === name);
  if (!tensor) throw new RangeError(`model: got no parameter ${name}, which holds the last layer`);
  return tensor.offset;
}

function lastLayerCurvature(
  model: PredictiveModel,
  batches: readonly Batch[],
  terms: number,
  structure: HessianStructure,
  options: LaplaceOptions,
): Curvature {
  const data = lastLayerData(model, batches);
  if (structure === "full") return lastLayerFull(data, terms);
  if (structure === "diag") return lastLayerDiagonal(data, terms);
  if (structure === "kron") return lastLayerKronecker(data, terms);
  return productCurvature(scaledOperator(lastLayerOperator(data), terms), structure, options);
}

function allParameterCurvature(
  model: PredictiveModel,
  parameters: Float32Array,
  batches: readonly Batch[],
  terms: number,
  structure: HessianStructure,
  options: LaplaceOptions,
): Curvature {
  requireCurvature(model);
  const { chunk = 16, seed = 0 } = options;
  if (structure === "kron")
    return kroneckerFactored(model, batches, terms, { probes: options.probes ?? KFAC_PROBES, seed });
  if (structure === "diag") {
    const chunks = batches.reduce((sum, batch) => sum + Math.ceil(batch.batchSize / chunk), 0);
    const { probes = Math.ceil(256 / chunks) } = options;
    return sampledDiagonal(model, batches, terms, { probes, chunk, seed });
  }
  const ggn = scaledOperator(ggnOperator(model, batches), terms);
  if (structure === "full") return SpectralCurvature.fromMatrix(denseMatrix(ggn), ggn.size);
  const pinned: LinearOperator = {
    size: ggn.size,
    matvec(v) {
      // A matrix-free structure is asked for products long after the fit, when the model may hold other parameters.
      model.setParameters(parameters);
      return ggn.matvec(v);
    },
  };
  return productCurvature(structure === "matrixFree" ? pinned : ggn, structure, options);
}

/** The structures that need nothing but products. */
function productCurvature(
  operator: LinearOperator,
  structure: HessianStructure,
  { rank = 20, remainder = "trace", lanczosSteps = 50, traceProbes = 8, seed = 0 }: LaplaceOptions,
): Curvature {
  requireCount("traceProbes", traceProbes);
  requireCount("lanczosSteps", lanczosSteps);
  if (structure === "matrixFree")
    return new MatrixFreeCurvature(operator, { steps: lanczosSteps, probes: traceProbes, seed });
  requireCount("rank", rank, operator.size);
  requireOneOf("remainder", remainder, ["trace", "zero"]);
  const rng = stream(seed, 0, "lowRankCurvature");
  const { eigenvalues, eigenvectors } = extremeEigenpairs(operator, {
    k: rank,
    rng,
    // What products in float32 allow for; sampling needs no more.
    tolerance: 1e-4,
    maxIterations: 4 * rank + 40,
  });
  if (remainder === "zero" || rank === operator.size) return new SpectralCurvature(eigenvalues, eigenvectors);
  const { estimate } = complementTrace(operator, eigenvectors, { samples: traceProbes, rng });
  // Rounding may leave a GGN of low rank a trace slightly below 0.
  return new SpectralCurvature(eigenvalues, eigenvectors, Math.max(0, estimate) / (operator.size - rank));
}

function bestOnHeldOut(
  model: PredictiveModel,
  posterior: LaplacePosterior,
  { heldOut, grid = DEFAULT_GRID, nSamples = 32, rule = "best" }: HeldOutChoice,
  seed: number,
): number {
  totalTerms(heldOut);
  requireCount("length of grid", grid.length);
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
