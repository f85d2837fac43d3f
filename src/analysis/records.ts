/** The records that analyses add to a run directory. */
import type { RecordFile } from "../run/json.ts";
import { readRecords } from "../run/read.ts";
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

/** What `epigrok posterior` has added, in the order in which it was done; none for a run without. */
export const readPosteriors = (runDir: string) => readRecords<PosteriorRecord>(runDir, POSTERIORS);

/** The same of `epigrok spectrum`. */
export const readSpectra = (runDir: string) => readRecords<SpectrumRecord>(runDir, SPECTRA);
