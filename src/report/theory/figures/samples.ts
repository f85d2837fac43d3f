/** Simulations and trained regressions as points over the lines of the theory. */
import type { TopLevelSpec } from "vega-lite";
import type { Simulation, SimulationCurves } from "../../../theory/simulate.ts";
import {
  fromZero,
  type LinePlot,
  linePlot,
  type Series,
  type XAxis,
  type YAxis,
} from "../../figures/plot.ts";
import { colour } from "../../theme.ts";
import { type Measured, measured, type SimulatedRow } from "../simulated.ts";
import type { Study } from "../study.ts";

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

/** A field of the draws over time. */
export function perTime(
  run: Simulation | undefined,
  stroke: string,
  value: (curves: SimulationCurves, i: number) => number,
): Sample[] {
  if (!run) return [];
  return run.t.map((x, i) => {
    const { mean, sd } = measured(run.draws.map((draw) => value(draw, i)));
    return { x, y: mean, sd, colour: stroke };
  });
}

/** A time or a value of the draws over lambda. */
export function perLambda(
  rows: SimulatedRow[],
  stroke: string,
  value: (row: SimulatedRow) => Measured | null,
): Sample[] {
  return rows.flatMap((row) => {
    const found = value(row);
    return found ? [{ x: row.lambda, y: found.mean, sd: found.sd, colour: stroke }] : [];
  });
}

/** Trained regressions are told from simulations by their shape. */
export function diamonds(samples: Sample[]): Sample[] {
  return samples.map((sample) => ({ ...sample, shape: "diamond" }));
}

/** What the points are, for a caption. */
export function pointsNote(simulation: Study["simulation"], trained?: Study["trained"]): string {
  const kinds = [
    ...(simulation ? ["Points: simulations"] : []),
    ...(trained ? ["Diamonds: regressions trained by gradient descent on the ELBO"] : []),
  ];
  return kinds.length > 0 ? `${kinds.join(". ")}; mean and one standard deviation over draws.` : "";
}

/** From 0 to beyond every line and every point. */
export function covering(series: Series[], samples: Sample[]): [number, number] {
  return fromZero([...series, { key: "samples", colour: colour.ink, points: samples }]);
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
