/** One posterior of one checkpoint (or of several together), reduced to measures. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { checkpointDigest, decodePosterior, encodePosterior } from "../posterior/file.ts";
import { fitAndPredict, modelOf, type PosteriorResult, predictionsOf } from "../posterior/fit-and-predict.ts";
import type { LaplaceEvidence } from "../posterior/laplace/evidence.ts";
import { type MethodOptions, methodNamed, type PosteriorMethod } from "../posterior/methods/index.ts";
import type { Posterior } from "../posterior/posterior.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { ProbeSet } from "../tasks/probes.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { transformerShape } from "../training/model.ts";
import { recentBatches } from "../training/recent-batches.ts";
import { type EnsembleMeasures, ensembleMeasures } from "../uncertainty/measures.ts";

/** What to compute, without the parameters. */
export interface PosteriorJob {
  method: PosteriorMethod;
  /** What it is called in this run, if not by its own name. */
  name?: string;
  step: number;
  /** null: all members together. */
  member: number | null;
  /** Of a method that takes several checkpoints of one member: their steps, `step` the last. */
  checkpointSteps?: number[];
  /** S, draws of the posterior; an ensemble has as many as members. */
  samples: number;
  /** Training batches that means over the data are taken over. */
  batches: number;
  options: MethodOptions;
}

export interface PosteriorJobRequest extends PosteriorJob {
  /** Flat parameters: one vector, or one for each member or step. */
  checkpoints: Float32Array[];
  /** What makes the member's parameters the mean of its own IVON posterior. */
  ivon?: IvonCurvature[];
}

export interface PosteriorOutcome {
  /** Draws that the measures are over. */
  samples: number;
  /** N, terms of the likelihood. */
  trainingTerms: number;
  sets: Partial<Record<ProbeSetName, EnsembleMeasures>>;
  laplace: LaplaceEvidence | null;
  fitSeconds: number;
  predictSeconds: number;
}

/**
 * A line of `posteriors.jsonl`: what was asked for and what came out. `settings` is the SHA-256 of everything the result
 * depends on besides method, step and member: records of one method compare only if it is the same. Seconds are the only
 * measured times, and differ between equal runs.
 */
export interface PosteriorRecord extends PosteriorJob, PosteriorOutcome {
  settings: string;
  /** SHA-256 of the checkpoints it was made of; absent from records of early versions. */
  inputs?: string;
}

/** What a job is computed with. */
export interface PosteriorContext {
  config: Config;
  core: CoreModule;
  probes: readonly ProbeSet[];
}

/** @throws RangeError for what `fitAndPredict` refuses, and for predictions that are not distributions */
export function posteriorJob(request: PosteriorJobRequest, context: PosteriorContext): PosteriorOutcome {
  return fitJob(request, context).outcome;
}

/** The same with the posterior itself, as a file. */
export async function posteriorFile(
  request: PosteriorJobRequest & { run: string },
  context: PosteriorContext,
): Promise<{ outcome: PosteriorOutcome; file: Uint8Array }> {
  const { outcome, posterior } = fitJob(request, context);
  const { method, options, step, member, checkpointSteps, samples, run, checkpoints } = request;
  const file = encodePosterior(posterior, {
    ...{ method, options, step, member, checkpointSteps, samples, run },
    ...{ trainingTerms: outcome.trainingTerms, laplace: outcome.laplace, seed: context.config.seed },
    checkpoints: await checkpointDigest(checkpoints),
  });
  return { outcome, file };
}

/** Predictions of a posterior that was saved: with as many samples as it was saved with, those of then to the last bit. */
export function savedPosteriorJob(
  { file, samples: nSamples }: { file: Uint8Array; samples: number },
  { config, core, probes }: PosteriorContext,
): PosteriorOutcome {
  const started = performance.now();
  const { posterior, origin } = decodePosterior(file);
  const { method, options, trainingTerms, laplace = null, seed, member } = origin;
  const predictions = predictionsOf(
    posterior,
    modelOf(transformerShape(config), method, options, core),
    asked(probes),
    {
      ...{ nSamples, seed, member: member ?? 0 },
    },
  );
  return {
    samples: predictions[0].samples.length,
    trainingTerms,
    sets: measuresOf(predictions, probes),
    laplace,
    fitSeconds: 0,
    predictSeconds: (performance.now() - started) / 1000,
  };
}

function fitJob(
  { method, step, member, samples: nSamples, batches, options, checkpoints, ivon }: PosteriorJobRequest,
  { config, core, probes }: PosteriorContext,
): { outcome: PosteriorOutcome; posterior: Posterior } {
  const started = performance.now();
  const data = methodNamed(method).needs.data ? recentBatches(config, member ?? 0, step, batches) : [];
  const { predictions, laplace, trainingTerms, fitSeconds, posterior } = fitAndPredict(
    {
      ...{ config, method, member: member ?? 0, step, checkpoints, ivon, data, nSamples, options },
      probes: asked(probes),
      seed: config.seed,
    },
    core,
  );
  const outcome = {
    samples: predictions[0].samples.length,
    trainingTerms,
    sets: measuresOf(predictions, probes),
    laplace: laplace[0] ?? null,
    fitSeconds,
    predictSeconds: (performance.now() - started) / 1000 - fitSeconds,
  };
  return { outcome, posterior };
}

const asked = (probes: readonly ProbeSet[]) => probes.map(({ name, batch }) => ({ set: name, batch }));

function measuresOf(
  predictions: PosteriorResult["predictions"],
  probes: readonly ProbeSet[],
): PosteriorOutcome["sets"] {
  return Object.fromEntries(
    predictions.map(({ set, samples }, i) => [set, ensembleMeasures(samples, probes[i])]),
  );
}
