/** The figures drawn from the table of statistics. */
import { STATISTIC_NAMES, STATISTICS, type StatisticPlot } from "../../uncertainty/statistics.ts";
import type { RunData } from "../read-run.ts";
import { eventMarks, membersOf, overSteps, runAxis, setColour, taskSets } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

const FIGURES: Record<StatisticPlot["figure"], { title: string; of: string }> = {
  calibration: { title: "Calibration", of: "of the ensemble's mean predictive at the last position" },
  disagreement: { title: "Disagreement of the members", of: "at the last position" },
};

/** From the boldest to the lightest. */
const STROKES: Record<StatisticPlot["stroke"], Pick<Series, "strokeWidth" | "dash">> = {
  solid: {},
  dashed: { strokeWidth: 1.5, dash: [6, 3] },
  dotted: { strokeWidth: 1.5, dash: [2, 3] },
};

const strokes = Object.keys(STROKES) as StatisticPlot["stroke"][];

/** Every statistic with a plot over the steps, on seen and on unseen tasks. */
export function statisticFigures(run: RunData, axis: StepAxis): Figure[] {
  return (Object.keys(FIGURES) as StatisticPlot["figure"][]).map((id) => {
    const plots = plotsOf(id);
    const series: Series[] = taskSets.flatMap(({ set, label }) =>
      // The boldest line last, on top.
      plots.toReversed().map(({ name, plot }) => ({
        key: `${name} ${set}`,
        label: `${plot.label} ${label}`,
        colour: setColour[set],
        ...STROKES[plot.stroke],
        points: overSteps(run, set, (m) => m[name] ?? null),
      })),
    );
    const about = list(plots.map(({ plot }) => `${plot.about} (${plot.stroke})`));
    const title = list(plots.map(({ plot }) => plot.label));
    return {
      id,
      title: FIGURES[id].title,
      caption: `${about[0].toUpperCase()}${about.slice(1)} ${FIGURES[id].of}; K = ${membersOf(run)}.`,
      spec: linePlot({
        description: `Line chart of ${about} over optimiser steps.`,
        x: runAxis(run, axis),
        y: { title, domain: fromZero(series) },
        series,
        marks: eventMarks(run),
      }),
    };
  });
}

function plotsOf(figure: StatisticPlot["figure"]) {
  return STATISTIC_NAMES.flatMap((name) => {
    const plot: StatisticPlot | null = STATISTICS[name].plot;
    return plot?.figure === figure ? [{ name, plot }] : [];
  }).sort((a, b) => strokes.indexOf(a.plot.stroke) - strokes.indexOf(b.plot.stroke));
}

/** a, b and c. */
function list(parts: string[]): string {
  return parts.length < 2 ? parts.join() : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
