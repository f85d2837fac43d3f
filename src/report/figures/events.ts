/** Event marks and the vocabulary of probe sets, shared by the figures of one run. */

import type { RunEvents } from "../../run/records.ts";
import type { ProbeSetName } from "../../tasks/probe-sets.ts";
import { crossing } from "../../uncertainty/fall.ts";
import type { EnsembleMeasures, MemberMeasures } from "../../uncertainty/measures.ts";
import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import type { Band, Mark, Point, Series, StepAxis, XAxis } from "./plot.ts";
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
export function eventMarks(run: Pick<RunData, "events">): Mark[] {
  const events = run.events;
  return eventKeys.flatMap((key) => {
    const step = events[key];
    return step === null || step === undefined ? [] : [{ x: step, label: eventNames[key] }];
  });
}

/** Events this many times apart lie too close together at the left end of a linear axis. */
const OCTAVE = 2;

/** The spacing of steps on which the events of a run can be told apart. */
export function clearerAxis({ events }: Pick<RunData, "events">): StepAxis {
  const steps = eventKeys.map((key) => events[key] ?? 0).filter((step) => step > 0);
  return steps.length > 0 && Math.max(...steps) >= OCTAVE * Math.min(...steps) ? "log" : "linear";
}

/**
 * Where the mutual information on unseen tasks is high, and where it falls: the plateau from the first rise to half of
 * the peak to the start of the fall, the collapse from there to its end. None without a peak.
 */
export function uncertaintyBands({ records, detector }: Pick<RunData, "records" | "detector">): Band[] {
  const { peakMutualInformation: peak, fall } = detector;
  if (peak === null) return [];
  const values = records.flatMap(({ step, ensemble: { unseenTasks } }) =>
    unseenTasks ? [{ step, value: unseenTasks.mutualInformation }] : [],
  );
  const risen = values.findIndex(({ value }) => value >= peak / 2);
  if (risen < 0) return [];
  const from = risen > 0 ? crossing(values[risen - 1], values[risen], peak / 2) : values[risen].step;
  const to = fall?.start ?? values[values.length - 1].step;
  return [
    { from, to, colour: colour.slate, label: "plateau" },
    ...(fall ? [{ from: fall.start, to: fall.end, colour: colour.vermillion }] : []),
  ];
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
export function learningSets(run: Pick<RunData, "config">): { set: ProbeSetName; label: string }[] {
  return run.config.task.promptPool === 0
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

/** One measure of each member on one probe set over the steps, as thin lines. */
export function memberLines(
  run: RunData,
  set: ProbeSetName,
  measure: (measures: MemberMeasures) => number,
): Series[] {
  return Array.from({ length: membersOf(run) }, (_, member) => ({
    key: `${set} member ${member}`,
    colour: setColour[set],
    strokeWidth: 1,
    opacity: 0.4,
    points: run.records.map((record) => {
      const measures = record.members.find((m) => m.member === member)?.sets[set];
      return { x: record.step, y: measures ? measure(measures) : null };
    }),
  }));
}

/** K, the number of members in the ensemble. */
export function membersOf(run: Pick<RunData, "config">): number {
  return run.config.ensemble.members;
}
