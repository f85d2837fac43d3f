/** What is known of a sweep from its files: how many runs are how far, who has them, and why some have failed. */
import type { Holder } from "../run/lock.ts";
import type { Settings } from "./definition.ts";
import { type Failure, readSweep, runDirectory } from "./directory.ts";
import { lastStep, type RunState, stateOf } from "./states.ts";

export interface SweepRunStatus {
  run: string;
  directory: string;
  settings: Settings;
  state: RunState;
  /** Of the last evaluation; of a run that is waiting or finished it is not looked up. */
  step: number | null;
  steps: number;
  /** When that evaluation was written; null where there is none. */
  at: string | null;
  holder: Holder | null;
  failure: Failure | null;
}

export interface SweepStatus {
  directory: string;
  counts: Record<RunState, number>;
  runs: SweepRunStatus[];
}

/** @throws UsageError if there is no sweep in `directory` */
export async function sweepStatus(directory: string): Promise<SweepStatus> {
  const counts: Record<RunState, number> = { finished: 0, running: 0, interrupted: 0, waiting: 0, failed: 0 };
  const runs: SweepRunStatus[] = [];
  for (const each of readSweep(directory).runs) {
    const { run, settings, steps } = each;
    const state = stateOf(directory, each);
    counts[state.state]++;
    const last = ["waiting", "finished"].includes(state.state) ? null : await lastStep(directory, run);
    const { step, at } = last ?? { step: null, at: null };
    runs.push({ ...{ run, directory: runDirectory(directory, run), settings, step, steps, at }, ...state });
  }
  return { directory, counts, runs };
}

/** How many runs are in which state, on a line. */
export const countsInWords = (counts: SweepStatus["counts"]): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");
