import type { Figure, Series, XAxis, YAxis } from "../../figures/plot.ts";
import { formatNumber } from "../../format.ts";
import { colour } from "../../theme.ts";
import type { Study } from "../study.ts";
import { timesRow } from "../times-row.ts";
import { clipped, finite } from "./axes.ts";
import { perLambda, pointsNote, withSamples } from "./samples.ts";

/** Training, generalisation and uncertainty times over lambda. */
export function timesFigure({ parameters, simulation }: Study): Figure {
  const { level, u0 } = parameters;
  const grid = Array.from({ length: 141 }, (_, i) => 0.2 + i * 0.02);
  const rows = grid.map((lambda) => timesRow(lambda, level, u0));
  const line = (
    key: string,
    label: string,
    stroke: string,
    value: (row: (typeof rows)[number]) => number,
  ): Series => ({
    key,
    label,
    colour: stroke,
    points: rows.map((row) => ({ x: row.lambda, y: finite(value(row)) })),
  });
  const y: YAxis = { title: "time", type: "log", domain: [0.1, 1e5] };
  const x: XAxis = { title: "λ = d/N", type: "linear", domain: [0.2, 3], format: "~g" };
  const series = clipped(
    [
      line("tGen", "t gen", colour.vermillion, (row) => row.tGen),
      line("tTrain", "t train", colour.slate, (row) => row.tTrain),
      { ...line("tU", "t U residual", colour.blue, (row) => row.residual.tU), dash: [6, 4] },
      line("tUElbo", "t U ELBO", colour.purple, (row) => row.elbo.tU),
      { ...line("peak", "V peak", colour.blue, (row) => row.residual.tPeak), dash: [2, 4] },
    ],
    y,
  );
  const over = simulation?.overLambda ?? [];
  const samples = [
    ...perLambda(over, colour.vermillion, (row) => row.tGen),
    ...perLambda(over, colour.slate, (row) => row.tTrain),
    ...perLambda(over, colour.blue, (row) => row.tU),
  ];
  return {
    id: "theory-times",
    title: "Times over the ratio of parameters to data",
    caption: `Times at which the losses and V fall to ${level}, without label noise. Right of the mark, λ > 1/(1 − l) = ${formatNumber(1 / (1 - level))}, the model never generalises and its uncertainty never collapses. ${pointsNote(simulation)}`,
    spec: withSamples(
      {
        description: "Training, generalisation and uncertainty times as functions of lambda.",
        x,
        y,
        series,
        marks: [{ x: 1 / (1 - level), label: "never generalises, never collapses →" }],
      },
      samples,
    ),
  };
}
