/** What of a run an analysis is made of: methods or operators by name, steps and members. */

import { nearestName } from "../config/load.ts";
import { UsageError } from "../errors.ts";
import type { CheckpointStep } from "../run/checkpoints.ts";
import type { RunEvents } from "../run/records.ts";

/**
 * Names separated by commas, in the order of `known`.
 * @param what they are, for the message
 * @throws UsageError for a name that is not known
 */
export function parseNames<Name extends string>(text: string, known: readonly Name[], what: string): Name[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if ((known as readonly string[]).includes(name)) continue;
    const near = nearestName(name, known);
    throw new UsageError(
      `unknown ${what} "${name}"; ${near ? `did you mean "${near}"?` : `there are: ${known.join(", ")}`}`,
    );
  }
  return known.filter((name) => names.includes(name));
}

/** `all`: every checkpoint. `grok`: those around the transition. Or steps by number. */
export type StepChoice = "all" | "grok" | readonly number[];

/** @throws UsageError for anything but `all`, `grok` or step numbers separated by commas */
export function parseSteps(text: string): StepChoice {
  if (text === "all" || text === "grok") return text;
  return text.split(",").map((part) => {
    if (!/^\d+$/.test(part.trim()))
      throw new UsageError(`--steps: got "${text}", must be all, grok, or step numbers such as 500,1000`);
    return Number(part);
  });
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

/** The members analysed at one step: the first `count` that have a checkpoint. */
export function selectMembers({ members }: CheckpointStep, count: number | "all"): number[] {
  return count === "all" ? members : members.slice(0, count);
}
