import type { MetricsRecord } from "../../run/records.ts";
import type { ProbeSetName } from "../../tasks/probe-sets.ts";
import type { PosteriorMeasures } from "../../uncertainty/measures.ts";
import type { RunData } from "../read-run.ts";
import { eventMarks, runAxis, setColour, taskSets } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** The members' own mutual information, from IVON's weight samples or dropout's masks. null for a run without them. */
export function posteriorFigure(run: RunData, axis: StepAxis): Figure | null {
  const samples = run.records.flatMap((record) => measuresOf(record, "unseenTasks"))[0]?.samples;
  if (samples === undefined) return null;
  const members = [...new Set(run.records.flatMap((record) => record.members.map((m) => m.member)))];
  const series: Series[] = taskSets.flatMap(({ set, label }) => [
    ...members.map((member) => ({
      key: `${set} member ${member}`,
      colour: setColour[set],
      strokeWidth: 1,
      opacity: 0.35,
      points: run.records.map((record) => ({
        x: record.step,
        y: mutualInformation(record, set, member),
      })),
    })),
    {
      key: set,
      label,
      colour: setColour[set],
      points: run.records.map((record) => ({ x: record.step, y: mutualInformation(record, set) })),
    },
  ]);
  const { training, model } = run.config;
  const sources = [
    ...(training.optimizer === "ivon" ? ["weights (IVON)"] : []),
    ...(model.dropout > 0 ? ["dropout masks"] : []),
  ];
  return {
    id: "member-posterior",
    title: "Uncertainty of the single members",
    caption: `MI (nats) at the last position over S = ${samples} samples of each member's own ${sources.join(" and ")}, so at most log S = ${Math.log(samples).toFixed(2)}: mean over the members (thick) and each member (thin). This is not the MI between the members, over K = ${members.length} of them: compare their shapes, not their sizes.`,
    spec: linePlot({
      description: "Line chart of the members' own mutual information over optimiser steps.",
      x: runAxis(run, axis),
      y: { title: "MI (nats)", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}

/** Of all members, or of one; empty where there are none. */
function measuresOf(record: MetricsRecord, set: ProbeSetName, only?: number): PosteriorMeasures[] {
  return record.members.flatMap(({ member, sets }) =>
    only === undefined || member === only ? (sets[set]?.posterior ?? []) : [],
  );
}

function mutualInformation(record: MetricsRecord, set: ProbeSetName, only?: number): number | null {
  const measures = measuresOf(record, set, only);
  if (measures.length === 0) return null;
  return measures.reduce((sum, m) => sum + m.mutualInformation, 0) / measures.length;
}
