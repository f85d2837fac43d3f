/**
 * The methods by name, as the command line offers them: fit a posterior around checkpoints and predict on probe sets.
 * A pure function of its request (random numbers are keyed by seed and member), without file access: fit for a worker.
 */
import { type Config, ivonSchema, type TrainingConfig } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { type CurvatureTransformer, instantiateTransformer } from "../core/transformer.ts";
import { extremeEigenpairs } from "../curvature/lanczos.ts";
import { type Batch, meanLossAndGradient, totalTerms } from "../curvature/model.ts";
import { ggnOperator } from "../curvature/operators.ts";
import { type RandomGenerator, stream } from "../random.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { PromptSampler } from "../tasks/prompts.ts";
import { transformerShape } from "../training/model.ts";
import { requireCount, requireLength, requireOneOf, requirePositive } from "../validate.ts";
import { DropoutPosterior } from "./dropout.ts";
import { EmpiricalPosterior } from "./empirical.ts";
import { Ivon, type IvonCurvature, ivonPosterior } from "./ivon.ts";
import { fitLaplace, type LaplaceOptions } from "./laplace/fit.ts";
import type { LaplacePosterior } from "./laplace/laplace.ts";
import { MixturePosterior } from "./mixture.ts";
import type { Posterior } from "./posterior.ts";
import { fitSgld } from "./sgld.ts";
import { SwagCollector } from "./swag.ts";

const LAPLACE = {
  "laplace-last-layer": { subsetOfWeights: "lastLayer", hessianStructure: "kron" },
  "laplace-kfac": { subsetOfWeights: "all", hessianStructure: "kron" },
  "laplace-low-rank": { subsetOfWeights: "all", hessianStructure: "lowRank" },
  "laplace-diagonal": { subsetOfWeights: "all", hessianStructure: "diag" },
} as const satisfies Record<string, LaplaceOptions>;

export const POSTERIOR_METHODS = [
  "laplace-last-layer",
  "laplace-kfac",
  "laplace-low-rank",
  "laplace-diagonal",
  "swag",
  "ivon",
  "dropout",
  "sgld",
  "ensemble",
] as const;

export type PosteriorMethod = (typeof POSTERIOR_METHODS)[number];

/** Steps of the methods that go on from a checkpoint. */
export const DEFAULT_STEPS = { swag: 400, ivon: 400, sgld: 300 } as const;

export interface MethodOptions extends LaplaceOptions {
  /**
   * N. Default: the predictions the member has trained on at the checkpoint, step x batchSize x positions, of which D
   * is a sample. State it to compare the evidence of checkpoints of different steps.
   */
  trainingTerms?: number;
  /**
   * Steps of the methods that go on from the checkpoint. Default 400, 300 for sgld; ivon 0, the run's own posterior at
   * the checkpoint, where the request has it.
   */
  steps?: number;
  /** Constant; AdamW's for swag, IVON's for ivon. Default a half (swag) or a third (ivon) of `peakChange`. */
  learningRate?: number;
  /** swag: deviations kept, 0 for the diagonal. Default 20. */
  maxRank?: number;
  /**
   * sgld: default half of 1 / (N x largest GGN eigenvalue + delta), an eighth of where it turns unstable. To be stated
   * for a preconditioned chain, which scales the curvature by what it meets on its way.
   */
  stepSize?: number;
  preconditioned?: boolean;
  /** dropout: rate, if it is not the model's own. */
  dropout?: number;
}

export interface PosteriorRequest {
  config: Config;
  method: PosteriorMethod;
  /** Whose prompts to go on with, and whose random numbers to use. */
  member: number;
  /** Optimiser steps the checkpoints had done. */
  step: number;
  /**
   * Flat parameter vectors. `ensemble` takes them as its members; the other methods fit one posterior around each and
   * mix them with equal weights.
   */
  checkpoints: readonly Float32Array[];
  /** Of an IVON run: what makes the checkpoints, in their order, the posteriors that the run trained. */
  ivon?: readonly IvonCurvature[];
  /** D, see `recentBatches`: what means over the training prompts (loss, GGN, gradients) are taken over. */
  data: readonly Batch[];
  probes: readonly { set: ProbeSetName; batch: Batch }[];
  /** Draws in all: a multiple of the number of checkpoints. `ensemble` has as many as it has members. */
  nSamples: number;
  seed: number;
  options?: MethodOptions;
}

export interface LaplaceEvidence {
  /** Log evidence, nats. */
  logMarginalLikelihood: number;
  /** delta of the prior N(0, I / delta). */
  priorPrecision: number;
  effectiveParameters: number;
}

export interface PosteriorResult {
  method: PosteriorMethod;
  /** Per probe set, one array (prompts, positions, classes) per draw; the same draws of the weights for every set. */
  predictions: { set: ProbeSetName; samples: Float32Array[] }[];
  /** Per checkpoint, for the Laplace methods. */
  laplace: LaplaceEvidence[];
  /** N; lambda of a run's own IVON posterior. */
  trainingTerms: number;
  posterior: Posterior;
  fitSeconds: number;
  predictSeconds: number;
}

