import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import { eventMarks, overSteps, runAxis } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** How far the ensemble's predictive on unseen tasks is from the memorising (M) and generalising (G) predictors. */
export function distanceFigure(run: RunData, axis: StepAxis): Figure {
  const x = runAxis(run, axis);
  const series: Series[] = [
    {
      key: "relativeDistance",
      label: "relative",
      colour: colour.slate,
      strokeWidth: 1.5,
      dash: [6, 3],
      points: overSteps(run, "unseenTasks", (m) => m.relativeDistance),
    },
    {
      key: "distanceM",
      label: "to M",
      colour: colour.purple,
      points: overSteps(run, "unseenTasks", (m) => m.distanceM.jensenShannon),
    },
    {
      key: "distanceG",
      label: "to G",
      colour: colour.green,
      strokeWidth: 2.75,
      points: overSteps(run, "unseenTasks", (m) => m.distanceG.jensenShannon),
    },
  ];
  return {
    id: "distance",
    title: "Memorising or generalising?",
    caption:
      "Jensen–Shannon divergence (nats, at most log 2 = 0.69) of the ensemble's predictive on unseen tasks from the exact memorising predictor M (only training tasks exist) and generalising predictor G (all tasks are equally likely). Relative distance: 1 = at M, 0 = at G.",
    spec: linePlot({
      description:
        "Line chart of the divergence from the memorising and the generalising predictor over steps.",
      x,
      y: { title: "JS (nats), relative", domain: [0, Math.max(1, fromZero(series)[1])] },
      series,
      marks: eventMarks(run),
    }),
  };
}
