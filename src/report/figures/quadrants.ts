/** Small multiples: accuracy and mutual information on each pair of seen or unseen tasks and seen or unseen inputs. */
import type { ProbeSetName } from "../../tasks/probe-sets.ts";
import type { RunData } from "../read-run.ts";
import { colour } from "../theme.ts";
import {
  eventMarks,
  memberLines,
  membersOf,
  overSteps,
  runAxis,
  setColour,
  setNames,
  uncertaintyBands,
} from "./events.ts";
import { type Figure, fromZero, linePlot, reference, type Series, type StepAxis } from "./plot.ts";

const quadrants = [
  "seenTasks",
  "seenTasksUnseenInputs",
  "unseenTasks",
  "unseenTasksUnseenInputs",
] as const satisfies ProbeSetName[];

/** Accuracy above mutual information, which a single member has not. */
export interface Quadrant {
  title: string;
  figures: Figure[];
}

/** Two, or four where inputs are held out; all on the same axes. None for a run without an evaluation. */
export function quadrantFigures(run: RunData, axis: StepAxis): Quadrant[] {
  const present = quadrants.filter((set) => run.records.some(({ ensemble }) => ensemble[set]));
  const information = present.map(
    (set): Series => ({
      key: set,
      label: "MI",
      colour: setColour[set],
      points: overSteps(run, set, (m) => m.mutualInformation),
    }),
  );
  const domain = fromZero(information);
  const common = {
    x: runAxis(run, axis),
    bands: uncertaintyBands(run).map(({ label: _, ...band }) => band),
    height: 110,
  };
  return present.map((set, i) => ({
    title: capital(setNames[set]),
    figures: [
      accuracy(run, set, common),
      ...(membersOf(run) > 1
        ? [
            {
              id: `quadrant-${set}-mi`,
              title: `MI: ${setNames[set]}`,
              caption: "Mutual information of the members, nats.",
              spec: linePlot({
                ...common,
                description: `Line chart of mutual information on ${setNames[set]} over optimiser steps.`,
                y: { title: "MI (nats)", domain },
                series: [information[i]],
              }),
            },
          ]
        : []),
    ],
  }));
}

type Common = Pick<Parameters<typeof linePlot>[0], "x" | "bands" | "height">;

function accuracy(run: RunData, set: (typeof quadrants)[number], common: Common): Figure {
  const ensemble: Series = {
    key: set,
    label: "ensemble",
    colour: setColour[set],
    strokeWidth: 2.75,
    points: overSteps(run, set, (m) => m.accuracy),
  };
  const ceiling = run.references[set]?.ceiling;
  return {
    id: `quadrant-${set}-accuracy`,
    title: `Accuracy: ${setNames[set]}`,
    caption: "Top-1 accuracy. Bold: the ensemble's mean predictive; thin: its members.",
    spec: linePlot({
      ...common,
      description: `Line chart of accuracy on ${setNames[set]} over optimiser steps.`,
      y: { title: "accuracy", domain: [0, 1] },
      series: [
        ...(ceiling === undefined
          ? []
          : [{ ...reference("ceiling", "ceiling", ceiling, common.x), colour: colour.green }]),
        ...memberLines(run, set, (m) => m.accuracy),
        ensemble,
      ],
      marks: eventMarks(run),
    }),
  };
}

const capital = (text: string) => `${text[0].toUpperCase()}${text.slice(1)}`;
