/** The six figures of a study: asymptotic lines; simulations and trained regressions as points with their spread. */
import type { TopLevelSpec } from "vega-lite";
import type { NoiseMode } from "../../theory/modes.ts";
import type { Simulation, SimulationCurves } from "../../theory/simulate.ts";
import type { Measured, SimulatedRow, Study } from "../../theory/study.ts";
import { studyRow } from "../../theory/study.ts";
import { accuracy } from "../../theory/times.ts";
import type { Trained } from "../../theory/trained.ts";
import {
  type Figure,
  fromZero,
  type LinePlot,
  linePlot,
  logTicks,
  type Mark,
  type Point,
  type Series,
  wholeDecades,
  type XAxis,
  type YAxis,
} from "../figures/plot.ts";
import { formatNumber } from "../format.ts";
import { colour, ordered } from "../theme.ts";

const modelColours: Record<NoiseMode, string> = {
  fixed: colour.slate,
  residual: colour.blue,
  elbo: colour.vermillion,
};
const modelNames: Record<NoiseMode, string> = { fixed: "fixed noise", residual: "residual", elbo: "ELBO" };

/** A point with one standard deviation over draws, in y and possibly in x. */
export interface Sample {
  x: number;
  y: number;
  sd: number;
  xSd?: number;
  colour: string;
  /** A filled circle by default; diamonds and triangles are hollow, to be seen where they meet another point. */
  shape?: "circle" | "diamond" | "square" | "triangle-up";
  /** A point of its own, not one of a sequence along a line. */
  large?: boolean;
}

/** What accuracies are computed from, over time. */
type Losses = Pick<SimulationCurves, "R" | "G" | "V">;

/** All figures that the study has data for. */
export function theoryFigures(study: Study): Figure[] {
  const figures = [
    accuracyFigure(study),
    varianceFigure(study),
    informationFigure(study),
    timesFigure(study),
    scatterFigure(study),
    lambdaFigure(study),
  ];
  return figures.filter((figure) => figure !== null);
}

function accuracyFigure({ parameters, curves, simulation, trained, t }: Study): Figure | null {
  const main = curves.residual;
  if (!main) return null;
  const { eps, sn2 } = parameters;
  const score = (loss: number) => accuracy(eps, Math.max(0, loss));
  const assessed = (V: number, R: number) => score(V + R - sn2);
  const lines: [string, string, (c: Losses, i: number) => number][] = [
    ["train", colour.slate, (c, i) => score(c.R[i])],
    ["test", colour.vermillion, (c, i) => score(c.G[i])],
    ["self-assessed", colour.blue, (c, i) => assessed(c.V[i], c.R[i])],
  ];
  const series = lines.map(
    ([label, stroke, value]): Series => ({
      key: label,
      label,
      colour: stroke,
      dash: label === "self-assessed" ? [6, 4] : undefined,
      points: t.map((x, i) => ({ x, y: value(main, i) })),
    }),
  );
  const samples = lines.flatMap(([, stroke, value]) => [
    ...perTime(simulation?.runs.residual, stroke, value),
    ...diamonds(perTime(trained?.runs.residual, stroke, value)),
  ]);
  return {
    id: "theory-accuracy",
    title: "Accuracy, and what the model claims without labels",
    caption: `A prediction is correct within ±${formatNumber(eps)}. Residual noise; the self-assessed accuracy uses V + R − σₙ² in place of the test loss. ${pointsNote(simulation, trained)}`,
    spec: withSamples(
      { description: "Train, test and self-assessed accuracy over time.", x: timeAxis(t), y: share, series },
      samples,
    ),
  };
}

