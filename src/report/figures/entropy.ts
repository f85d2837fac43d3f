import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import {
  eventMarks,
  memberLines,
  overSteps,
  runAxis,
  setColour,
  taskSets,
  uncertaintyBands,
} from "./events.ts";
import { type Figure, fromZero, linePlot, reference, type Series, type StepAxis } from "./plot.ts";

/**
 * Expected entropy (nats) at the last position on seen and unseen tasks, beside that of the exact generalising predictor:
 * what the context leaves open, whoever predicts.
 */
export function entropyFigure(run: RunData, axis: StepAxis): Figure {
  const x = runAxis(run, axis);
  const members = taskSets.flatMap(({ set }) => memberLines(run, set, (m) => m.entropy));
  const means: Series[] = taskSets.map(({ set, label }) => ({
    key: set,
    label,
    colour: setColour[set],
    points: overSteps(run, set, (m) => m.expectedEntropy),
  }));
  const entropyG = run.references.unseenTasks?.entropyG;
  const exact =
    entropyG === undefined ? [] : [{ ...reference("G", "exact G", entropyG, x), colour: colour.green }];
  const total: Series = {
    key: "total",
    label: "total unseen",
    colour: setColour.unseenTasks,
    strokeWidth: 1.5,
    dash: [6, 3],
    points: overSteps(run, "unseenTasks", (m) => m.totalEntropy),
  };
  const series = [...exact, ...members, total, ...means];
  return {
    id: "entropy",
    title: "Expected entropy",
    caption: `How unsure the members are, each by itself: mean entropy of their predictions at the last position (nats; thin: each member). Dashed: total entropy on unseen tasks, which is this and the mutual information.${exact.length > 0 ? " Exact G: mean entropy of the exact predictor for which all tasks are possible, the uncertainty that the context itself leaves." : ""}`,
    spec: linePlot({
      description: "Line chart of expected and total entropy over optimiser steps.",
      x,
      y: { title: "entropy (nats)", domain: fromZero(series) },
      series,
      bands: uncertaintyBands(run),
      marks: eventMarks(run),
    }),
  };
}
