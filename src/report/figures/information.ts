import type { RunData } from "../read-run.ts";
import {
  eventMarks,
  membersOf,
  overSteps,
  runAxis,
  setColour,
  taskSets,
  uncertaintyBands,
} from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** Mutual information (nats) at the last position on seen and unseen tasks, on an axis of its own. */
export function informationFigure(run: RunData, axis: StepAxis): Figure {
  const members = membersOf(run);
  const series: Series[] = taskSets.map(({ set, label }) => ({
    key: set,
    label,
    colour: setColour[set],
    strokeWidth: set === "unseenTasks" ? 3 : 1.5,
    points: overSteps(run, set, (m) => m.mutualInformation),
  }));
  const bands = uncertaintyBands(run);
  const shading = [
    ...(bands.length > 0 ? [" Grey: the plateau on unseen tasks, from half of the peak."] : []),
    ...(bands.length > 1 ? [" Red: the collapse, from 90 % of the peak to half of it."] : []),
  ];
  return {
    id: "information",
    title: "Epistemic uncertainty: mutual information",
    caption: `How much the members contradict each other: mutual information (MI, nats) of their predictions at the last position. Plug-in estimate over K = ${members} members, at most log K = ${Math.log(members).toFixed(2)}; compare only at equal K.${shading.join("")}`,
    spec: linePlot({
      description: "Line chart of mutual information on seen and unseen tasks over optimiser steps.",
      x: runAxis(run, axis),
      y: { title: "MI (nats)", domain: fromZero(series) },
      series,
      bands,
      marks: eventMarks(run),
    }),
  };
}