function varianceFigure({ curves, simulation, trained, t, parameters }: Study): Figure {
  const above = parameters.lambda >= 1;
  const series: Series[] = [];
  const samples: Sample[] = [];
  for (const mode of parameters.noise) {
    series.push({
      key: mode,
      label: modelNames[mode],
      colour: modelColours[mode],
      points: t.map((x, i) => ({ x, y: curves[mode]!.V[i] })),
    });
    const V = (c: SimulationCurves, i: number) => c.V[i];
    samples.push(...perTime(simulation?.runs[mode], modelColours[mode], V));
    samples.push(...diamonds(perTime(trained?.runs[mode], modelColours[mode], V)));
  }
  const mean = curves.residual ?? curves.elbo;
  if (mean) {
    series.push({
      key: "gap",
      label: "G − T",
      colour: colour.green,
      dash: [6, 4],
      points: t.map((x, i) => ({ x, y: mean.G[i] - mean.T[i] })),
    });
    const gap = (c: SimulationCurves, i: number) => c.G[i] - c.T[i];
    samples.push(...perTime(simulation?.runs.residual ?? simulation?.runs.elbo, colour.green, gap));
    samples.push(...diamonds(perTime(trained?.runs.residual ?? trained?.runs.elbo, colour.green, gap)));
  }
  return {
    id: "theory-variance",
    title: "Epistemic variance V",
    caption: `With fixed noise V never peaks; with learned noise it rises while the data are memorised and falls with generalisation. With residual noise it follows the generalisation gap G − T; its peak time is set by the bulk of the spectrum, its collapse by the edge. ${above ? "At λ ≥ 1 V with ELBO noise rises for ever. " : ""}${pointsNote(simulation, trained)}`,
    spec: withSamples(
      {
        description: "Epistemic variance of each noise model, and the generalisation gap, over time.",
        x: timeAxis(t),
        // For lambda >= 1 V with ELBO noise grows without bound.
        y: above
          ? { title: "V", type: "log", domain: wholeDecades(series, 1e-3) }
          : { title: "V", domain: covering(series, samples) },
        series,
      },
      samples,
    ),
  };
}

