/** Runs of transformers as points over the curves of the linear model. */

import type { Bridge, BridgeRun, TaskRatio } from "../../../analysis/bridge.ts";
import type { RunEvents } from "../../../run/records.ts";
import { type Figure, logTicks, type Mark, type Series, type YAxis } from "../../figures/plot.ts";
import { formatNumber } from "../../format.ts";
import { colour } from "../../theme.ts";
import { clipped, finite } from "./axes.ts";
import { type Sample, withSamples } from "./samples.ts";

/** The run's analogue of lambda in words. */
export const ratioNames: Record<TaskRatio, string> = {
  unseen: "unseen per seen task-input pair",
  all: "all per seen task-input pairs",
};

/** Axes are in thousands of steps, which keeps their labels short. */
const thousand = 1000;

const analogy = "An analogy of trend, not a prediction of the transformer.";

const events: [keyof RunEvents, string, Sample["shape"]][] = [
  ["memorisedStep", colour.slate, "square"],
  ["grokStep", colour.vermillion, "circle"],
  ["collapseStep", colour.blue, "triangle-up"],
];

/** The figures that the runs have data for: none without a memorised run, which the unit of time comes from. */
export function bridgeFigures(data: Bridge, level: number): Figure[] {
  if (data.stepsPerTime === null) return [];
  const unit = data.stepsPerTime / thousand;
  return [timesFigure(data, unit, level), lagFigure(data, unit)].filter((figure) => figure !== null);
}

function timesFigure({ runs, curves, ratio }: Bridge, unit: number, level: number): Figure {
  const samples = runs.flatMap((run) =>
    events.flatMap(([key, stroke, shape]) => sample(run, run.lambda, key, stroke, shape)),
  );
  const line = (key: "tTrain" | "tGen" | "tU", label: string, stroke: string, dash?: number[]): Series => ({
    key,
    label,
    colour: stroke,
    dash,
    points: curves.map((row) => ({ x: row.lambda, y: finite(unit * row[key]) })),
  });
  const series = [
    line("tTrain", "t train", colour.slate),
    line("tGen", "t gen", colour.vermillion),
    line("tU", "t U", colour.blue, [6, 4]),
  ];
  // Room for the points and for a decade around the linear model's curves at the runs' lambda, not for its divergence.
  const domain = decades([
    ...samples.map(({ y }) => y),
    ...curves.map(({ tTrain }) => unit * tTrain),
    ...runs.flatMap(({ model, memorisedStep }) =>
      model.delayRatio && memorisedStep ? [(model.delayRatio * memorisedStep) / thousand] : [],
    ),
  ]);
  const y: YAxis = { title: "thousand steps", type: "log", domain };
  const never = 1 / (1 - level);
  const last = curves[curves.length - 1].lambda;
  const marks: Mark[] = never < last ? [{ x: never, label: "linear model: never →" }] : [];
  return {
    id: "bridge-times",
    title: "Delay and collapse of real runs over the linear model's trend",
    caption: `${analogy} Points: memorised (squares), grokked (circles) and collapse of uncertainty (triangles) of each run. Lines: the linear model at level ${level} with residual noise; its unit of time, ${formatNumber(thousand * unit)} steps, is fitted on memorisation only. λ: ${ratioNames[ratio]}.`,
    spec: withSamples(
      {
        description: "Steps of memorisation, grokking and collapse of runs over their analogue of lambda.",
        x: { title: "λ (analogue)", type: "linear", domain: [curves[0].lambda, last], format: "~g" },
        y,
        series: clipped(series, y),
        marks,
      },
      samples,
    ),
  };
}

function lagFigure({ runs, curves }: Bridge, unit: number): Figure | null {
  const samples = runs.flatMap((run) =>
    run.grokStep === null
      ? []
      : sample(run, run.grokStep / thousand, "collapseStep", colour.blue, "triangle-up"),
  );
  if (samples.length === 0) return null;
  const domain = decades([
    ...samples.flatMap(({ x, y }) => [x, y]),
    ...curves.slice(0, 1).map(({ tGen }) => unit * tGen),
  ]);
  const y: YAxis = { title: "collapse", type: "log", domain };
  const model: Series = {
    key: "model",
    label: "linear",
    colour: colour.blue,
    points: curves
      .filter(({ tGen }) => Number.isFinite(tGen))
      .map(({ tGen, tU }) => ({
        x: unit * tGen,
        y: finite(unit * tU),
      }))
      .filter(({ x }) => x >= domain[0] && x <= domain[1]),
  };
  const diagonal: Series = {
    key: "diagonal",
    label: "equal",
    colour: colour.muted,
    strokeWidth: 1.25,
    dash: [5, 3],
    points: domain.map((value) => ({ x: value, y: value })),
  };
  return {
    id: "bridge-lag",
    title: "Collapse of uncertainty against grokking, in real runs",
    caption: `${analogy} Each triangle is a run: below the diagonal uncertainty collapsed before the unseen tasks were solved. Line: t U against t gen of the linear model with residual noise, in the same unit of time.`,
    spec: withSamples(
      {
        description: "Step of the collapse of uncertainty against the step of grokking.",
        x: { title: "grok (thousand steps)", type: "log", domain, ticks: logTicks(domain), format: "~g" },
        y,
        series: clipped([diagonal, model], y),
      },
      samples,
    ),
  };
}

function sample(
  run: BridgeRun,
  x: number,
  key: keyof RunEvents,
  stroke: string,
  shape: Sample["shape"],
): Sample[] {
  const y = run[key];
  return y ? [{ x, y: y / thousand, sd: 0, colour: stroke, shape, large: true }] : [];
}

/** Whole decades around positive values. */
function decades(values: number[]): [number, number] {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  return [low, Math.max(10 * low, 10 ** Math.ceil(Math.log10(Math.max(...values))))];
}
