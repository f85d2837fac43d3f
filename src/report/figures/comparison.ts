import type { EnsembleMeasures } from "../../uncertainty/measures.ts";
import type { RunData } from "../read-run.ts";
import { categories, colour } from "../theme.ts";
import { membersOf, overSteps } from "./events.ts";
import { type Figure, fromZero, linePlot, reference, type Series, type StepAxis, stepAxis } from "./plot.ts";

/** A run and the short name it goes by on the page. */
export interface NamedRun {
  label: string;
  run: RunData;
}

/** Overlays of several runs: mutual information and accuracy on unseen tasks. */
export function comparisonFigures(runs: NamedRun[], axis: StepAxis): Figure[] {
  const x = stepAxis(
    runs.flatMap(({ run }) => run.records.map((record) => record.step)),
    axis,
  );
  const members = [...new Set(runs.map(({ run }) => membersOf(run)))].sort((a, b) => a - b);
  const information = overlay(runs, (m) => m.mutualInformation);
  const chances = [...new Set(runs.map(({ run }) => 1 / run.config.task.modulus))];
  return [
    {
      id: "comparison-mi",
      title: "Epistemic uncertainty on unseen tasks",
      caption: `Mutual information in nats at the last position, plug-in over K = ${members.join(", ")} members.${
        members.length > 1
          ? " The runs differ in K: the estimate grows with K, so heights do not compare."
          : ""
      }`,
      spec: linePlot({
        description: "Line chart of mutual information on unseen tasks over steps, one line per run.",
        x,
        y: { title: "MI (nats)", domain: fromZero(information) },
        series: information,
      }),
    },
    {
      id: "comparison-accuracy",
      title: "Accuracy on unseen tasks",
      caption: "Accuracy of the ensemble at the last position.",
      spec: linePlot({
        description: "Line chart of accuracy on unseen tasks over steps, one line per run.",
        x,
        y: { title: "accuracy", domain: [0, 1] },
        series: [
          ...(chances.length === 1 ? [reference("chance", "chance", chances[0], x)] : []),
          ...overlay(runs, (m) => m.accuracy),
        ],
      }),
    },
  ];
}

/** Colour first, then dash: distinct for 24 runs. */
const dashes = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];

export function runStyle(index: number): Pick<Series, "colour" | "dash"> {
  return {
    colour: categories[index % categories.length] ?? colour.ink,
    dash: dashes[Math.floor(index / categories.length) % dashes.length],
  };
}

const longestLabel = 13;

function overlay(runs: NamedRun[], measure: (m: EnsembleMeasures) => number): Series[] {
  return runs.map(({ label, run }, index) => ({
    key: `run ${index}`,
    label: label.length > longestLabel ? `${label.slice(0, longestLabel - 1)}…` : label,
    ...runStyle(index),
    points: overSteps(run, "unseenTasks", measure),
  }));
}
