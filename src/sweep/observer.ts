/** What a sweep tells while it goes on. */
import type { RunStart } from "../run/observer.ts";
import type { SweepRun } from "./expand.ts";

/** Told of a sweep while it goes on. */
export interface SweepObserver {
  /** Once, and again when the sweep has been extended meanwhile. */
  started?(start: SweepStart): void;
  /** A run begins here, or goes on. */
  runStarted?(run: SweepRun, start: RunStart): void;
  /** A run that was under way here is not any more: stopped, taken by another process, or failed and to be tried again. */
  runLeft?(run: SweepRun): void;
  /** A run has come to its end, here or in another process. */
  runEnded?(run: SweepRun, end: RunEnd): void;
  /** All that is left is under way in other processes, which are waited for. */
  waiting?(runs: readonly SweepRun[]): void;
  /** Of something that no run fails for. */
  warned?(message: string): void;
}

export interface SweepStart {
  directory: string;
  runs: readonly SweepRun[];
  /** Those that are neither finished nor failed. */
  open: readonly SweepRun[];
  workers: number;
}

export interface RunEnd {
  state: "finished" | "failed";
  /** Whether it was under way in this process. */
  here: boolean;
  /** Why it failed. */
  message: string | null;
}