/**
 * @throws RangeError for an unknown method, no checkpoint or one of another shape, or an option outside its range
 */
export function fitAndPredict(request: PosteriorRequest, core: CoreModule): PosteriorResult {
  const { config, method, checkpoints, probes, nSamples, seed, member } = request;
  requireOneOf("method", method, POSTERIOR_METHODS);
  requireCount("number of checkpoints", checkpoints.length);
  const own = method === "ivon" && ivonSteps(request) === 0 ? request.ivon?.[0] : undefined;
  const trainingTerms = requirePositive(
    "trainingTerms",
    own?.effectiveSampleSize ?? request.options?.trainingTerms ?? termsSeen(request),
  );
  const shape = transformerShape(config);
  const dropout = request.options?.dropout ?? shape.dropout ?? 0;
  const kronecker = method === "laplace-kfac";
  const model = instantiateTransformer(core, { ...shape, dropout }, { curvature: true, kronecker });
  for (const parameters of checkpoints) requireLength("checkpoint", parameters, model.parameterCount);

  const started = performance.now();
  const { parts, laplace } = fitEach(request, model, trainingTerms);
  const posterior = parts.length === 1 ? parts[0] : new MixturePosterior(parts);
  const fitted = performance.now();
  const predictions = probes.map(({ set, batch }) => ({
    set,
    // A fresh stream per set: every set sees the same weights.
    samples: posterior.predict(model, batch, { nSamples, rng: stream(seed, member, "posteriorPredictions") }),
  }));
  return {
    method,
    predictions,
    laplace,
    trainingTerms,
    posterior,
    fitSeconds: (fitted - started) / 1000,
    predictSeconds: (performance.now() - fitted) / 1000,
  };
}

/** Predictions trained on up to the checkpoint, or the size of the data set where that is larger. */
function termsSeen({ config: { training, task }, step, data }: PosteriorRequest): number {
  const perPrompt = training.lossPositions === "all" ? task.examples : 1;
  return Math.max(totalTerms(data), step * training.batchSize * perPrompt);
}

function evidenceOf(posterior: LaplacePosterior): LaplaceEvidence {
  return {
    logMarginalLikelihood: posterior.logMarginalLikelihood(),
    priorPrecision: posterior.fields.priorPrecision,
    effectiveParameters: posterior.gaussian.effectiveParameters(),
  };
}

/** One posterior per checkpoint, or the ensemble of them. */
function fitEach(
  request: PosteriorRequest,
  model: CurvatureTransformer,
  trainingTerms: number,
): { parts: Posterior[]; laplace: LaplaceEvidence[] } {
  const { method, checkpoints, data, seed, member, options } = request;
  if (method === "ensemble") return { parts: [new EmpiricalPosterior("ensemble", checkpoints)], laplace: [] };
  if (method in LAPLACE) {
    const structure = LAPLACE[method as keyof typeof LAPLACE];
    const parts = checkpoints.map((parameters) =>
      fitLaplace(model, parameters, data, { seed, ...options, trainingTerms, ...structure }),
    );
    return { parts, laplace: parts.map(evidenceOf) };
  }
  const parts = checkpoints.map((parameters, index) => {
    const rng = stream(seed, member, "posteriorFit", index);
    switch (method) {
      case "swag":
        return continueWithSwag(request, model, parameters);
      case "ivon":
        return ivonSteps(request) === 0
          ? ownIvon(request, index)
          : continueWithIvon(request, model, parameters, trainingTerms, rng);
      case "sgld":
        return sampleWithSgld(request, model, parameters, trainingTerms, rng);
      default:
        return new DropoutPosterior(parameters);
    }
  });
  return { parts, laplace: [] };
}

/**
 * The largest change of one parameter in one step at the run's peak learning rate: the unit in which the learning rates
 * of different optimisers compare. AdamW's steps are at most about its learning rate, whatever the gradient; IVON's are
 * clipped to the learning rate times the clip radius (without clipping they have no bound, and the default radius
 * stands in).
 */
export function peakChange({ learningRate, ivon }: TrainingConfig): number {
  if (!ivon) return learningRate;
  return learningRate * (ivon.clipRadius || ivonSchema.parse({}).clipRadius);
}

/** Calls `run` with the prompts that would have come next, `steps` times. */
function continueTraining(
  { config, member, step }: PosteriorRequest,
  steps: number,
  run: (batch: Batch, t: number) => void,
): void {
  const { task, seed, evaluation, training } = config;
  const sampler = new PromptSampler(task, seed, evaluation.prompts);
  const batch = sampler.createBatch(training.batchSize, training.lossPositions);
  for (let t = 1; t <= requireCount("steps", steps); t++) {
    sampler.sampleInto(batch, member, step + t);
    run(batch, t);
  }
}

