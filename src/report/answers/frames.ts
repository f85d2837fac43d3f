/** Which evaluations of a run its answer table is shown at. */
import type { AnswerRecord, RunEvents } from "../../run/records.ts";
import { eventKeys, eventNames } from "../figures/events.ts";
import type { RunData } from "../read-run.ts";

/** Tables that the slider goes through at most, so that the page stays small. */
const MAX_FRAMES = 40;

export interface Frame {
  record: AnswerRecord;
  /** What happened there; empty for an evaluation between the events. */
  name: string;
}

/** The start, the memorised step, the peak, the collapse (or the grok step, without one) and the end. */
export function keyFrames({ answers, events }: Pick<RunData, "answers" | "events">): Frame[] {
  if (answers.length === 0) return [];
  const shown: (keyof RunEvents)[] = [
    "memorisedStep",
    "uncertaintyPeakStep",
    events.collapseStep === null ? "grokStep" : "collapseStep",
  ];
  return named(answers, [
    [answers[0].step, "start"],
    ...shown.flatMap((key): [number, string][] => stepNamed(events, key)),
    [answers[answers.length - 1].step, "end"],
  ]).filter(({ name }) => name !== "");
}

/** All tables, or evenly spaced ones by rank besides those at the events, in order of step. */
export function allFrames({ answers, events }: Pick<RunData, "answers" | "events">): Frame[] {
  const frames = named(
    answers,
    eventKeys.flatMap((key) => stepNamed(events, key)),
  );
  const every = Math.max(1, Math.ceil(frames.length / MAX_FRAMES));
  return frames.filter(({ name }, i) => name !== "" || i % every === 0 || i === frames.length - 1);
}

function stepNamed(events: RunEvents, key: keyof RunEvents): [number, string][] {
  const step = events[key] ?? null;
  return step === null ? [] : [[step, eventNames[key]]];
}

/** Each name at the table nearest to its step. */
function named(answers: readonly AnswerRecord[], steps: [number, string][]): Frame[] {
  const at = steps.map(([step, name]) => ({ name, record: nearest(answers, step) }));
  return answers.map((record) => {
    const names = at.filter((own) => own.record === record).map(({ name }) => name);
    return { record, name: [...new Set(names)].join(", ") };
  });
}

function nearest(answers: readonly AnswerRecord[], step: number): AnswerRecord {
  return answers.reduce((best, record) =>
    Math.abs(record.step - step) < Math.abs(best.step - step) ? record : best,
  );
}
