/** What is in a directory of runs, read off their files without opening them. */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { messageOf, UsageError } from "../errors.ts";
import { LOCK } from "./files.ts";
import { holderOf } from "./lock.ts";
import { readManifest, readMetrics, readSummary } from "./read.ts";

export interface RunStatus {
  directory: string;
  /** `interrupted`: a resume goes on. `broken`: a file is damaged. */
  state: "running" | "finished" | "interrupted" | "broken";
  /** Of the last evaluation, and of the end; null where that cannot be read. */
  step: number | null;
  steps: number | null;
  /** Of a broken run what is damaged, of a finished one its verdict. */
  message: string | null;
}

/** Of the run in `directory`, or of those in directories in it, by name. */
export async function runStatuses(directory: string): Promise<RunStatus[]> {
  const own = await statusOf(directory);
  if (own) return [own];
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    throw new UsageError(`cannot read ${directory}: ${messageOf(error)}`);
  });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const all = await Promise.all(names.sort().map((name) => statusOf(join(directory, name))));
  return all.filter((status) => status !== null);
}

/** null if it holds no run. */
async function statusOf(path: string): Promise<RunStatus | null> {
  const directory = resolve(path);
  const broken = (error: unknown): RunStatus => ({
    ...{ directory, state: "broken", step: null, steps: null, message: messageOf(error) },
  });
  try {
    const manifest = await readManifest(directory);
    if (manifest === null) return null;
    const { steps } = manifest.config.training;
    const faults: string[] = [];
    const records = await readMetrics(directory, ({ message }) => faults.push(message));
    const summary = await readSummary(directory).catch((error) => void faults.push(messageOf(error)));
    const reached = { directory, step: records.at(-1)?.step ?? null, steps };
    if (holderOf(join(directory, LOCK))?.dead === false)
      return { ...reached, state: "running", message: null };
    if (faults.length > 0) return { ...reached, state: "broken", message: faults.join("; ") };
    return summary
      ? { ...reached, state: "finished", message: summary.verdict }
      : { ...reached, state: "interrupted", message: null };
  } catch (error) {
    return broken(error);
  }
}
