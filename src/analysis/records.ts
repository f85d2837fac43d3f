/** The records that analyses add to a run directory. */
import type { RecordFile } from "../run/json.ts";
import { type OnFault, readRecords } from "../run/read.ts";
import { currentRecords, posteriorFiles, spectrumFiles } from "./inputs.ts";
import type { PosteriorRecord } from "./posterior-job.ts";
import type { SpectrumRecord } from "./spectrum-job.ts";

export const POSTERIORS: RecordFile = {
  file: "posteriors.jsonl",
  what: "a posterior record (method, step, sets)",
  matches: ({ method, step, sets }) =>
    typeof method === "string" && Number.isInteger(step) && typeof sets === "object" && sets !== null,
};

export const SPECTRA: RecordFile = {
  file: "spectrum.jsonl",
  what: "a spectrum record (operator, step, largest)",
  matches: ({ operator, step, largest }) =>
    typeof operator === "string" && Number.isInteger(step) && Array.isArray(largest),
};

/**
 * What `epigrok posterior` has added, in the order in which it was done, as far as it is of the checkpoints that are
 * there; none for a run without.
 */
export async function readPosteriors(runDir: string, onFault?: OnFault): Promise<PosteriorRecord[]> {
  const records = await readRecords<PosteriorRecord>(runDir, POSTERIORS, onFault);
  return currentRecords(runDir, records, posteriorFiles, ({ member, samples }) =>
    member === null ? samples : null,
  );
}

/** The same of `epigrok spectrum`. */
export async function readSpectra(runDir: string, onFault?: OnFault): Promise<SpectrumRecord[]> {
  return currentRecords(runDir, await readRecords<SpectrumRecord>(runDir, SPECTRA, onFault), spectrumFiles);
}
