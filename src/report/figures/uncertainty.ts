import { informationBound } from "../../uncertainty/decompose.ts";
import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import { eventMarks, membersOf, overSteps, runAxis, setColour, setNames } from "./events.ts";
import { type Figure, fromZero, linePlot, reference, type Series, type StepAxis } from "./plot.ts";

/** Total entropy = expected entropy + mutual information (nats) at the last position, on one probe set. */
export function uncertaintyFigure(run: RunData, axis: StepAxis, set: "seenTasks" | "unseenTasks"): Figure {
  const x = runAxis(run, axis);
  const members = membersOf(run);
  const bound = informationBound(members, run.config.task.modulus);
  const entropyG = run.references[set]?.entropyG;
  const measures: Series[] = [
    {
      key: "totalEntropy",
      label: "total H(p̄)",
      colour: "currentColor",
      strokeWidth: 1.5,
      points: overSteps(run, set, (m) => m.totalEntropy),
    },
    {
      key: "expectedEntropy",
      label: "expected H",
      colour: colour.slate,
      dash: [6, 3],
      points: overSteps(run, set, (m) => m.expectedEntropy),
    },
    {
      key: "mutualInformation",
      label: "MI",
      colour: setColour[set],
      strokeWidth: 3,
      points: overSteps(run, set, (m) => m.mutualInformation),
    },
  ];
  const references = [
    reference("bound", members <= run.config.task.modulus ? "log K" : "log p", bound, x),
    ...(entropyG === undefined
      ? []
      : [{ ...reference("entropyG", "H of G", entropyG, x), colour: colour.green }]),
  ];
  const series = [...references, ...measures];
  return {
    id: set === "unseenTasks" ? "uncertainty-unseen" : "uncertainty-seen",
    title: `Uncertainty on ${set === "unseenTasks" ? "unseen" : "seen"} tasks`,
    caption: `Entropy at the last position in nats (${setNames[set]}): total H(p̄) = expected member entropy + mutual information (MI, the epistemic part). Plug-in estimate over K = ${members} members, so at most log K = ${Math.log(members).toFixed(2)}; compare only at equal K.`,
    spec: linePlot({
      description: `Line chart of total entropy, expected entropy and mutual information on ${setNames[set]} over optimiser steps.`,
      x,
      y: { title: "nats", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}
