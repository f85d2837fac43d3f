import { type Figure, logTicks, type Series, type YAxis } from "../../figures/plot.ts";
import { colour } from "../../theme.ts";
import type { Study } from "../study.ts";
import { timesRow } from "../times-row.ts";
import { clipped, finite, modelColours, modelNames } from "./axes.ts";
import { pointsNote, withSamples } from "./samples.ts";

/** Uncertainty time against generalisation time. */
export function scatterFigure({ parameters, simulation }: Study): Figure {
  const { level, u0 } = parameters;
  // Dense towards lambda = 1, where the times grow fastest.
  const rows = Array.from({ length: 60 }, (_, i) => timesRow(1 - 0.8 * 0.9 ** i, level, u0));
  const line = (mode: "residual" | "elbo"): Series => ({
    key: mode,
    label: modelNames[mode],
    colour: modelColours[mode],
    points: rows.map((row) => ({ x: row.tGen, y: finite(row[mode].tU) })),
  });
  const over = simulation?.overLambda ?? [];
  const samples = over.flatMap(({ tGen, tU }) =>
    tGen && tU ? [{ x: tGen.mean, xSd: tGen.sd, y: tU.mean, sd: tU.sd, colour: colour.blue }] : [],
  );
  const first = 10 ** Math.floor(Math.log10(Math.max(1e-3, rows[0].tGen)));
  const domain: [number, number] = [first, 10 ** Math.ceil(Math.log10(rows[rows.length - 1].tGen))];
  const y: YAxis = { title: "t U", type: "log", domain: [first, domain[1] * 10] };
  const diagonal: Series = {
    key: "diagonal",
    label: "t U = t gen",
    colour: colour.muted,
    strokeWidth: 1.25,
    dash: [5, 3],
    points: domain.map((value) => ({ x: value, y: value })),
  };
  return {
    id: "theory-scatter",
    title: "The collapse of uncertainty tells the time of generalisation",
    caption: `t U, when V collapses, against t gen, when the test loss arrives; each point of a line is one λ below 1. Fixed noise lies on the diagonal exactly when the model is calibrated. Residual noise lies close to it at every λ; the strict ELBO collapses late near λ = 1. ${pointsNote(simulation)}`,
    spec: withSamples(
      {
        description: "Uncertainty time against generalisation time, with the diagonal.",
        x: { title: "t gen", type: "log", domain, ticks: logTicks(domain), format: "~s" },
        y,
        series: clipped([line("residual"), line("elbo"), diagonal], y),
      },
      samples,
    ),
  };
}
