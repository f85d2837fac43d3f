/** The one kind of plot all figures share: lines over an x axis, direct labels at the right, event marks on top. */
import type { TopLevelSpec } from "vega-lite";
import { colour } from "../theme.ts";

/** A picture with the words that go with it. */
export interface Figure {
  /** Unique within a page; also the file name of a stand-alone picture. */
  id: string;
  title: string;
  caption: string;
  spec: TopLevelSpec;
}

/** How training steps are spaced along the x axis. */
export type StepAxis = "linear" | "log";

export interface Point {
  x: number;
  /** null where there is no finite value: the line is broken there. */
  y: number | null;
}

export interface Series {
  /** Distinguishes lines: unique within a plot. */
  key: string;
  /** Written beside the last point; lines without a label belong to another series (members of an ensemble). */
  label?: string;
  colour: string;
  strokeWidth?: number;
  opacity?: number;
  dash?: number[];
  points: Point[];
}

export interface Mark {
  x: number;
  label: string;
}

/** A stretch of the x axis, shaded from top to bottom. */
export interface Band {
  from: number;
  to: number;
  colour: string;
  /** Written into it at the bottom, where it is wide enough. */
  label?: string;
}

export interface XAxis {
  title: string;
  type: StepAxis;
  domain: [number, number];
  ticks?: number[];
  format: string;
}

export interface YAxis {
  title: string;
  type?: StepAxis;
  domain: [number, number];
}

export interface LinePlot {
  description: string;
  x: XAxis;
  y: YAxis;
  series: Series[];
  marks?: Mark[];
  bands?: Band[];
  /** Of the plot itself, pixels; 190 unless set. */
  height?: number;
  /** Draw the points as well: for an axis with few values. */
  points?: boolean;
}

const width = 316;
const fullHeight = 190;
/** Room for axis labels and for direct labels: the same in every plot, so that all are scaled alike. */
const padding = { left: 60, right: 96, top: 10, bottom: 42 };
const markRow = 15;
const labelRow = 14;
/** Width of one character of a label in pixels, on the safe side for common sans-serif fonts at 12 px. */
const characterWidth = 6.6;

export function linePlot(plot: LinePlot): TopLevelSpec {
  const series = plot.series.filter((line) => line.points.some((p) => visible(p, plot.x, plot.y)));
  const marks = placeMarks(plot.marks ?? [], plot.x);
  const rows = marks.reduce((most, mark) => Math.max(most, mark.row + 1), 0);
  const { height = fullHeight } = plot;
  const bands = placeBands(plot.bands ?? [], plot.x);
  return {
    description: plot.description,
    autosize: "none",
    width,
    height,
    padding: { ...padding, top: padding.top + rows * markRow },
    layer: [
      ...(bands.length > 0 ? [bandAreas(bands, height), bandLabels(bands, height)] : []),
      ...(marks.length > 0 ? [markRules(marks, height), markLabels(marks)] : []),
      lines(plot, series),
      endLabels(plot, series, height),
    ],
  };
}

function lines({ x, y, points }: LinePlot, series: Series[]) {
  // Each line brings its own style: the values are used as they are, without a scale.
  const style = (field: keyof Series, type: "nominal" | "quantitative") => ({ field, type, scale: null });
  return {
    data: {
      values: series.flatMap(({ key, colour, strokeWidth = 2, opacity = 1, dash = [], points }) =>
        points
          .filter((p) => x.type === "linear" || p.x > 0)
          .map((p) => ({
            x: p.x,
            y: visible(p, x, y) ? p.y : null,
            key,
            colour,
            strokeWidth,
            opacity,
            dash,
          })),
      ),
    },
    mark: { type: "line" as const, ...(points ? { point: { size: 24 } } : {}) },
    encoding: {
      x: {
        field: "x",
        type: "quantitative" as const,
        scale: { type: x.type, domain: x.domain, nice: false },
        axis: {
          title: x.title,
          labelExpr: `format(datum.value, "${x.format}")`,
          labelFlush: false,
          tickCount: 5,
          // Steps and examples are counted.
          tickMinStep: 1,
          ...(x.ticks ? { values: x.ticks } : {}),
        },
      },
      y: {
        field: "y",
        type: "quantitative" as const,
        scale: { type: y.type ?? "linear", domain: y.domain, nice: false },
        axis: {
          title: y.title,
          titleX: 17 - padding.left,
          tickCount: 5,
          ...(y.type === "log"
            ? {
                values: logTicks(y.domain),
                labelExpr: 'format(datum.value, datum.value < 0.01 ? "~e" : "~g")',
              }
            : {}),
        },
      },
      detail: { field: "key", type: "nominal" as const },
      color: style("colour", "nominal"),
      strokeWidth: style("strokeWidth", "quantitative"),
      opacity: style("opacity", "quantitative"),
      strokeDash: style("dash", "nominal"),
    },
  };
}

