/** Figures of experiments: lines over a setting or over training, with an interval, in the style of the reports. */
import { linePlot } from "../../dist/report/figures/plot.js";
import { categories } from "../../dist/report/theme.js";

/**
 * @param lines {label, points: [{x, value, interval}]}; the interval is drawn as thin dashed lines
 * @param x {title, type, format}, and its domain if it is not that of the points
 * @param y {title, type}; it begins at 0, or with `type: "log"` at the lowest point
 * @param points draw the points as well
 * @returns a specification for Vega-Lite; null if no point has a value
 */
export function intervalPlot({ description, x, y, lines, marks, points = true }) {
  const known = lines.flatMap(({ points }) => points.filter(({ value }) => value !== null));
  if (known.length === 0) return null;
  const xs = known.map(({ x }) => x);
  const ys = known.flatMap(({ value, interval = [] }) => [value, ...interval.filter((end) => end !== null)]);
  const series = lines.flatMap(({ label, points }, i) => {
    const colour = categories[i % categories.length];
    const thin = { colour, strokeWidth: 1, opacity: 0.5, dash: [3, 3] };
    const end = (which) => points.map((point) => ({ x: point.x, y: point.interval?.[which] ?? null }));
    return [
      { key: `${label} low`, ...thin, points: end(0) },
      { key: `${label} high`, ...thin, points: end(1) },
      { key: label, label, colour, points: points.map(({ x, value }) => ({ x, y: value })) },
    ];
  });
  return linePlot({
    description,
    x: { format: "~s", type: "linear", domain: [Math.min(...xs), Math.max(...xs)], ...x },
    y: { domain: [y.type === "log" ? Math.min(...ys) : 0, Math.max(...ys)], ...y },
    series,
    marks,
    points,
  });
}
