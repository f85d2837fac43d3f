/** What the Laplace methods have in common, whatever the structure of their curvature. */
import type { FitInput, Fitted } from "../methods/method.ts";
import type { LaplaceEvidence } from "./evidence.ts";
import { fitLaplace, type LaplaceOptions } from "./fit.ts";
import { LaplacePosterior } from "./laplace.ts";

type Structure = Required<Pick<LaplaceOptions, "subsetOfWeights" | "hessianStructure">>;

export type LaplaceMethodOptions = Omit<LaplaceOptions, keyof Structure | "trainingTerms">;

export const laplaceMethod = (structure: Structure) =>
  ({
    fits: "curvature",
    defaults: {},
    fit({
      model,
      checkpoints: [parameters],
      data,
      trainingTerms,
      seed,
      options,
    }: FitInput<LaplaceMethodOptions>): Fitted {
      const posterior = fitLaplace(model, parameters, data, {
        seed,
        ...options,
        trainingTerms,
        ...structure,
      });
      return { posterior, evidence: evidenceOf(posterior) };
    },
    savedAs: "laplace",
    load: LaplacePosterior.load,
  }) as const;

function evidenceOf(posterior: LaplacePosterior): LaplaceEvidence {
  return {
    logMarginalLikelihood: posterior.logMarginalLikelihood(),
    priorPrecision: posterior.fields.priorPrecision,
    effectiveParameters: posterior.gaussian.effectiveParameters(),
    resolution: posterior.fields.curvature.resolution,
    warnings: posterior.warnings,
  };
}
