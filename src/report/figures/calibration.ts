import type { RunData } from "../read-run.ts";
import { eventMarks, overSteps, runAxis, setColour, taskSets } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** Expected calibration error and Brier score of the ensemble's mean predictive. */
export function calibrationFigure(run: RunData, axis: StepAxis): Figure {
  const series: Series[] = taskSets.flatMap(({ set, label }) => [
    {
      key: `brier ${set}`,
      label: `Brier ${label}`,
      colour: setColour[set],
      strokeWidth: 1.5,
      dash: [6, 3],
      points: overSteps(run, set, (m) => m.brier),
    },
    {
      key: `ece ${set}`,
      label: `ECE ${label}`,
      colour: setColour[set],
      points: overSteps(run, set, (m) => m.ece),
    },
  ]);
  return {
    id: "calibration",
    title: "Calibration",
    caption:
      "Expected calibration error (15 equal-width bins; solid) and Brier score (0 to 2; dashed) of the ensemble's mean predictive at the last position.",
    spec: linePlot({
      description: "Line chart of expected calibration error and Brier score over optimiser steps.",
      x: runAxis(run, axis),
      y: { title: "ECE, Brier", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}
