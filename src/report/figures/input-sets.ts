import type { RunData } from "../read-run.ts";
import { eventMarks, overSteps, runAxis, setColour } from "./events.ts";
import { type Figure, linePlot, type Series, type StepAxis } from "./plot.ts";

const labels = {
  seenTasks: "both seen",
  unseenTasks: "unseen task",
  seenTasksUnseenInputs: "unseen input",
  unseenTasksUnseenInputs: "both unseen",
} as const;

const inputSets = Object.keys(labels) as (keyof typeof labels)[];

/** Accuracy on the four probe sets {seen, unseen tasks} x {seen, unseen inputs}; null if all inputs are trained on. */
export function inputSetsFigure(run: RunData, axis: StepAxis): Figure | null {
  const present = inputSets.filter((set) => run.records.some((record) => record.ensemble[set]));
  if (!present.some((set) => set.endsWith("UnseenInputs"))) return null;
  const series: Series[] = present.map((set) => ({
    key: set,
    label: labels[set],
    colour: setColour[set],
    dash: set.endsWith("UnseenInputs") ? [6, 3] : undefined,
    points: overSteps(run, set, (m) => m.accuracy),
  }));
  return {
    id: "input-sets",
    title: "Accuracy on seen and unseen inputs",
    caption:
      "Accuracy of the ensemble at the last position on the four probe sets. Dashed: inputs that never occur in training.",
    spec: linePlot({
      description: "Line chart of accuracy on the four probe sets over optimiser steps.",
      x: runAxis(run, axis),
      y: { title: "accuracy", domain: [0, 1] },
      series,
      marks: eventMarks(run),
    }),
  };
}
