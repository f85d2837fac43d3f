/** A worker thread for analyses of checkpoints: each exported function is a pure function of its request. */
import { workerData } from "node:worker_threads";
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { createProbeSets, type ProbeSet } from "../tasks/probes.ts";
import { type PosteriorJobRequest, type PosteriorOutcome, posteriorJob } from "./posterior-job.ts";
import { type SpectrumOutcome, type SpectrumRequest, spectrumJob } from "./spectrum-job.ts";

/** What a worker gets when it starts. */
export interface AnalysisContext {
  config: Config;
  core: CoreModule;
}

const context = workerData as AnalysisContext;

/** Made once, by the first job that predicts. */
let probes: ProbeSet[] | undefined;

export function posterior(request: PosteriorJobRequest): PosteriorOutcome {
  probes ??= createProbeSets(context.config);
  return posteriorJob(request, { ...context, probes });
}

export function spectrum(request: SpectrumRequest): SpectrumOutcome {
  return spectrumJob(request, context);
}
