/** One posterior of one checkpoint (or of several together), reduced to measures. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { fitAndPredict } from "../posterior/fit-and-predict.ts";
import type { LaplaceEvidence } from "../posterior/laplace/evidence.ts";
import { type MethodOptions, methodNamed, type PosteriorMethod } from "../posterior/methods/index.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { ProbeSet } from "../tasks/probes.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { recentBatches } from "../training/recent-batches.ts";
import { type EnsembleMeasures, ensembleMeasures } from "../uncertainty/measures.ts";

/** What to compute, without the parameters. */
export interface PosteriorJob {
  method: PosteriorMethod;
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

/** @throws RangeError for what `fitAndPredict` refuses, and for predictions that are not distributions */
export function posteriorJob(
  { method, step, member, samples: nSamples, batches, options, ...stored }: PosteriorJobRequest,
  { config, core, probes }: { config: Config; core: CoreModule; probes: readonly ProbeSet[] },
): PosteriorOutcome {
  const started = performance.now();
  const data = methodNamed(method).needs.data ? recentBatches(config, member ?? 0, step, batches) : [];
  const { predictions, laplace, trainingTerms, fitSeconds } = fitAndPredict(
    {
      ...{ config, method, member: member ?? 0, step, ...stored, data, nSamples, options },
      probes: probes.map(({ name, batch }) => ({ set: name, batch })),
      seed: config.seed,
    },
    core,
  );
  const sets = Object.fromEntries(
    predictions.map(({ set, samples }, i) => [set, ensembleMeasures(samples, probes[i])]),
  );
  return {
    samples: predictions[0].samples.length,
    trainingTerms,
    sets,
    laplace: laplace[0] ?? null,
    fitSeconds,
    predictSeconds: (performance.now() - started) / 1000 - fitSeconds,
  };
}
