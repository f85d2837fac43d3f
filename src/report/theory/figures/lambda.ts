import type { Figure, Point, Series, XAxis } from "../../figures/plot.ts";
import { ordered } from "../../theme.ts";
import type { Study } from "../study.ts";
import { covering, perLambda, pointsNote, withSamples } from "./samples.ts";

/** The variance that label noise leaves in the mean, over lambda. */
export function lambdaFigure({ lambdaView, simulation }: Study): Figure {
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
