/** The figures of a study, in the order of the report. */
import type { Figure } from "../../figures/plot.ts";
import type { Study } from "../study.ts";
import { accuracyFigure } from "./accuracy.ts";
import { informationFigure } from "./information.ts";
import { lambdaFigure } from "./lambda.ts";
import { scatterFigure } from "./scatter.ts";
import { timesFigure } from "./times.ts";
import { varianceFigure } from "./variance.ts";

/** All figures that the study has data for. */
export function theoryFigures(study: Study): Figure[] {
  const figures = [
    accuracyFigure(study),
    varianceFigure(study),
    informationFigure(study),
    timesFigure(study),
    scatterFigure(study),
    lambdaFigure(study),
  ];
  return figures.filter((figure) => figure !== null);
}
