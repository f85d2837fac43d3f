/** The figures of one run, in the order of the report. */
import type { MethodComparison } from "../../analysis/compare.ts";
import type { RunData } from "../read-run.ts";
import { accuracyFigure } from "./accuracy.ts";
import { distanceFigure } from "./distance.ts";
import { inputSetsFigure } from "./input-sets.ts";
import { lossFigure } from "./loss.ts";
import { evidenceFigure, informationFigure, relativeInformationFigure } from "./methods.ts";
import type { Figure, StepAxis } from "./plot.ts";
import { positionFigure } from "./position.ts";
import { posteriorFigure } from "./posterior.ts";
import { densityFigure, eigenvalueFigure, negativityFigure } from "./spectrum.ts";
import { statisticFigures } from "./statistics.ts";
import { uncertaintyFigure } from "./uncertainty.ts";

/** Figures whose x axis is the training step. None for a run without an evaluation. */
export function stepFigures(run: RunData, methods: readonly MethodComparison[], axis: StepAxis): Figure[] {
  if (run.records.length === 0) return [];
  const figures = [
    accuracyFigure(run, axis),
    uncertaintyFigure(run, axis, "unseenTasks"),
    uncertaintyFigure(run, axis, "seenTasks"),
    posteriorFigure(run, axis),
    distanceFigure(run, axis),
    lossFigure(run, axis),
    ...statisticFigures(run, axis),
    inputSetsFigure(run, axis),
    informationFigure(run, methods, axis),
    relativeInformationFigure(run, methods, axis),
    evidenceFigure(run, methods, axis),
    eigenvalueFigure(run, axis),
    negativityFigure(run, axis),
  ];
  return figures.filter((figure) => figure !== null);
}

/** Figures with another x axis. */
export function otherFigures(run: RunData): Figure[] {
  if (run.records.length === 0) return [];
  return [positionFigure(run), densityFigure(run)].filter((figure) => figure !== null);
}
