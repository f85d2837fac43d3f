import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import {
  eventMarks,
  learningSets,
  memberLines,
  membersOf,
  overSteps,
  runAxis,
  setColour,
  uncertaintyBands,
} from "./events.ts";
import { type Figure, linePlot, reference, type Series, type StepAxis } from "./plot.ts";

/** Accuracy at the last position on seen and unseen tasks: ensemble, members, ceiling and chance. */
export function accuracyFigure(run: RunData, axis: StepAxis): Figure {
  const x = runAxis(run, axis);
  const sets = learningSets(run);
  const members = sets.flatMap(({ set }) => memberLines(run, set, (m) => m.accuracy));
  const ensemble: Series[] = sets.map(({ set, label }) => ({
    key: set,
    label,
    colour: setColour[set],
    strokeWidth: 2.75,
    points: overSteps(run, set, (measures) => measures.accuracy),
  }));
  const probe = run.references.unseenTasks;
  const ceiling = probe
    ? [{ ...reference("ceiling", "ceiling", probe.ceiling, x), colour: colour.green }]
    : [];
  const chance = reference("chance", "chance", probe?.chance ?? 1 / run.config.task.modulus, x);
  return {
    id: "accuracy",
    title: "Accuracy on seen and unseen tasks",
    caption: `Top-1 accuracy at the last position. Bold: the ensemble's mean predictive; thin: its K = ${membersOf(run)} members.${
      probe ? " Ceiling: expected accuracy of the exact Bayesian predictor G on the unseen tasks." : ""
    } Chance: 1/p.${sets.length > 2 ? " Pool: prompts that are trained on." : ""}`,
    spec: linePlot({
      description: "Line chart of accuracy on seen and unseen tasks over optimiser steps.",
      x,
      y: { title: "accuracy", domain: [0, 1] },
      series: [chance, ...ceiling, ...members, ...ensemble],
      bands: uncertaintyBands(run).map(({ label: _, ...band }) => band),
      marks: eventMarks(run),
    }),
  };
}
