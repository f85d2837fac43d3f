/** Which files of a run a derived record was made of, so that one of other files is not taken for a present one. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { methodNamed } from "../posterior/methods/index.ts";
import { type CheckpointStep, listCheckpoints } from "../run/checkpoints.ts";
import { checkpointFile, ivonFile } from "../run/files.ts";
import type { PosteriorJob } from "./posterior-job.ts";
import type { SpectrumJob } from "./spectrum-job.ts";

/** The checkpoints of a posterior: of all members, or of one at its step or at several. */
export function posteriorFiles(
  { method, step, member, checkpointSteps = [step] }: PosteriorJob,
  kept: readonly CheckpointStep[],
): string[] {
  const at = kept.find((checkpoint) => checkpoint.step === step);
  if (member === null) return (at?.members ?? []).map((each) => checkpointFile({ step, member: each }));
  const own = methodNamed(method).needs.ivonCurvature && at?.withCurvature.includes(member);
  return checkpointSteps.flatMap((each) => [
    checkpointFile({ step: each, member }),
    ...(own ? [ivonFile({ step: each, member })] : []),
  ]);
}

export const spectrumFiles = ({ step, member }: SpectrumJob): string[] => [checkpointFile({ step, member })];

/** SHA-256 of the names and contents of files of a run, hexadecimal; each file is read once. */
export class InputHashes {
  readonly #directory: string;
  readonly #known = new Map<string, Promise<string | null>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** null if one of them is not there. */
  async of(files: readonly string[]): Promise<string | null> {
    const contents = await Promise.all(files.map((file) => this.#contents(file)));
    if (contents.length === 0 || contents.includes(null)) return null;
    return sha256(JSON.stringify(files.map((file, i) => [file.replaceAll("\\", "/"), contents[i]])));
  }

  #contents(file: string): Promise<string | null> {
    const known = this.#known.get(file) ?? readFile(join(this.#directory, file)).then(sha256, () => null);
    this.#known.set(file, known);
    return known;
  }
}

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");

/**
 * The records that may have been made of the checkpoints that are there: those that others were made of are left out. Of
 * checkpoints that are gone nothing is known, and an early version's records do not name their inputs; of an ensemble
 * the number of its members says enough.
 */
export async function currentRecords<T extends { inputs?: string }>(
  directory: string,
  records: readonly T[],
  filesOf: (record: T, kept: readonly CheckpointStep[]) => string[],
  membersOf: (record: T) => number | null = () => null,
): Promise<T[]> {
  const kept = await listCheckpoints(directory);
  const hashes = new InputHashes(directory);
  const current = await Promise.all(
    records.map(async (record) => {
      const files = filesOf(record, kept);
      const present = await hashes.of(files);
      if (present === null) return true;
      if (record.inputs !== undefined) return record.inputs === present;
      const members = membersOf(record);
      return members === null || members === files.length;
    }),
  );
  return records.filter((_, i) => current[i]);
}
