/** The figures of one run, by the sections of the report. None for a run without an evaluation. */
import type { MethodComparison } from "../../analysis/compare.ts";
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
  return [accuracyFigure(run, axis), ...(membersOf(run) > 1 ? [informationFigure(run, axis)] : [])];
}

/** Of approximate posteriors; none for a run without. */
export function methodFigures(run: RunData, methods: readonly MethodComparison[], axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  return [
    methodsFigure(run, methods, axis),
    relativeInformationFigure(run, methods, axis),
    evidenceFigure(run, methods, axis),
  ].filter((figure) => figure !== null);
}

/** The others over the steps. */
export function furtherFigures(run: RunData, axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  return [
    entropyFigure(run, axis),
    distanceFigure(run, axis),
    lossFigure(run, axis),
    ...statisticFigures(run, axis),
    posteriorFigure(run, axis),
    eigenvalueFigure(run, axis),
    negativityFigure(run, axis),
  ].filter((figure) => figure !== null);
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
  return [positionFigure(run), densityFigure(run)].filter((figure) => figure !== null);
}
