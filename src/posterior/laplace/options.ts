/** Options of a Laplace approximation, named as in laplace-torch, and what is allowed of them. */

import { type Batch, totalTerms } from "../../curvature/model.ts";
import {
  refuse,
  requireCount,
  requireKeys,
  requireNonEmpty,
  requireObject,
  requireOneOf,
  requireWord,
} from "../../validate.ts";
import { requirePriorPrecision } from "../gaussian/gaussian.ts";
import { PRIOR_STRUCTURES, type PriorStructure } from "../gaussian/prior.ts";
import { refuseOption } from "../option-checks.ts";
import { type HessianStructure, STRUCTURES, SUBSETS, type SubsetOfWeights } from "./laplace.ts";

/** Options of `fitLaplace`, named as in laplace-torch. */
export interface LaplaceOptions {
  /** Default `lastLayer`, the unembedding. */
  subsetOfWeights?: SubsetOfWeights;
  /**
   * Default `kron`. `full` is dense (at most 4096 parameters); `lowRank` keeps the top eigenpairs of the GGN and
   * `remainder` of the rest; `matrixFree` decomposes nothing and works with products at every use.
   */
  hessianStructure?: HessianStructure;
  /**
   * delta of the prior N(0, I / delta): a number; `marginalLikelihood` (default) for the maximum of the evidence; or
   * the best predictive NLL on held-out batches over a grid (default 21 values from 1e-4 to 1e4). A list with several in
   * `priorStructure`.
   */
  priorPrecision?: number | readonly number[] | "marginalLikelihood" | HeldOutChoice;
  /**
   * Of which parameters the prior precision is the same: `scalar` (default), of all; `layerwise`, of a tensor;
   * `blockwise`, of a block of the network (see `parameterGroups`); `diag`, of each by itself, for `diag` only. A number
   * in `priorPrecision` is then that of every group, a list that of each in the order of the parameters, and the evidence
   * is maximised over all of them.
   */
  priorStructure?: PriorStructure;
  /**
   * N, the number of terms of the likelihood, if it is not the number of predictions in the batches: the curvature and
   * the log-likelihood are N times their means over the batches.
   */
  trainingTerms?: number;
  /** Eigenpairs of `lowRank`, the best that 4 rank + 40 products with the GGN find. Default 20. */
  rank?: number;
  /**
   * What `lowRank` takes the eigenvalues that it does not know for. `trace` (default): all for their mean, by
   * Hutchinson's estimate of the trace. `zero`: not determined by the data at all; draws then vary in these directions as
   * much as the prior, and the evidence asks for a prior far too wide. At any prior precision the evidence of the whole
   * GGN is between the two: below `zero`, and (by Jensen's inequality, up to the error of the trace) above `trace`.
   */
  remainder?: "trace" | "zero";
  /**
   * Over all parameters: for `kron` random vectors backpropagated from each prediction, default 8; for `diag` random
   * gradients per chunk, by default as many as make 256 in all, which leaves a relative error of sqrt(2 / 256) = 9 % in
   * an element. `exact` enumerates the classes instead.
   */
  probes?: number | "exact";
  /** Sequences per chunk of `diag`. Default 16. */
  chunk?: number;
  /** Lanczos steps of `matrixFree`. Default 50. */
  lanczosSteps?: number;
  /** Random vectors for the traces of `matrixFree` and `lowRank`. Default 8. */
  traceProbes?: number;
  /** Root of the random numbers of the fit. Default 0. */
  seed?: number;
}

/** The prior precision whose predictions on held-out batches are best. */
export interface HeldOutChoice {
  heldOut: readonly Batch[];
  grid?: readonly number[];
  nSamples?: number;
  /**
   * `best` (default) takes the smallest NLL; `oneStandardError` the widest prior whose NLL exceeds it by no more than
   * its standard error: on data like the training data a point estimate is often best, which would leave no posterior.
   */
  rule?: "best" | "oneStandardError";
}

/** Of a choice by held-out batches. */
export const DEFAULT_GRID = Array.from({ length: 21 }, (_, i) => 10 ** (-4 + 0.4 * i));

/** Options that have a meaning for some structures only, and those. */
const SPECIAL: Partial<
  Record<keyof LaplaceOptions, { structures: readonly HessianStructure[]; subset?: SubsetOfWeights }>
> = {
  rank: { structures: ["lowRank"] },
  remainder: { structures: ["lowRank"] },
  probes: { structures: ["kron", "diag"], subset: "all" },
  chunk: { structures: ["diag"], subset: "all" },
  lanczosSteps: { structures: ["matrixFree"] },
  traceProbes: { structures: ["lowRank", "matrixFree"] },
};

const GENERAL: readonly (keyof LaplaceOptions)[] = [
  ...(["subsetOfWeights", "hessianStructure", "priorPrecision", "priorStructure"] as const),
  ...(["trainingTerms", "seed"] as const),
];