/** Iterates of AdamW at a constant learning rate: 40 of them, after a fifth of the steps. */
function continueWithSwag(
  request: PosteriorRequest,
  model: CurvatureTransformer,
  parameters: Float32Array,
): Posterior {
  const { training } = request.config;
  const {
    steps = DEFAULT_STEPS.swag,
    learningRate = peakChange(training) / 2,
    maxRank,
  } = request.options ?? {};
  requirePositive("learningRate", learningRate);
  const settle = Math.floor(steps / 5);
  const every = Math.max(1, Math.floor((steps - settle) / 40));
  const collector = new SwagCollector(model.parameterCount, maxRank);
  model.setParameters(parameters);
  const zero = () => new Float32Array(model.parameterCount);
  model.setMoments({ first: zero(), second: zero() });
  continueTraining(request, steps, (batch, t) => {
    const dropout = { seed: request.seed, stream: request.member, step: request.step + t };
    const { loss } = model.trainStep(batch, { ...training, step: t, learningRate, dropout });
    if (!Number.isFinite(loss))
      throw new RangeError(`learningRate: got ${learningRate}, with which training diverged at step ${t}`);
    if (t > settle && (t - settle) % every === 0) collector.collect(model.getParameters());
  });
  return collector.posterior();
}

const ivonSteps = ({ options, ivon }: PosteriorRequest) => options?.steps ?? (ivon ? 0 : DEFAULT_STEPS.ivon);

/** @throws RangeError if the request does not have the run's own posterior around this checkpoint */
function ownIvon({ checkpoints, ivon }: PosteriorRequest, index: number): Posterior {
  if (!ivon) throw new RangeError("steps: got 0, must be at least 1 without the IVON posterior of the run");
  if (ivon.length !== checkpoints.length)
    throw new RangeError(
      `ivon: got ${ivon.length} posteriors, must be ${checkpoints.length}, one a checkpoint`,
    );
  return ivonPosterior(checkpoints[index], ivon[index].hessian, ivon[index]);
}

function continueWithIvon(
  request: PosteriorRequest,
  model: CurvatureTransformer,
  parameters: Float32Array,
  trainingTerms: number,
  rng: RandomGenerator,
): Posterior {
  const { training } = request.config;
  const { learningRate = peakChange(training) / 3, priorPrecision = 1 } = request.options ?? {};
  const steps = requireCount("steps", ivonSteps(request));
  const ivon = new Ivon(parameters, {
    learningRate,
    effectiveSampleSize: trainingTerms,
    weightDecay: fixedPrior(priorPrecision) / trainingTerms,
    hessianInit: 0.5,
    // A few hundred steps have to be enough to forget the initial h.
    beta2: Math.max(0.9, 1 - 6 / steps),
    // Makes the learning rate the largest change of a parameter. Early on, directions of little curvature would
    // otherwise take steps of gradient / delta.
    clipRadius: 1,
  });
  continueTraining(request, steps, (batch) => {
    ivon.step((theta) => gradientAt(model, [batch], theta), rng);
  });
  return ivon.posterior();
}

/**
 * Gradients over all of D: scaled by N, the noise of a random batch would exceed the injected one many times, and the
 * chain would run at a temperature of its own.
 */
function sampleWithSgld(
  request: PosteriorRequest,
  model: CurvatureTransformer,
  parameters: Float32Array,
  trainingTerms: number,
  rng: RandomGenerator,
): Posterior {
  const { data, nSamples, checkpoints, options = {} } = request;
  const { steps = DEFAULT_STEPS.sgld, priorPrecision = 1, preconditioned } = options;
  const draws = Math.ceil(nSamples / checkpoints.length);
  if (preconditioned && options.stepSize === undefined)
    throw new RangeError("stepSize: got none, must be stated for a preconditioned chain");
  const burnIn = Math.max(1, Math.floor(steps / 4));
  model.setParameters(parameters);
  const stepSize =
    options.stepSize ??
    0.5 / (trainingTerms * largestEigenvalue(model, data, rng) + fixedPrior(priorPrecision));
  return fitSgld(parameters, (theta) => gradientAt(model, data, theta), {
    stepSize,
    trainingTerms,
    priorPrecision: fixedPrior(priorPrecision),
    burnIn,
    thinning: Math.max(1, Math.floor((requireCount("steps", steps) - burnIn) / draws)),
    draws,
    preconditioned,
    rng,
  });
}

function gradientAt(
  model: CurvatureTransformer,
  batches: readonly Batch[],
  theta: Float64Array,
): Float64Array {
  model.setParameters(Float32Array.from(theta));
  return meanLossAndGradient(model, batches).gradient;
}

/** To a few percent: it only sets a step size. */
function largestEigenvalue(
  model: CurvatureTransformer,
  data: readonly Batch[],
  rng: RandomGenerator,
): number {
  return extremeEigenpairs(ggnOperator(model, data), { k: 1, rng, tolerance: 0.05 }).eigenvalues[0];
}

/** @throws RangeError unless the prior precision is a number: these methods have no evidence to tune it by */
function fixedPrior(priorPrecision: LaplaceOptions["priorPrecision"]): number {
  if (typeof priorPrecision === "number") return requirePositive("priorPrecision", priorPrecision);
  throw new RangeError(
    `priorPrecision: got ${JSON.stringify(priorPrecision)}, must be a number for this method`,
  );
}
