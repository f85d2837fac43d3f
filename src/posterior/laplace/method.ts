/** What the Laplace methods have in common, whatever the structure of their curvature. */
import type { FitInput, Fitted, MethodSettings } from "../methods/method.ts";
import { refuseOption } from "../option-checks.ts";
import type { LaplaceEvidence } from "./evidence.ts";
import { fitLaplace } from "./fit.ts";
import { LaplacePosterior } from "./laplace.ts";
import { type LaplaceOptions, laplaceOptionNames, requireLaplaceOptions } from "./options.ts";

type Structure = Required<Pick<LaplaceOptions, "subsetOfWeights" | "hessianStructure">>;

export type LaplaceMethodOptions = Omit<LaplaceOptions, keyof Structure | "trainingTerms">;

/** @param name of the method */
export const laplaceMethod = (name: string, structure: Structure) =>
  ({
    fits: "curvature",
    defaults: {},
    requireOptions(options: LaplaceMethodOptions): void {
      const allowed = laplaceOptionNames(structure).filter(
        (each) => !(each in structure) && each !== "trainingTerms",
      );
      for (const [option, value] of Object.entries(options))
        if (value !== undefined && !(allowed as string[]).includes(option))
          refuseOption(name, option, allowed);
      requireLaplaceOptions({ ...options, ...structure });
    },
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

/** The prior's structure, where it is not the default. */
export const priorOptions = ({
  priorStructure,
}: MethodSettings): Pick<LaplaceMethodOptions, "priorStructure"> =>
  priorStructure === null || priorStructure === "scalar" ? {} : { priorStructure };

function evidenceOf(posterior: LaplacePosterior): LaplaceEvidence {
  const { priorPrecision, prior, curvature } = posterior.fields;
  return {
    logMarginalLikelihood: posterior.logMarginalLikelihood(),
    priorPrecision,
    ...(prior &&
      prior.structure !== "diag" && {
        priorPrecisions: Object.fromEntries(prior.groups.map(({ name }, g) => [name, prior.precisions[g]])),
      }),
    effectiveParameters: posterior.gaussian.effectiveParameters(),
    resolution: curvature.resolution,
    warnings: posterior.warnings,
  };
}
