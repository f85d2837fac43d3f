/** Gaussian priors of which not every parameter has the same precision. */
import { type ParameterGroup, parameterGroups } from "../../curvature/groups.ts";
import type { PredictiveModel } from "../../curvature/model.ts";
import {
  refuse,
  requireCount,
  requireLength,
  requireList,
  requireNonEmpty,
  requireObject,
  requireVector,
} from "../../validate.ts";

export const PRIOR_STRUCTURES = ["scalar", "layerwise", "blockwise", "diag"] as const;

/**
 * Of which parameters the prior precision is the same: of all; of a parameter tensor; of a block of the network; of none.
 */
export type PriorStructure = (typeof PRIOR_STRUCTURES)[number];

/** N(0, D^-1) with the diagonal matrix D constant on each of consecutive groups, which cover all parameters. */
export interface GroupedPrior {
  structure: Exclude<PriorStructure, "scalar">;
  /** From the first parameter of the posterior on. Those of `diag` have one parameter each, and no name. */
  groups: readonly ParameterGroup[];
  /** delta of each group. */
  precisions: Float64Array;
}

/** The groups of the parameters from `offset` on, `size` of them. */
export function priorGroups(
  model: PredictiveModel,
  structure: PriorStructure,
  offset: number,
  size: number,
): ParameterGroup[] {
  if (structure === "scalar") return [{ name: "all", offset: 0, length: size }];
  if (structure === "diag") return singleParameters(size);
  const inside = model.parameters.filter(
    (tensor) => tensor.offset >= offset && tensor.offset < offset + size,
  );
  return parameterGroups(inside, structure === "layerwise" ? "layer" : "block").map((group) => ({
    ...group,
    offset: group.offset - offset,
  }));
}

export const singleParameters = (size: number): ParameterGroup[] =>
  Array.from({ length: size }, (_, offset) => ({ name: "", offset, length: 1 }));

/** @throws RangeError for what is no prior of several groups */
export function requireGroups(prior: Pick<GroupedPrior, "groups" | "precisions">): void {
  const { groups, precisions } = requireObject("prior", prior);
  requireGroupList(groups);
  requireVector("prior precisions", precisions);
}

/** @throws RangeError for what is no list of groups */
export function requireGroupList(groups: readonly ParameterGroup[]): void {
  requireList("groups", groups);
  requireNonEmpty("groups", groups);
  groups.forEach((group, g) => {
    requireCount(`groups[${g}].length`, requireObject(`groups[${g}]`, group).length);
  });
}

/** The precision of each parameter (n). @throws RangeError unless the groups cover all of n parameters */
export function spread(
  { groups, precisions }: Pick<GroupedPrior, "groups" | "precisions">,
  n: number,
): Float64Array {
  requireLength("prior precisions", precisions, groups.length, "one for each group");
  const out = new Float64Array(n);
  let end = 0;
  groups.forEach(({ offset, length }, g) => {
    if (offset !== end) refuse("offset of a group", offset, `${end}, where the one before it ends`);
    out.fill(precisions[g], offset, offset + length);
    end += length;
  });
  if (end !== n) refuse("parameters of all groups", end, `${n}`);
  return out;
}

/** The geometric mean over the parameters: one number for many. */
export function meanPrecision({ groups, precisions }: GroupedPrior): number {
  let [sum, count] = [0, 0];
  groups.forEach(({ length }, g) => {
    sum += length * Math.log(precisions[g]);
    count += length;
  });
  return Math.exp(sum / count);
}
