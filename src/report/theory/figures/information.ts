import type { SimulationCurves } from "../../../theory/simulate.ts";
import type { Figure, Mark, Series, XAxis, YAxis } from "../../figures/plot.ts";
import { colour } from "../../theme.ts";
import type { Study } from "../study.ts";
import { modelColours, modelNames, timeAxis } from "./axes.ts";
import { covering, diamonds, perTime, pointsNote, withSamples } from "./samples.ts";

/** Mutual information with learned noise over time; null without a learned noise. */
export function informationFigure(study: Study): Figure | null {
  const { curves, simulation, trained, t, parameters, times } = study;
  const modes = (["residual", "elbo"] as const).filter((mode) => curves[mode]);
  if (modes.length === 0) return null;
  const series = modes.map(
    (mode): Series => ({
      key: mode,
      label: modelNames[mode],
      colour: modelColours[mode],
      points: t.map((x, i) => ({ x, y: curves[mode]!.MI[i] })),
    }),
  );
  const MI = (c: SimulationCurves, i: number) => c.MI[i];
  const samples = modes.flatMap((mode) => [
    ...perTime(simulation?.runs[mode], modelColours[mode], MI),
    ...diamonds(perTime(trained?.runs[mode], modelColours[mode], MI)),
  ]);
  const x = timeAxis(t);
  const y: YAxis = { title: "MI (nats)", domain: covering(series, samples) };
  const { noiseLevel } = times;
  const marks: Mark[] = noiseLevel
    ? [
        { x: noiseLevel.tTrain, label: "t train" },
        { x: noiseLevel.tGen, label: "t gen" },
      ].filter((mark) => Number.isFinite(mark.x) && mark.x <= x.domain[1])
    : [];
  const explanation =
    parameters.lambda >= 1
      ? "At λ ≥ 1 the training residual vanishes: MI with residual noise grows without bound."
      : noiseLevel
        ? "The band lies between the times at which training and test error pass the level of the label noise; MI with residual noise falls at its end."
        : "Without label noise MI with residual noise rises to its plateau and does not fall.";
  return {
    id: "theory-information",
    title: "Mutual information per prediction",
    caption: `${explanation} ${pointsNote(simulation, trained)}`,
    spec: withSamples(
      { description: "Mutual information with learned noise over time.", x, y, series, marks },
      samples,
      noiseLevel ? band(noiseLevel.tTrain, Math.min(noiseLevel.tGen, x.domain[1]), x, y) : [],
    ),
  };
}

/** The time between two events as a background. */
function band(from: number, to: number, x: XAxis, y: YAxis): object[] {
  if (!(from < to)) return [];
  return [
    {
      data: { values: [{ from, to, bottom: y.domain[0], top: y.domain[1] }] },
      mark: { type: "rect", color: colour.panel },
      encoding: {
        x: { field: "from", type: "quantitative", scale: { type: x.type, domain: x.domain }, title: x.title },
        x2: { field: "to" },
        y: { field: "bottom", type: "quantitative", scale: { domain: y.domain }, title: y.title },
        y2: { field: "top" },
      },
    },
  ];
}
