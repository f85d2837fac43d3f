/** Approximate posteriors against each other over the steps. None for a run without them. */
import { compareMethods, type MethodComparison } from "../../analysis/compare.ts";
import { METHOD_DEFINITIONS, type PosteriorMethod } from "../../posterior/methods/index.ts";
import type { MethodDefinition } from "../../posterior/methods/method.ts";
import type { RunData } from "../read-run.ts";
import { categories } from "../theme.ts";
import { eventMarks, runAxis } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis } from "./plot.ts";

/** Solid, dashed or dotted by what a method's spread comes from. */
const DASHES: Record<MethodDefinition["fits"], Series["dash"]> = {
  curvature: undefined,
  trajectory: [6, 3],
  nothing: [2, 3],
};

/** Colours by the methods' order, so that each keeps its own whichever others a run has. */
const styles = Object.fromEntries(
  METHOD_DEFINITIONS.map(({ name, label, fits }, rank) => [
    name,
    { label, colour: categories[rank % categories.length], dash: DASHES[fits] },
  ]),
) as Record<PosteriorMethod, Pick<Series, "colour" | "dash"> & { label: string }>;

/** The comparison of the methods of a run: made once for a page, which hands it to its figures and tables. */
export function methodsOf(run: RunData): MethodComparison[] {
  return compareMethods(run.posteriors, {
    classes: run.config.task.modulus,
    grokStep: run.events.grokStep,
    config: run.config,
  });
}

/** Mutual information of every method on one axis, with the range over members. */
export function methodsFigure(
  run: RunData,
  methods: readonly MethodComparison[],
  axis: StepAxis,
): Figure | null {
  if (methods.length === 0) return null;
  const ranges: Series[] = methods.flatMap(({ method, points }) =>
    ([0, 1] as const).map((end) => ({
      ...{ key: `${method} ${end}`, colour: styles[method].colour, strokeWidth: 1, opacity: 0.3 },
      points: points.map(({ step, range }) => ({ x: step, y: range[end] })),
    })),
  );
  const means = lines(methods, ({ points }) =>
    points.map(({ step, mean }) => ({ x: step, y: mean.mutualInformation })),
  );
  return {
    id: "methods-mi",
    title: "Epistemic uncertainty by method, unseen tasks",
    caption: `MI (nats) at the last position between draws of each approximate posterior, mean over members (thin: smallest and largest). ${sampleSizes(methods)} A method near 0 says that its posterior is that narrow, not that the model is right.`,
    spec: linePlot({
      description: "Line chart of mutual information on unseen tasks over steps, one line per method.",
      x: runAxis(run, axis),
      y: { title: "MI (nats)", domain: fromZero([...ranges, ...means]) },
      series: [...ranges, ...means],
      marks: eventMarks(run),
    }),
  };
}

/** The same relative to the method's own largest value: how sharply, and when, each falls. */
export function relativeInformationFigure(
  run: RunData,
  all: readonly MethodComparison[],
  axis: StepAxis,
): Figure | null {
  const methods = all.filter(
    ({ points, peakMutualInformation }) => points.length > 1 && (peakMutualInformation ?? 0) > 0,
  );
  if (methods.length === 0) return null;
  return {
    id: "methods-relative-mi",
    title: "Shape of the collapse by method",
    caption:
      "MI of each method as a share of its own largest value. Half is where the table below puts its fall. Methods whose largest value is tiny show their noise here.",
    spec: linePlot({
      description: "Line chart of mutual information relative to each method's maximum over steps.",
      x: runAxis(run, axis),
      y: { title: "MI / largest MI", domain: [0, 1] },
      series: lines(methods, ({ points, peakMutualInformation }) =>
        points.map(({ step, mean }) => ({ x: step, y: mean.mutualInformation / peakMutualInformation! })),
      ),
      marks: eventMarks(run),
    }),
  };
}

/** Log evidence of the Laplace approximations. */
export function evidenceFigure(
  run: RunData,
  all: readonly MethodComparison[],
  axis: StepAxis,
): Figure | null {
  const methods = all.filter(
    ({ points }) => points.filter(({ evidencePerTerm }) => evidencePerTerm !== null).length > 1,
  );
  if (methods.length === 0) return null;
  const series = lines(methods, ({ points }) =>
    points.map(({ step, evidencePerTerm }) => ({
      x: step,
      y: evidencePerTerm === null ? null : -evidencePerTerm,
    })),
  );
  return {
    id: "methods-evidence",
    title: "Laplace evidence",
    caption:
      "−log evidence / N, nats per prediction (lower is better), with N the predictions trained on up to the checkpoint. N grows with the steps, so the penalty for complexity weighs less later; the last layer counts its own parameters only. Low rank and diagonal are lower bounds of the evidence of the whole GGN, KFAC an approximation that may lie on either side.",
    spec: linePlot({
      description: "Line chart of the negative log evidence per prediction over steps, one line per method.",
      x: runAxis(run, axis),
      y: { title: "−log evidence / N", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}

/** The short label of the method, unless this run has a name of its own for it. */
function labelOf({ method, name }: MethodComparison): string {
  return name === method ? styles[method].label : name;
}

function lines(
  methods: readonly MethodComparison[],
  points: (comparison: MethodComparison) => Series["points"],
): Series[] {
  return methods.map((comparison) => ({
    key: comparison.method,
    ...styles[comparison.method],
    label: labelOf(comparison),
    points: points(comparison),
  }));
}

function sampleSizes(methods: readonly MethodComparison[]): string {
  const sizes = [...new Set(methods.map(({ samples }) => samples))].sort((a, b) => a - b);
  if (sizes.length === 1) return `All over S = ${sizes[0]} draws.`;
  const list = sizes.map((size) => {
    const names = methods.filter(({ samples }) => samples === size).map(labelOf);
    return `S = ${size} (${names.join(", ")})`;
  });
  return `The plug-in estimate grows with the number of draws, so sizes compare at equal S only: ${list.join(", ")}.`;
}