function visible(point: Point, x: XAxis, y: YAxis): boolean {
  if (x.type === "log" && point.x <= 0) return false;
  if (point.y === null || !Number.isFinite(point.y)) return false;
  return y.type !== "log" || point.y > 0;
}

function endLabels({ x, y }: LinePlot, series: Series[], height: number) {
  const labelled = series.flatMap((line) => {
    const last = line.points.findLast((p) => visible(p, x, y));
    return line.label && last
      ? [{ label: line.label, colour: line.colour, y: toPixelY(last.y!, y, height) }]
      : [];
  });
  const positions = spread(
    labelled.map((label) => label.y),
    labelRow,
    0,
    height,
  );
  const values = labelled.map((label, i) => ({ ...label, y: positions[i] }));
  return {
    data: { values },
    mark: { type: "text" as const, align: "left" as const, baseline: "middle" as const, fontSize: 12 },
    encoding: {
      x: { value: width + 7 },
      y: { field: "y", type: "quantitative" as const, scale: null },
      text: { field: "label", type: "nominal" as const },
      color: { field: "colour", type: "nominal" as const, scale: null },
    },
  };
}

function markRules(marks: PlacedMark[], height: number) {
  return {
    data: { values: marks },
    mark: { type: "rule" as const, strokeDash: [2, 3], color: colour.muted },
    encoding: {
      x: { field: "pixel", type: "quantitative" as const, scale: null },
      y: { field: "top", type: "quantitative" as const, scale: null },
      y2: { value: height },
    },
  };
}

function markLabels(marks: PlacedMark[]) {
  return {
    data: { values: marks },
    mark: { type: "text" as const, align: "left" as const, baseline: "middle" as const, fontSize: 12 },
    encoding: {
      x: { field: "textPixel", type: "quantitative" as const, scale: null },
      y: { field: "textTop", type: "quantitative" as const, scale: null },
      text: { field: "label", type: "nominal" as const },
      color: { value: colour.muted },
    },
  };
}

interface PlacedBand extends Band {
  /** Its ends in pixels from the plot's corner. */
  left: number;
  right: number;
}

/** What of each band lies within the plot. */
function placeBands(bands: Band[], x: XAxis): PlacedBand[] {
  const inside = (value: number) => Math.min(x.domain[1], Math.max(x.domain[0], value));
  return bands
    .map((band) => ({
      ...band,
      left: toPixelX(inside(band.from), x),
      right: toPixelX(inside(band.to), x),
    }))
    .filter(({ left, right }) => right > left);
}

function bandAreas(bands: PlacedBand[], height: number) {
  return {
    data: { values: bands },
    mark: { type: "rect" as const, opacity: 0.16 },
    encoding: {
      x: { field: "left", type: "quantitative" as const, scale: null },
      x2: { field: "right" },
      y: { value: 0 },
      y2: { value: height },
      color: { field: "colour", type: "nominal" as const, scale: null },
    },
  };
}

function bandLabels(bands: PlacedBand[], height: number) {
  const values = bands
    .filter(({ label, left, right }) => label && label.length * characterWidth < right - left)
    .map(({ label, left, right }) => ({ text: label, centre: (left + right) / 2 }));
  return {
    data: { values },
    mark: { type: "text" as const, align: "center" as const, baseline: "middle" as const, fontSize: 12 },
    encoding: {
      x: { field: "centre", type: "quantitative" as const, scale: null },
      y: { value: height - 10 },
      text: { field: "text", type: "nominal" as const },
      color: { value: colour.muted },
    },
  };
}

export interface PlacedMark extends Mark {
  /** x of the rule, y of its top, and the left end and middle of the label, in pixels from the plot's corner. */
  pixel: number;
  top: number;
  textPixel: number;
  textTop: number;
  /** 0 is the row next to the plot. */
  row: number;
}

/**
 * Puts each label to the right of its rule, or to the left where it would leave the picture, in the lowest row where
 * it crosses neither another label nor the rule of a mark in a higher row.
 */
export function placeMarks(marks: Mark[], x: XAxis): PlacedMark[] {
  const placed: (PlacedMark & { end: number })[] = [];
  const visibleMarks = marks.filter((mark) => x.type === "linear" || mark.x > 0).sort((a, b) => b.x - a.x);
  for (const mark of visibleMarks) {
    const pixel = toPixelX(mark.x, x);
    const size = mark.label.length * characterWidth;
    const fits = pixel + 4 + size <= width + padding.right;
    const textPixel = fits ? pixel + 4 : pixel - 4 - size;
    const end = textPixel + size;
    let row = 0;
    while (placed.some((other) => other.row >= row && crosses(other, textPixel, end))) row++;
    const textTop = -row * markRow - 9;
    placed.push({ ...mark, pixel, textPixel, end, row, textTop, top: textTop - 5 });
  }
  return placed.map(({ end: _, ...mark }) => mark);
}

