import type { SimulationCurves } from "../../../theory/simulate.ts";
import { accuracy } from "../../../theory/times.ts";
import type { Figure, Series, YAxis } from "../../figures/plot.ts";
import { formatNumber } from "../../format.ts";
import { colour } from "../../theme.ts";
import type { Study } from "../study.ts";
import { timeAxis } from "./axes.ts";
import { diamonds, perTime, pointsNote, withSamples } from "./samples.ts";

/** What accuracies are computed from, over time. */
type Losses = Pick<SimulationCurves, "R" | "G" | "V">;

const share: YAxis = { title: "accuracy", domain: [0, 1] };

/** Train, test and self-assessed accuracy over time; null without residual noise. */
export function accuracyFigure({ parameters, curves, simulation, trained, t }: Study): Figure | null {
  const main = curves.residual;
  if (!main) return null;
  const { eps, sn2 } = parameters;
  const score = (loss: number) => accuracy(eps, Math.max(0, loss));
  const assessed = (V: number, R: number) => score(V + R - sn2);
  const lines: [string, string, (c: Losses, i: number) => number][] = [
    ["train", colour.slate, (c, i) => score(c.R[i])],
    ["test", colour.vermillion, (c, i) => score(c.G[i])],
    ["self-assessed", colour.blue, (c, i) => assessed(c.V[i], c.R[i])],
  ];
  const series = lines.map(
    ([label, stroke, value]): Series => ({
      key: label,
      label,
      colour: stroke,
      dash: label === "self-assessed" ? [6, 4] : undefined,
      points: t.map((x, i) => ({ x, y: value(main, i) })),
    }),
  );
  const samples = lines.flatMap(([, stroke, value]) => [
    ...perTime(simulation?.runs.residual, stroke, value),
    ...diamonds(perTime(trained?.runs.residual, stroke, value)),
  ]);
  return {
    id: "theory-accuracy",
    title: "Accuracy, and what the model claims without labels",
    caption: `A prediction is correct within ±${formatNumber(eps)}. Residual noise; the self-assessed accuracy uses V + R − σₙ² in place of the test loss. ${pointsNote(simulation, trained)}`,
    spec: withSamples(
      { description: "Train, test and self-assessed accuracy over time.", x: timeAxis(t), y: share, series },
      samples,
    ),
  };
}
