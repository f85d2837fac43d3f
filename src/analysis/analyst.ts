/** What the jobs of one run share: configuration, numeric core and probe sets, made once per worker. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { createProbeSets, type ProbeSet } from "../tasks/probes.ts";
import { type PosteriorOutcome, type PosteriorRequest, posteriorJob } from "./posterior-job.ts";
import { type SpectrumOutcome, type SpectrumRequest, spectrumJob } from "./spectrum-job.ts";

/** What a worker gets when it starts. */
export interface AnalysisContext {
  config: Config;
  core: CoreModule;
}

export interface Analyst {
  posterior(request: PosteriorRequest): PosteriorOutcome;
  spectrum(request: SpectrumRequest): SpectrumOutcome;
}

export function createAnalyst({ config, core }: AnalysisContext): Analyst {
  let probes: ProbeSet[] | undefined;
  return {
    posterior(request) {
      probes ??= createProbeSets(config);
      return posteriorJob(request, { config, core, probes });
    },
    spectrum: (request) => spectrumJob(request, { config, core }),
  };
}
