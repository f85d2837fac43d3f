import type { SimulationCurves } from "../../../theory/simulate.ts";
import { type Figure, type Series, wholeDecades } from "../../figures/plot.ts";
import { colour } from "../../theme.ts";
import type { Study } from "../study.ts";
import { modelColours, modelNames, timeAxis } from "./axes.ts";
import { covering, diamonds, perTime, pointsNote, type Sample, withSamples } from "./samples.ts";

/** Epistemic variance of each noise model, and the generalisation gap, over time. */
export function varianceFigure({ curves, simulation, trained, t, parameters }: Study): Figure {
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
