import type { RunData } from "../read-run.ts";
import { eventMarks, membersOf, overSteps, runAxis, setColour, taskSets } from "./events.ts";
import { type Figure, linePlot, type Series, type StepAxis, wholeDecades } from "./plot.ts";

const smallestLoss = 1e-6;

/** Training loss of every member and the ensemble's NLL on the probe sets, nats, logarithmic. */
export function lossFigure(run: RunData, axis: StepAxis): Figure {
  const x = runAxis(run, axis);
  const members = Array.from({ length: membersOf(run) }, (_, member) => ({
    key: `loss ${member}`,
    colour: "currentColor",
    points: run.records.map((record) => ({
      x: record.step,
      y: record.members.find((m) => m.member === member)?.loss ?? null,
    })),
  }));
  const mean: Series = {
    key: "loss",
    label: "train loss",
    colour: "currentColor",
    points: run.records.map((record, i) => {
      const losses = members.flatMap(({ points }) => points[i].y ?? []);
      return { x: record.step, y: losses.length > 0 ? losses.reduce((a, b) => a + b) / losses.length : null };
    }),
  };
  const nll: Series[] = taskSets.map(({ set, label }) => ({
    key: `nll ${set}`,
    label: `NLL ${label}`,
    colour: setColour[set],
    points: overSteps(run, set, (m) => m.nll),
  }));
  const series = [...members.map((line) => ({ ...line, strokeWidth: 1, opacity: 0.3 })), mean, ...nll];
  return {
    id: "loss",
    title: "Training loss and probe NLL",
    caption:
      "Mean training loss since the previous evaluation (thin: each member; over all trained positions) and negative log-likelihood of the ensemble's mean predictive at the last position. Nats, logarithmic.",
    spec: linePlot({
      description: "Line chart of training loss and negative log-likelihood over optimiser steps.",
      x,
      y: { title: "nats (log)", type: "log", domain: wholeDecades(series, smallestLoss) },
      series,
      marks: eventMarks(run),
    }),
  };
}
