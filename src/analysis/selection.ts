/** Of which checkpoints of a run, and of which members, an analysis is made. */
import { UsageError } from "../errors.ts";
import type { CheckpointStep } from "../run/checkpoints.ts";
import type { RunEvents } from "../run/records.ts";
import { requireCount, requireOneOf, requireWhole } from "../validate.ts";

/** `all`: every checkpoint. `grok`: those around the transition. Or steps by number. */
export type StepChoice = "all" | "grok" | readonly number[];

/** Which checkpoints of a run an analysis is made at. */
export interface CheckpointSelection {
  steps: StepChoice;
  /** Most checkpoints of `all` and `grok`; 0: all there are. */
  checkpoints: number;
  /** The first so many. */
  members: number | "all";
}

/** @throws RangeError for an entry outside its range */
export function requireSelection({ steps, checkpoints, members }: CheckpointSelection): void {
  if (!Array.isArray(steps)) requireOneOf("steps", steps as string, ["all", "grok"]);
  else for (const step of steps) requireWhole("steps", step);
  requireWhole("checkpoints", checkpoints);
  if (members !== "all") requireCount("members", members);
}

/**
 * `grok` keeps the checkpoints from half of the memorised step (of the step of the MI peak, if that comes first) to
 * twice the grok step, and all of them if the run did not grok. `all` and `grok` are then thinned to `atMost`, evenly
 * by rank, with the first and the last one kept.
 *
 * @param atMost 0: no thinning
 * @throws UsageError if there is no checkpoint, or none at a step given by number
 */
export function selectSteps(
  kept: readonly CheckpointStep[],
  choice: StepChoice,
  { memorisedStep, grokStep, uncertaintyPeakStep }: RunEvents,
  atMost: number,
): CheckpointStep[] {
  if (kept.length === 0) throw new UsageError("the run has no checkpoints");
  if (choice !== "all" && choice !== "grok") return choice.map((step) => checkpointAt(kept, step));
  let chosen = [...kept];
  if (choice === "grok" && grokStep !== null) {
    const begin = Math.min(memorisedStep ?? grokStep, uncertaintyPeakStep ?? grokStep, grokStep) / 2;
    const around = kept.filter(({ step }) => step >= begin && step <= 2 * grokStep);
    if (around.length > 0) chosen = around;
  }
  return thin(chosen, atMost);
}

/** Entries evenly spaced by rank, the first and the last among them; all if `atMost` is 0. */
export function thin<T>(entries: readonly T[], atMost: number): T[] {
  if (atMost === 0 || entries.length <= atMost) return [...entries];
  if (atMost === 1) return entries.slice(-1);
  return Array.from(
    { length: atMost },
    (_, i) => entries[Math.round((i * (entries.length - 1)) / (atMost - 1))],
  );
}

function checkpointAt(kept: readonly CheckpointStep[], step: number): CheckpointStep {
  const found = kept.find((checkpoint) => checkpoint.step === step);
  if (found) return found;
  const before = kept.findLast((checkpoint) => checkpoint.step < step);
  const after = kept.find((checkpoint) => checkpoint.step > step);
  const nearest = [before, after].flatMap((checkpoint) => checkpoint?.step ?? []).join(" and ");
  throw new UsageError(`there is no checkpoint at step ${step}; the nearest are at ${nearest}`);
}

/** @throws UsageError for more members than the run has */
export function requireMembers(count: number | "all", members: number): void {
  if (count !== "all" && count > members)
    throw new UsageError(`members: got ${count}, must be at most ${members}, the members of the run`);
}

/** The members analysed at one step: the first `count` that have a checkpoint. */
export function selectMembers({ members }: CheckpointStep, count: number | "all"): number[] {
  return count === "all" ? members : members.slice(0, count);
}
