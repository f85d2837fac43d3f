/** Figures of experiments: lines over a setting or over training, with an interval, in the style of the reports. */
import { linePlot } from "../../dist/report/figures/plot.js";
import { categories } from "../../dist/report/theme.js";

/**
 * @param lines {label, points: [{x, value, interval}]}; the interval is drawn as thin dashed lines
 * @param y {title, domain}
 * @param points draw the points as well
 */
export function intervalPlot({ description, x, y, lines, marks, points = true }) {
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
    x: { format: "~s", type: "linear", ...x },
    y,
    series,
    marks,
    points,
  });
}

/** Several plots under each other or side by side. */
export const sideBySide = (...plots) => ({ hconcat: plots, spacing: 0 });
