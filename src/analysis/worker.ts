/** A worker thread for analyses of checkpoints: each exported function is a pure function of its request. */
import { workerData } from "node:worker_threads";
import { type AnalysisContext, createAnalyst } from "./analyst.ts";
import type { PosteriorOutcome, PosteriorRequest } from "./posterior-job.ts";
import type { SpectrumOutcome, SpectrumRequest } from "./spectrum-job.ts";

const analyst = createAnalyst(workerData as AnalysisContext);

export const posterior = (request: PosteriorRequest): PosteriorOutcome => analyst.posterior(request);
export const spectrum = (request: SpectrumRequest): SpectrumOutcome => analyst.spectrum(request);
