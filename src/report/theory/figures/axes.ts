/** Names, colours and axes that the figures of the linear model share. */
import type { NoiseMode } from "../../../theory/modes.ts";
import { logTicks, type Series, type XAxis, type YAxis } from "../../figures/plot.ts";
import { colour } from "../../theme.ts";

export const modelColours: Record<NoiseMode, string> = {
  fixed: colour.slate,
  residual: colour.blue,
  elbo: colour.vermillion,
};
export const modelNames: Record<NoiseMode, string> = {
  fixed: "fixed noise",
  residual: "residual",
  elbo: "ELBO",
};

/** Logarithmic, over all times of the study. */
export function timeAxis(t: number[]): XAxis {
  const domain: [number, number] = [t[0], t[t.length - 1]];
  return { title: "time t", type: "log", domain, ticks: logTicks(domain), format: "~g" };
}

/** null, where a line breaks, for a time that does not exist. */
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
