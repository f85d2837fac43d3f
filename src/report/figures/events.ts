/** Event marks and the vocabulary of probe sets, shared by the figures of one run. */

import type { RunEvents } from "../../run/records.ts";
import type { ProbeSetName } from "../../tasks/probe-sets.ts";
import type { EnsembleMeasures } from "../../uncertainty/measures.ts";
import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import type { Mark, Point, StepAxis, XAxis } from "./plot.ts";
import { stepAxis } from "./plot.ts";

export const eventNames: Record<keyof RunEvents, string> = {
  memorisedStep: "memorised",
  generalisedStep: "generalised",
  uncertaintyPeakStep: "MI peak",
  collapseStep: "collapse",
  grokStep: "grok",
};

export const eventKeys = Object.keys(eventNames) as (keyof RunEvents)[];

/** The events of a run that have happened, as vertical marks. */
export function eventMarks(run: RunData): Mark[] {
  const events = run.events;
  return eventKeys.flatMap((key) => {
    const step = events[key];
    return step === null || step === undefined ? [] : [{ x: step, label: eventNames[key] }];
  });
}

export const setNames: Record<ProbeSetName, string> = {
  seenTasks: "seen tasks, seen inputs",
  unseenTasks: "unseen tasks, seen inputs",
  seenTasksUnseenInputs: "seen tasks, unseen inputs",
  unseenTasksUnseenInputs: "unseen tasks, unseen inputs",
  trainPrompts: "prompts of the pool",
};

export const probeSets = Object.keys(setNames) as ProbeSetName[];

/** Hue says seen or unseen tasks in every figure. */
export const setColour: Record<ProbeSetName, string> = {
  seenTasks: colour.blue,
  unseenTasks: colour.vermillion,
  seenTasksUnseenInputs: colour.green,
  unseenTasksUnseenInputs: colour.purple,
  trainPrompts: colour.slate,
};

/** The two sets every run has, with their short labels. */
export const taskSets = [
  { set: "seenTasks", label: "seen" },
  { set: "unseenTasks", label: "unseen" },
] as const;

/** The sets of a run that say whether it has memorised, generalised and grokked: those two, and its pool if it has one. */
export function learningSets(run: RunData): { set: ProbeSetName; label: string }[] {
  return run.config.task.promptPool === undefined
    ? [...taskSets]
    : [{ set: "trainPrompts", label: "pool" }, ...taskSets];
}

export function runAxis(run: RunData, type: StepAxis): XAxis {
  return stepAxis(
    run.records.map((record) => record.step),
    type,
  );
}

/** One measure of the ensemble on one probe set over the steps; null at evaluations without that set. */
export function overSteps(
  run: RunData,
  set: ProbeSetName,
  measure: (ensemble: EnsembleMeasures) => number | null,
): Point[] {
  return run.records.map(({ step, ensemble }) => {
    const measures = ensemble[set];
    return { x: step, y: measures ? measure(measures) : null };
  });
}

/** K, the number of members in the ensemble. */
export function membersOf(run: RunData): number {
  return run.config.ensemble.members;
}