function crosses(other: PlacedMark & { end: number }, start: number, end: number): boolean {
  const gap = 4;
  const from = Math.min(other.textPixel, other.pixel) - gap;
  const to = Math.max(other.end, other.pixel) + gap;
  return start < to && end > from;
}

function toPixelX(value: number, { type, domain: [from, to] }: XAxis): number {
  return width * relative(value, from, to, type);
}

function toPixelY(value: number, { type, domain: [from, to] }: YAxis, height: number): number {
  const y = height * (1 - relative(value, from, to, type ?? "linear"));
  return Math.min(height, Math.max(0, y));
}

function relative(value: number, from: number, to: number, type: StepAxis): number {
  return type === "log" ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
}

/** Moves positions apart to at least `gap`, in their order, within [low, high], by least displacement of the groups. */
export function spread(positions: number[], gap: number, low: number, high: number): number[] {
  const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b] || a - b);
  const blocks: { members: number[]; centre: number }[] = [];
  const start = (block: { members: number[]; centre: number }) => {
    const half = ((block.members.length - 1) * gap) / 2;
    return Math.max(low, Math.min(high - 2 * half, block.centre - half));
  };
  for (const index of order) {
    let block = { members: [index], centre: positions[index] };
    while (blocks.length > 0) {
      const previous = blocks[blocks.length - 1];
      if (start(previous) + previous.members.length * gap <= start(block)) break;
      blocks.pop();
      const members = [...previous.members, ...block.members];
      block = { members, centre: members.reduce((sum, i) => sum + positions[i], 0) / members.length };
    }
    blocks.push(block);
  }
  const result = new Array<number>(positions.length);
  for (const block of blocks) {
    block.members.forEach((index, i) => {
      result[index] = start(block) + i * gap;
    });
  }
  return result;
}

/** The x axis of training steps. A logarithmic axis begins at the first step after 0. */
export function stepAxis(steps: number[], type: StepAxis): XAxis {
  const last = Math.max(1, ...steps);
  const axis = { title: "optimiser step", type, format: "~s" };
  if (type === "linear") return { ...axis, domain: [0, last] };
  const first = Math.min(last, ...steps.filter((step) => step > 0));
  const domain: [number, number] = first < last ? [first, last] : [last / 2, last];
  return { ...axis, domain, ticks: logTicks(domain) };
}

/** Powers of ten within the domain, with 3 or with 2 and 5 times the powers if it spans few decades. */
export function logTicks([from, to]: [number, number]): number[] {
  const factors = to / from > 1000 ? [1] : to / from > 30 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(1)));
  }
  const inside = ticks.filter((tick) => tick >= from && tick <= to);
  return inside.length >= 2 ? inside : [from, to];
}

/** [0, top] with a round top just above the largest finite value. */
export function fromZero(series: Series[]): [number, number] {
  const largest = Math.max(...finiteValues(series), 1e-6);
  const unit = 10 ** Math.floor(Math.log10(largest));
  const top =
    [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= largest * 1.02) ?? 12;
  return [0, Number((top * unit).toPrecision(3))];
}

/** Whole decades around the positive values, at most from `floor` on. */
export function wholeDecades(series: Series[], floor: number): [number, number] {
  const values = finiteValues(series).filter((value) => value > 0);
  const low = Math.max(floor, Math.min(...values, 1));
  const high = Math.max(...values, 10 * low);
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
}

function finiteValues(series: Series[]): number[] {
  return series.flatMap((line) =>
    line.points.flatMap((p) => (p.y !== null && Number.isFinite(p.y) ? [p.y] : [])),
  );
}

/** A horizontal reference across the whole plot. */
export function reference(key: string, label: string, value: number, { domain }: XAxis): Series {
  return {
    key,
    label,
    colour: colour.muted,
    strokeWidth: 1.25,
    dash: [5, 3],
    points: domain.map((x) => ({ x, y: value })),
  };
}

const titleHeight = 26;

/** The figure's specification with its title drawn above it, for a picture without a heading beside it. */
export function titled({ title, spec }: Figure): TopLevelSpec {
  const room = spec.padding as typeof padding;
  return {
    ...spec,
    title: { text: title, frame: "group", dx: 6 - padding.left },
    padding: { ...room, top: room.top + titleHeight },
  };
}
