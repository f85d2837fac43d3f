/** A line chart that is drawn again and again: over the steps of a run that goes on, over times while a slider moves. */
import uPlot from "uplot";
import type { Band, Mark } from "../report/figures/plot.ts";
import { formatNumber } from "../report/format.ts";
import { colour, fontStack } from "../report/theme.ts";
import { resolved, translucent } from "./colours.ts";
import { element } from "./elements.ts";

export interface Line {
  /** In the legend; one without belongs to another line. */
  label?: string;
  /** As a CSS value. */
  colour: string;
  width: number;
  dash?: number[];
  opacity?: number;
  /** Points in place of a line. */
  dots?: boolean;
}

export interface XAxis {
  label: string;
  log?: boolean;
  /** By default what there is. */
  range?: [number, number];
  format: (x: number) => string;
}

export interface ChartOptions {
  lines: Line[];
  x: XAxis;
  /** [0, top] of the y axis; by default what there is to see. */
  top?: number;
  unit: string;
}

export interface Drawing {
  x: number[];
  /** Of each line, by x; null where there is no value. */
  values: (number | null)[][];
  bands: Band[];
  marks: Mark[];
  /** For those who cannot see it. */
  description: string;
}

const HEIGHT = 250;
const LABEL = `12px ${fontStack}`;

export class Chart {
  readonly #target: HTMLElement;
  readonly #plot: uPlot;
  readonly #observer: ResizeObserver;
  #bands: Band[] = [];
  #marks: Mark[] = [];

  constructor(target: HTMLElement, { lines, x, top, unit }: ChartOptions) {
    this.#target = target;
    target.replaceChildren();
    const stroke = (role: keyof typeof colour) => () => resolved(colour[role]);
    const axis = {
      stroke: stroke("muted"),
      font: LABEL,
      grid: { stroke: stroke("rule"), width: 1 },
      ticks: { stroke: stroke("rule"), width: 1, size: 4 },
    };
    this.#plot = new uPlot(
      {
        width: Math.max(200, target.clientWidth),
        height: HEIGHT,
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
        scales: {
          x: { time: false, ...(x.log && { distr: 3 }), ...(x.range && { range: x.range }) },
          y: { range: (_, __, largest) => [0, top ?? roundTop(largest)] },
        },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : x.format(tick))) },
          { ...axis, size: 44, values: (_, ticks) => ticks.map((tick) => String(Number(tick.toFixed(3)))) },
        ],
        series: [
          { label: x.label, value: (_, value) => (value === null ? "–" : x.format(value)) },
          ...lines.map(
            ({ label, colour: own, width, dash, opacity = 1, dots = false }): uPlot.Series => ({
              label,
              stroke: () => translucent(own, opacity),
              width: dots ? 0 : width,
              dash,
              points: dots ? { show: true, size: 2 * width, fill: () => resolved(own) } : { show: false },
              value: (_, value) => (value === null ? "–" : `${formatNumber(value)}${unit}`),
            }),
          ),
        ],
        // As CSS values, which follow the scheme by themselves.
        legend: { markers: { width: 3, stroke: (_, i) => (i > 0 ? lines[i - 1].colour : "transparent") } },
        hooks: {
          drawAxes: [() => this.#shade()],
          draw: [() => this.#mark()],
        },
      },
      [[], ...lines.map(() => [])],
      target,
    );
    // Those without a label would be rows without a name.
    const rows = target.querySelectorAll<HTMLElement>(".u-legend .u-series");
    lines.forEach(({ label }, i) => {
      if (label === undefined) rows[i + 1].hidden = true;
    });
    this.#observer = new ResizeObserver(() => {
      this.#plot.setSize({ width: Math.max(200, target.clientWidth), height: HEIGHT });
    });
    this.#observer.observe(target);
  }

  draw({ x, values, bands, marks, description }: Drawing): void {
    this.#bands = bands;
    this.#marks = marks;
    this.#target.setAttribute("aria-label", description);
    this.#plot.setData([x, ...values]);
  }

  /** After a change of the colour scheme. */
  redraw(): void {
    this.#plot.redraw(false);
  }

  destroy(): void {
    this.#observer.disconnect();
    this.#plot.destroy();
  }

  #shade(): void {
    const { ctx, bbox } = this.#plot;
    for (const { from, to, colour: own } of this.#bands) {
      const [left, right] = [from, to].map((step) => this.#plot.valToPos(step, "x", true));
      ctx.fillStyle = translucent(own, 0.16);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
  }

  /** Labels lie above each other where they would touch. */
  #mark(): void {
    const { ctx, bbox } = this.#plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px ${fontStack}`;
    ctx.strokeStyle = ctx.fillStyle = resolved(colour.muted);
    ctx.lineWidth = ratio;
    ctx.textAlign = "left";
    const ends: number[] = [];
    for (const { x, label } of this.#marks) {
      const at = Math.round(this.#plot.valToPos(x, "x", true));
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      const { width } = ctx.measureText(label);
      const left = Math.min(at + 4 * ratio, bbox.left + bbox.width - width);
      const free = ends.findIndex((end) => left > end);
      const row = free < 0 ? ends.length : free;
      ends[row] = left + width + 6 * ratio;
      ctx.fillText(label, left, bbox.top + (12 + 13 * row) * ratio);
    }
    ctx.restore();
  }
}

/** A round value above the largest. */
function roundTop(largest: number | null): number {
  if (!largest || !(largest > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(largest));
  return ([1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= 1.08 * largest) ?? 12) * unit;
}

/** Where the chart of a figure belongs. */
export function chartPlace(figure: string): HTMLElement {
  const place = element(figure).querySelector<HTMLElement>(".chart");
  if (!place) throw new Error(`the figure ${figure} has no place for its chart`);
  return place;
}
