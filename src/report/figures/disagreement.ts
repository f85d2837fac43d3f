import type { RunData } from "../read-run.ts";
import { eventMarks, membersOf, overSteps, runAxis, setColour, taskSets } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** Two more views of how far the members differ: their top-1 answers and the variance of their probabilities. */
export function disagreementFigure(run: RunData, axis: StepAxis): Figure {
  const series: Series[] = taskSets.flatMap(({ set, label }) => [
    {
      key: `variance ${set}`,
      label: `var. ${label}`,
      colour: setColour[set],
      strokeWidth: 1.5,
      dash: [6, 3],
      points: overSteps(run, set, (m) => m.variance),
    },
    {
      key: `disagreement ${set}`,
      label: `disagr. ${label}`,
      colour: setColour[set],
      points: overSteps(run, set, (m) => m.disagreement),
    },
  ]);
  return {
    id: "disagreement",
    title: "Disagreement and variance",
    caption: `Share of member pairs whose top-1 answers differ (solid) and variance of the members' probabilities summed over the classes (dashed), at the last position; K = ${membersOf(run)}.`,
    spec: linePlot({
      description: "Line chart of member disagreement and variance over optimiser steps.",
      x: runAxis(run, axis),
      y: { title: "disagreement, variance", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}
