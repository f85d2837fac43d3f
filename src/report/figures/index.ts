/** The figures of one run, by the sections of the report. None for a run without an evaluation. */
import type { MethodComparison } from "../../analysis/compare.ts";
import { drawn } from "../guarded.ts";
import type { RunData } from "../read-run.ts";
import { accuracyFigure } from "./accuracy.ts";
import { distanceFigure } from "./distance.ts";
import { entropyFigure } from "./entropy.ts";
import { membersOf } from "./events.ts";
import { informationFigure } from "./information.ts";
import { lossFigure } from "./loss.ts";
import { evidenceFigure, methodsFigure, relativeInformationFigure } from "./methods.ts";
import type { Figure, StepAxis } from "./plot.ts";
import { positionFigure } from "./position.ts";
import { posteriorFigure } from "./posterior.ts";
import { quadrantFigures } from "./quadrants.ts";
import { densityFigure, eigenvalueFigure, negativityFigure } from "./spectrum.ts";
import { statisticFigures } from "./statistics.ts";

/** What a reader looks at first. */
export function mainFigures(run: RunData, axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  return drawn({
    accuracy: () => accuracyFigure(run, axis),
    information: () => (membersOf(run) > 1 ? informationFigure(run, axis) : null),
  });
}

/** Of approximate posteriors; none for a run without. */
export function methodFigures(run: RunData, methods: readonly MethodComparison[], axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  return drawn({
    methods: () => methodsFigure(run, methods, axis),
    "methods-relative": () => relativeInformationFigure(run, methods, axis),
    "methods-evidence": () => evidenceFigure(run, methods, axis),
  });
}

/** The others over the steps. */
export function furtherFigures(run: RunData, axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  return drawn({
    entropy: () => entropyFigure(run, axis),
    distance: () => distanceFigure(run, axis),
    loss: () => lossFigure(run, axis),
    statistics: () => statisticFigures(run, axis),
    posterior: () => posteriorFigure(run, axis),
    eigenvalues: () => eigenvalueFigure(run, axis),
    negativity: () => negativityFigure(run, axis),
  });
}

/** All whose x axis is the training step. */
export function stepFigures(run: RunData, methods: readonly MethodComparison[], axis: StepAxis): Figure[] {
  return [
    ...mainFigures(run, axis),
    ...quadrantFigures(run, axis).flatMap(({ figures }) => figures),
    ...methodFigures(run, methods, axis),
    ...furtherFigures(run, axis),
  ];
}

/** Figures with another x axis. */
export function otherFigures(run: RunData): Figure[] {
  if (run.records.length === 0) return [];
  return drawn({ position: () => positionFigure(run), density: () => densityFigure(run) });
}
