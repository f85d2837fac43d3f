/** How far the runs of a sweep are, read off their files. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { LOCK } from "../run/files.ts";
import { type Holder, holderOf } from "../run/lock.ts";
import type { RunSummary } from "../run/records.ts";
import { isWhole } from "../run/seal.ts";
import { survived } from "../run/summary.ts";
import { type Failure, readFailure, runDirectory } from "./directory.ts";
import type { SweepRun } from "./expand.ts";

export type RunState = "waiting" | "running" | "interrupted" | "finished" | "failed";

export interface SweepRunState {
  state: RunState;
  /** Who works on it; of a running one. */
  holder: Holder | null;
  /** Of a failed one. */
  failure: Failure | null;
}

export function stateOf(directory: string, each: Pick<SweepRun, "run" | "steps">): SweepRunState {
  const { run } = each;
  const path = runDirectory(directory, run);
  const none = { holder: null, failure: null };
  if (isFinished(path, each)) return { ...none, state: "finished" };
  const holder = holderOf(join(path, LOCK));
  if (holder && !holder.dead) return { ...none, state: "running", holder };
  const failure = readFailure(directory, run);
  if (failure) return { ...none, state: "failed", failure };
  return { ...none, state: existsSync(join(path, "config.json")) ? "interrupted" : "waiting" };
}

/**
 * With members enough for its measures, and of all steps. What is damaged is not: to go on with it mends it. Nor is what
 * was copied here from another run: to go on with it says so.
 */
function isFinished(path: string, { run, steps }: Pick<SweepRun, "run" | "steps">): boolean {
  try {
    const bytes = readFileSync(join(path, "summary.json"));
    const summary: RunSummary & { run: string } = JSON.parse(bytes.toString());
    return (
      isWhole(bytes) === true && summary.run.startsWith(run) && summary.steps === steps && survived(summary)
    );
  } catch {
    return false;
  }
}

/** The last complete evaluation of a run, and when something was written after it; null before the first. */
export async function lastStep(directory: string, run: string): Promise<{ step: number; at: string } | null> {
  const path = join(runDirectory(directory, run), "metrics.jsonl");
  const text = await readFile(path, "utf8").catch(() => "");
  const line = text.split("\n").at(-2);
  const step = line === undefined ? undefined : /"step":(\d+)/.exec(line)?.[1];
  return step === undefined ? null : { step: Number(step), at: statSync(path).mtime.toISOString() };
}