function informationFigure(study: Study): Figure | null {
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

function timesFigure({ parameters, simulation }: Study): Figure {
  const { level, u0 } = parameters;
  const grid = Array.from({ length: 141 }, (_, i) => 0.2 + i * 0.02);
  const rows = grid.map((lambda) => studyRow(lambda, level, u0));
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

function scatterFigure({ parameters, simulation }: Study): Figure {
  const { level, u0 } = parameters;
  // Dense towards lambda = 1, where the times grow fastest.
  const rows = Array.from({ length: 60 }, (_, i) => studyRow(1 - 0.8 * 0.9 ** i, level, u0));
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

function lambdaFigure({ lambdaView, simulation }: Study): Figure {
  const series = lambdaView.map(
    ({ t, lambda, V }, i): Series => ({
      key: `t${t}`,
      label: `t = ${t}`,
      colour: ordered[i],
      points: lambda.map((x, j): Point => ({ x, y: V[j] })),
    }),
  );
  const x: XAxis = { title: "λ = d/N", type: "linear", domain: [0.2, 3], format: "~g" };
  const samples = lambdaView.flatMap((_, i) =>
    perLambda(simulation?.overLambda ?? [], ordered[i], (row) => row.noiseVariance[i]),
  );
  return {
    id: "theory-lambda",
    title: "The second view: variance over λ",
    caption: `λ g(t), the variance that label noise of unit variance leaves in the mean. Its peak grows like √t and moves to λ = 1. The trace of the exact posterior has no such peak. ${pointsNote(simulation)}`,
    spec: withSamples(
      {
        description: "Label-noise variance as a function of lambda at several times.",
        x,
        y: { title: "variance / σₙ²", domain: covering(series, samples) },
        series,
      },
      samples,
    ),
  };
}

function pointsNote(simulation: Study["simulation"], trained?: Trained): string {
  const kinds = [
    ...(simulation ? ["Points: simulations"] : []),
    ...(trained ? ["Diamonds: regressions trained by gradient descent on the ELBO"] : []),
  ];
  return kinds.length > 0 ? `${kinds.join(". ")}; mean and one standard deviation over draws.` : "";
}

function diamonds(samples: Sample[]): Sample[] {
  return samples.map((sample) => ({ ...sample, shape: "diamond" }));
}

const share: YAxis = { title: "accuracy", domain: [0, 1] };

function timeAxis(t: number[]): XAxis {
  const domain: [number, number] = [t[0], t[t.length - 1]];
  return { title: "time t", type: "log", domain, ticks: logTicks(domain), format: "~g" };
}

/** From 0 to beyond every line and every point. */
function covering(series: Series[], samples: Sample[]): [number, number] {
  return fromZero([...series, { key: "samples", colour: colour.ink, points: samples }]);
}

export function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Lines broken where they leave the plot. */
export function clipped(series: Series[], { domain: [low, high] }: YAxis): Series[] {
  return series.map((line) => ({
    ...line,
    points: line.points.map(({ x, y }) => ({ x, y: y !== null && y >= low && y <= high ? y : null })),
  }));
}

function perTime(
  run: Simulation | undefined,
  stroke: string,
  value: (curves: SimulationCurves, i: number) => number,
): Sample[] {
  if (!run) return [];
  return run.t.map((x, i) => {
    const values = run.draws.map((draw) => value(draw, i));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    return {
      x,
      y: mean,
      sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0,
      colour: stroke,
    };
  });
}

function perLambda(
  rows: SimulatedRow[],
  stroke: string,
  value: (row: SimulatedRow) => Measured | null,
): Sample[] {
  return rows.flatMap((row) => {
    const measured = value(row);
    return measured ? [{ x: row.lambda, y: measured.mean, sd: measured.sd, colour: stroke }] : [];
  });
}

const hollow: Sample["shape"][] = ["diamond", "triangle-up"];

/** A line plot with a background and with points on top. */
export function withSamples(plot: LinePlot, samples: Sample[], background: object[] = []): TopLevelSpec {
  const { x, y } = plot;
  const inside = (value: number, { domain: [low, high] }: XAxis | YAxis) =>
    Math.min(high, Math.max(low, value));
  const values = samples
    .filter((s) => s.y >= y.domain[0] && s.y <= y.domain[1] && s.x >= x.domain[0] && s.x <= x.domain[1])
    .map((s) => ({
      x: s.x,
      y: s.y,
      colour: s.colour,
      shape: s.shape ?? "circle",
      size: (hollow.includes(s.shape) ? 34 : 22) * (s.large ? 3 : 1),
      low: inside(s.y - s.sd, y),
      high: inside(s.y + s.sd, y),
      left: inside(s.x - (s.xSd ?? 0), x),
      right: inside(s.x + (s.xSd ?? 0), x),
    }));
  const position = (field: string, axis: XAxis | YAxis) => ({
    field,
    type: "quantitative" as const,
    scale: { type: axis.type ?? ("linear" as const), domain: axis.domain, nice: false },
    title: axis.title,
  });
  const stroke = { color: { field: "colour", type: "nominal" as const, scale: null } };
  const spec = linePlot(plot) as { layer: object[] };
  const foreground = [
    {
      data: { values },
      mark: { type: "rule", strokeWidth: 1.25 },
      encoding: { x: position("x", x), y: position("low", y), y2: { field: "high" }, ...stroke },
    },
    {
      data: { values },
      mark: { type: "rule", strokeWidth: 1.25 },
      encoding: { x: position("left", x), x2: { field: "right" }, y: position("y", y), ...stroke },
    },
    ...[true, false].map((filled) => ({
      data: { values: values.filter(({ shape }) => filled !== hollow.includes(shape)) },
      mark: { type: "point", filled, opacity: 1 },
      encoding: {
        x: position("x", x),
        y: position("y", y),
        shape: { field: "shape", type: "nominal" as const, scale: null },
        size: { field: "size", type: "quantitative" as const, scale: null },
        ...stroke,
      },
    })),
  ];
  return {
    ...spec,
    layer: [...background, ...spec.layer, ...(values.length > 0 ? foreground : [])],
  } as unknown as TopLevelSpec;
}

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