/**
 * The options with the defaults of what every fit has.
 * @throws RangeError for an option that there is none of, that the structure has no use for, or outside its range
 */
export function requireLaplaceOptions(options: LaplaceOptions) {
  const {
    subsetOfWeights = "lastLayer",
    hessianStructure = "kron",
    seed = 0,
  } = requireObject("options", options);
  const { priorPrecision = "marginalLikelihood", priorStructure = "scalar" } = options;
  requireOneOf("subsetOfWeights", subsetOfWeights, SUBSETS);
  requireOneOf("hessianStructure", hessianStructure, STRUCTURES);
  requireUse(options, subsetOfWeights, hessianStructure);
  requireWord("seed", seed);
  requirePrior(priorStructure, priorPrecision, hessianStructure);
  const { rank, remainder, probes, chunk, lanczosSteps, traceProbes } = options;
  for (const [name, value] of Object.entries({ rank, chunk, lanczosSteps, traceProbes }))
    if (value !== undefined) requireCount(name, value);
  if (probes !== undefined && probes !== "exact") requireCount("probes", probes);
  if (remainder !== undefined) requireOneOf("remainder", remainder, ["trace", "zero"]);
  return { subsetOfWeights, hessianStructure, priorPrecision, priorStructure, seed };
}

function requirePrior(
  priorStructure: PriorStructure,
  priorPrecision: NonNullable<LaplaceOptions["priorPrecision"]>,
  hessianStructure: HessianStructure,
): void {
  requireOneOf("priorStructure", priorStructure, PRIOR_STRUCTURES);
  if (priorStructure === "diag" && hessianStructure !== "diag")
    refuse("priorStructure", priorStructure, `one of scalar, layerwise, blockwise with ${hessianStructure}`);
  if (typeof priorPrecision === "number") requirePriorPrecision("priorPrecision", priorPrecision);
  else if (isList(priorPrecision)) {
    if (priorStructure === "scalar")
      refuse("priorPrecision", priorPrecision, "a number with priorStructure scalar");
    priorPrecision.forEach((delta, i) => {
      requirePriorPrecision(`priorPrecision[${i}]`, delta);
    });
  } else if (typeof priorPrecision === "object" && priorPrecision !== null) {
    if (priorStructure !== "scalar")
      refuse("priorStructure", priorStructure, "scalar where held-out batches choose the prior precision");
    requireHeldOut(priorPrecision as HeldOutChoice);
  } else {
    requireOneOf("priorPrecision", priorPrecision, ["marginalLikelihood"]);
    if (priorStructure !== "scalar" && hessianStructure === "matrixFree")
      refuse("priorPrecision", priorPrecision, `stated with ${priorStructure} and matrixFree`);
  }
}

function requireHeldOut(choice: HeldOutChoice): void {
  requireKeys("priorPrecision", choice, ["heldOut", "grid", "nSamples", "rule"]);
  const { heldOut, grid = DEFAULT_GRID, nSamples = 1, rule = "best" } = choice;
  totalTerms(heldOut);
  requireNonEmpty("grid", grid);
  for (const [i, delta] of grid.entries()) requirePriorPrecision(`grid[${i}]`, delta);
  requireCount("nSamples", nSamples);
  requireOneOf("rule", rule, ["best", "oneStandardError"]);
}

export function isList(value: LaplaceOptions["priorPrecision"]): value is readonly number[] {
  return Array.isArray(value);
}

/** The options that have a meaning for a structure. */
export function laplaceOptionNames({
  subsetOfWeights,
  hessianStructure,
}: Required<Pick<LaplaceOptions, "subsetOfWeights" | "hessianStructure">>): (keyof LaplaceOptions)[] {
  const special = Object.entries(SPECIAL).filter(
    ([, { structures, subset = subsetOfWeights }]) =>
      structures.includes(hessianStructure) && subset === subsetOfWeights,
  );
  return [...GENERAL, ...special.map(([name]) => name as keyof LaplaceOptions)];
}

function requireUse(options: LaplaceOptions, subset: SubsetOfWeights, structure: HessianStructure): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || (GENERAL as readonly string[]).includes(name)) continue;
    const special = SPECIAL[name as keyof LaplaceOptions];
    if (!special) refuseOption("fitLaplace", name, [...GENERAL, ...Object.keys(SPECIAL)]);
    const { structures, subset: only = subset } = special;
    if (structures.includes(structure) && subset === only) continue;
    const whole = only === subset ? "" : ` and subsetOfWeights ${only}`;
    refuse(
      name,
      typeof value === "object" ? "a value" : value,
      `left out with ${structure} over ${subset}: it is for hessianStructure ${structures.join(" or ")}${whole}`,
    );
  }
}
