/** A worker thread for analyses of checkpoints: each exported function is a pure function of its request. */
import { workerData } from "node:worker_threads";
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { createProbeSets, type ProbeSet } from "../tasks/probes.ts";
import {
  type PosteriorContext,
  type PosteriorJobRequest,
  type PosteriorOutcome,
  posteriorFile,
  posteriorJob,
  savedPosteriorJob,
} from "./posterior-job.ts";
import { type SpectrumOutcome, type SpectrumRequest, spectrumJob } from "./spectrum-job.ts";

/** What a worker gets when it starts. */
export interface AnalysisContext {
  config: Config;
  core: CoreModule;
}

const context = workerData as AnalysisContext;

/** Made once, by the first job that predicts. */
let probes: ProbeSet[] | undefined;

function withProbes(): PosteriorContext {
  probes ??= createProbeSets(context.config);
  return { ...context, probes };
}

export function posterior(request: PosteriorJobRequest): PosteriorOutcome {
  return posteriorJob(request, withProbes());
}

export function savePosterior(
  request: Parameters<typeof posteriorFile>[0],
): ReturnType<typeof posteriorFile> {
  return posteriorFile(request, withProbes());
}

export function savedPosterior(request: Parameters<typeof savedPosteriorJob>[0]): PosteriorOutcome {
  return savedPosteriorJob(request, withProbes());
}

export function spectrum(request: SpectrumRequest): SpectrumOutcome {
  return spectrumJob(request, context);
}
