/** A run with what was computed from its checkpoints afterwards. */
import type { PosteriorRecord } from "../analysis/posterior-job.ts";
import { readPosteriors, readSpectra } from "../analysis/records.ts";
import type { SpectrumRecord } from "../analysis/spectrum-job.ts";
import * as run from "../run/read.ts";

/** What a run directory holds, as `readRun` gives it. */
export interface RunData extends run.RunData {
  /** What `epigrok posterior` and `epigrok spectrum` have added, in the order in which it was done. */
  posteriors: PosteriorRecord[];
  spectra: SpectrumRecord[];
}

/**
 * Reads a run directory; one that is still being written can be read too.
 * @param onFault told of each damaged file or line, which is then left out; without it that is an error
 * @throws MissingRunError if there is no such directory; ForeignRunError if it does not hold a run, or a file of it is
 *   damaged
 */
export async function readRun(runDir: string, onFault?: run.OnFault): Promise<RunData> {
  const data = await run.readRun(runDir, onFault);
  const { directory } = data;
  return {
    ...data,
    posteriors: await readPosteriors(directory, onFault),
    spectra: await readSpectra(directory, onFault),
  };
}
