/** Pictures of a sweep: a heat map over two axes, and lines with their spread along one. */
import type { TopLevelSpec } from "vega-lite";
import type { SweepResult } from "../../sweep/results.ts";
import { type Figure, linePlot, logTicks, type Series, type XAxis } from "../figures/plot.ts";
import { categories, colour, ordered } from "../theme.ts";
import type { ChosenAxes, ReportAxis } from "./axes.ts";
import { SWEEP_VALUES, type SweepValueName } from "./values.ts";

/** Over the axes that the sweep has; none if there are only repetitions. */
export function sweepFigure(
  results: readonly SweepResult[],
  { x, y }: ChosenAxes,
  name: SweepValueName,
): Figure[] {
  if (x === null) return [];
  const map = y && heatMap(results, { x, y }, name);
  return [...(map ? [map] : []), ...lines(results, { x, y }, name)];
}

const label = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const at = (results: readonly SweepResult[], axis: ReportAxis, value: unknown) =>
  results.filter(({ settings }) => same(settings[axis.key], value));

function heatMap(
  results: readonly SweepResult[],
  { x, y }: { x: ReportAxis; y: ReportAxis },
  name: SweepValueName,
): Figure {
  const { title, caption, of, format, middle } = SWEEP_VALUES[name];
  const cells = x.values.flatMap((atX) =>
    y.values.flatMap((atY) => {
      const values = at(at(results, x, atX), y, atY).map(of);
      if (values.length === 0) return [];
      const value = middle(values);
      return [{ x: label(atX), y: label(atY), value, text: format(value) }];
    }),
  );
  const known = cells.flatMap(({ value }) => (value === null ? [] : [value]));
  const [low, high] =
    name === "grokked" || name === "accuracy" ? [0, 1] : [Math.min(...known), Math.max(...known)];
  const channels = {
    x: { field: "x", type: "ordinal", title: x.key, sort: x.values.map(label), axis: { labelAngle: 0 } },
    y: { field: "y", type: "ordinal", title: y.key, sort: y.values.map(label).reverse() },
  } as const;
  const spec: TopLevelSpec = {
    description: `Heat map of ${title.toLowerCase()} over ${x.key} and ${y.key}: ${cells
      .map((cell) => `${cell.x}, ${cell.y}: ${cell.text}`)
      .join("; ")}.`,
    // As wide as the other figures, with room for the title of the y axis.
    width: 380,
    height: Math.min(420, Math.max(160, 34 * y.values.length)),
    data: { values: cells },
    layer: [
      {
        mark: { type: "rect", stroke: colour.paper },
        encoding: {
          ...channels,
          color: {
            condition: {
              test: "datum.value !== null",
              field: "value",
              type: "quantitative",
              // Of equal values all have the last colour.
              scale: {
                type: "quantize",
                domain: low < high ? [low, high] : [low - 1, low],
                range: [...ordered],
              },
              legend: null,
            },
            value: colour.panel,
          },
        },
      },
      {
        mark: { type: "text", fontSize: 12 },
        encoding: {
          ...channels,
          text: { field: "text" },
          color: { condition: { test: "datum.value !== null", value: colour.paper }, value: colour.ink },
        },
      },
    ],
  };
  return { id: `map-${name}`, title, caption, spec };
}

/** Lines of more values than this cannot be told apart. */
const MOST_LINES = categories.length;

/** Only along numbers. */
function lines(
  results: readonly SweepResult[],
  { x, y }: { x: ReportAxis } & ChosenAxes,
  name: SweepValueName,
): Figure[] {
  const numbers = x.values.filter((value) => typeof value === "number");
  if (numbers.length < x.values.length) return [];
  const { title, of, middle } = SWEEP_VALUES[name];
  const groups =
    y && y.values.length <= MOST_LINES
      ? y.values.map((value) => ({ value, of: at(results, y, value) }))
      : null;
  const series = (groups ?? [{ value: null, of: results }]).flatMap((group, i): Series[] => {
    const points = numbers.map((number) => ({ x: number, values: at(group.of, x, number).map(of) }));
    const line = (key: string, statistic: (values: readonly (number | null)[]) => number | null) => ({
      key: `${key} ${i}`,
      colour: categories[i],
      points: points.map((point) => ({ x: point.x, y: statistic(point.values) })),
    });
    const extreme = (pick: (...values: number[]) => number) => (values: readonly (number | null)[]) => {
      const known = values.filter((value) => value !== null);
      return known.length === 0 ? null : pick(...known);
    };
    const thin = { strokeWidth: 1, opacity: 0.6, dash: [3, 3] };
    return [
      { ...line("lowest", extreme(Math.min)), ...thin },
      { ...line("highest", extreme(Math.max)), ...thin },
      { ...line("middle", middle), ...(groups && { label: label(group.value).slice(0, 13) }) },
    ];
  });
  const ys = series.flatMap(({ points }) => points.flatMap((point) => (point.y === null ? [] : [point.y])));
  if (ys.length === 0) return [];
  const [low, high] = [Math.min(0, ...ys), Math.max(...ys)];
  return [
    {
      id: `lines-${name}`,
      title: `${title} along ${x.key}`,
      caption: `${groups && y ? `One colour for each ${y.key}. ` : ""}Solid: the middle of the runs, as in the map; dashed: the lowest and the highest of them.`,
      spec: linePlot({
        description: `Line chart of ${title.toLowerCase()} along ${x.key}.`,
        x: numberAxis(x.key, numbers),
        y: { title: title.toLowerCase(), domain: [low, high > low ? high : low + 1] },
        series,
        points: true,
      }),
    },
  ];
}

/** Logarithmic over more than an order of magnitude. */
function numberAxis(title: string, numbers: readonly number[]): XAxis {
  const domain: [number, number] = [Math.min(...numbers), Math.max(...numbers)];
  return domain[0] > 0 && domain[1] / domain[0] >= 10
    ? { title, type: "log", domain, ticks: logTicks(domain), format: "~g" }
    : { title, type: "linear", domain, format: "~g" };
}
