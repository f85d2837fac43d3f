/**
 * The methods by name, as the command line offers them: fit a posterior around checkpoints and predict on probe sets.
 * A pure function of its request (random numbers are keyed by seed and member), without file access: fit for a worker.
 */
import { requireConfig } from "../config/require-config.ts";
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import type { TransformerShape } from "../core/shape.ts";
import { instantiateTransformer, type Transformer } from "../core/transformer.ts";
import { type Batch, requireTerms, totalTerms } from "../curvature/model.ts";
import { stream } from "../random.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { termsSeenAt } from "../training/loss-terms.ts";
import { transformerShape } from "../training/model.ts";
import {
  keysOf,
  refuse,
  requireCount,
  requireKeys,
  requireLength,
  requireObject,
  requireTypedArray,
} from "../validate.ts";
import type { LaplaceEvidence } from "./laplace/evidence.ts";
import { type MethodOptions, methodNamed, type PosteriorMethod } from "./methods/index.ts";
import { MixturePosterior } from "./mixture.ts";
import type { Posterior } from "./posterior.ts";

/** A posterior around checkpoints of a run, and what to predict with it. */
export interface PosteriorRequest<Method extends PosteriorMethod = PosteriorMethod> {
  config: Config;
  method: Method;
  /** Whose prompts to go on with, and whose random numbers to use. */
  member: number;
  /** Optimiser steps the checkpoints had done. */
  step: number;
  /**
   * Flat parameter vectors. The ensembles take all of them for one posterior; the other methods fit one around each and
   * mix these with equal weights.
   */
  checkpoints: readonly Float32Array[];
  /** Of an IVON run: what makes the checkpoints, in their order, the posteriors that the run trained. */
  ivon?: readonly IvonCurvature[];
  /**
   * D, see `recentBatches`: what means over the training prompts (loss, GGN, gradients) are taken over. Only methods that
   * take none can do without.
   */
  data?: readonly Batch[];
  probes: readonly { set: ProbeSetName; batch: Batch }[];
  /** Draws in all: a multiple of the number of posteriors. An ensemble has at most as many as it has members. */
  nSamples: number;
  seed: number;
  /**
   * N. Default: the predictions the member has trained on at the checkpoint, step x batchSize x positions (those of a
   * prompt pool once), of which D is a sample. State it to compare the evidence of checkpoints of different steps.
   */
  trainingTerms?: number;
  options?: MethodOptions<Method>;
}

const REQUEST = keysOf<PosteriorRequest>({
  ...{ config: true, method: true, member: true, step: true, checkpoints: true, ivon: true, data: true },
  ...{ probes: true, nSamples: true, seed: true, trainingTerms: true, options: true },
});

/** The posterior asked for, and its predictions. */
export interface PosteriorResult {
  method: PosteriorMethod;
  /** Per probe set, one array (prompts, positions, classes) per draw; the same draws for every set. */
  predictions: { set: ProbeSetName; samples: Float32Array[] }[];
  /** Per checkpoint, for the Laplace methods. */
  laplace: LaplaceEvidence[];
  /** N; lambda of a run's own IVON posterior. */
  trainingTerms: number;
  posterior: Posterior;
  fitSeconds: number;
  predictSeconds: number;
}

/** The model that a method predicts with, of a run's shape. */
export function modelOf(
  shape: TransformerShape,
  method: PosteriorMethod,
  options: MethodOptions,
  core: CoreModule,
): Transformer {
  const { shape: change, needs } = methodNamed(method);
  return instantiateTransformer(core, { ...shape, ...change?.(options) }, needs.model);
}

/** Predictions of a posterior on probe sets. A fresh stream per set: every set sees the same weights. */
export function predictionsOf(
  posterior: Posterior,
  model: Transformer,
  probes: PosteriorRequest["probes"],
  { nSamples, seed, member }: { nSamples: number; seed: number; member: number },
): PosteriorResult["predictions"] {
  return probes.map(({ set, batch }) => ({
    set,
    samples: posterior.predict(model, batch, { nSamples, rng: stream(seed, member, "posteriorPredictions") }),
  }));
}

/**
 * @throws RangeError for an unknown method, no checkpoint or one of another shape, or an option outside its range
 */
export function fitAndPredict<Method extends PosteriorMethod>(
  request: PosteriorRequest<Method>,
  core: CoreModule,
): PosteriorResult {
  requireKeys("fitAndPredict", request, REQUEST);
  const { config, member, step, method, checkpoints, ivon, data = [], probes, seed, options = {} } = request;
  requireConfig(config);
  requireObject("core", core);
  requireObject("options", options);
  if (!Array.isArray(probes)) refuse("probes", probes, "a list");
  const definition = methodNamed(method);
  const { needs } = definition;
  requireCount("number of checkpoints", checkpoints?.length);
  if (ivon && ivon.length !== checkpoints.length)
    refuse("ivon", `${ivon.length} posteriors`, `${checkpoints.length}, one a checkpoint`);
  const terms = needs.data ? totalTerms(data) : 0;
  const trainingTerms =
    request.trainingTerms === undefined
      ? // Early on the data set is larger than what has been trained on.
        Math.max(terms, termsSeenAt(config, step))
      : requireTerms("trainingTerms", request.trainingTerms);
  const model = modelOf(transformerShape(config), method, options, core);
  for (const parameters of checkpoints) requireTypedArray("checkpoint", parameters, "Float32Array");
  for (const parameters of checkpoints) requireLength("checkpoint", parameters, model.parameterCount);

  const groups = needs.checkpoints === "one" ? checkpoints.map((one) => [one]) : [checkpoints];
  const draws = Math.ceil(request.nSamples / groups.length);
  definition.requireOptions(options, draws);

  const started = performance.now();
  const fitted = groups.map((group, index) =>
    definition.fit({
      ...{ config, member, step, model, checkpoints: group, ivon: ivon?.[index], data, trainingTerms },
      nSamples: draws,
      ...{ seed, rng: stream(seed, member, "posteriorFit", index), options },
    }),
  );
  const posteriors = fitted.map(({ posterior }) => posterior);
  const posterior = posteriors.length === 1 ? posteriors[0] : new MixturePosterior(posteriors);
  const done = performance.now();
  const predictions = predictionsOf(posterior, model, probes, { nSamples: request.nSamples, seed, member });
  return {
    method,
    predictions,
    laplace: fitted.flatMap(({ evidence }) => evidence ?? []),
    trainingTerms: fitted[0].trainingTerms ?? trainingTerms,
    posterior,
    fitSeconds: (done - started) / 1000,
    predictSeconds: (performance.now() - done) / 1000,
  };
}
