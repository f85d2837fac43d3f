/**
 * The maps of the sweep beside this file, as in its report, for a light and a dark page.
 *
 *   epigrok sweep experiments/quick-phases/sweep.yaml --out DIR && node experiments/quick-phases/figure.mjs DIR
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { renderSvg } from "../../dist/report/svg.js";
import { axesOf, chooseAxes } from "../../dist/report/sweep/axes.js";
import { sweepFigure } from "../../dist/report/sweep/figures.js";
import { wholeResults } from "../../dist/sweep/results.js";

const results = await wholeResults(process.argv[2]);
const axes = chooseAxes(axesOf(results), {});
for (const value of ["grokked", "delay"]) {
  const [map] = sweepFigure(results, axes, value);
  for (const theme of ["light", "dark"]) {
    const path = new URL(`../../docs/images/quick-phases-${value}-${theme}.svg`, import.meta.url);
    writeFileSync(path, `${await renderSvg({ ...map.spec, title: map.title }, theme)}\n`);
    console.log(fileURLToPath(path));
  }
}
