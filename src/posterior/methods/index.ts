/** The posterior methods. One more is a file of this folder, an import and a line of the list. */
import { refuse } from "../../validate.ts";
import { dropout } from "./dropout.ts";
import { ensemble } from "./ensemble.ts";
import { ivon } from "./ivon.ts";
import { laplaceDiagonal } from "./laplace-diagonal.ts";
import { laplaceKfac } from "./laplace-kfac.ts";
import { laplaceLastLayer } from "./laplace-last-layer.ts";
import { laplaceLowRank } from "./laplace-low-rank.ts";
import type { FitInput, MethodDefinition } from "./method.ts";
import { sgld } from "./sgld.ts";
import { snapshotEnsemble } from "./snapshot-ensemble.ts";
import { swag } from "./swag.ts";

/** In the order of tables and figures. */
const DEFINITIONS = [
  laplaceLastLayer,
  laplaceKfac,
  laplaceLowRank,
  laplaceDiagonal,
  swag,
  ivon,
  dropout,
  sgld,
  ensemble,
  snapshotEnsemble,
] as const;

type Definition = (typeof DEFINITIONS)[number];

/** The name of a method. */
export type PosteriorMethod = Definition["name"];

type OptionsOf<Entry> = Entry extends { fit(input: FitInput<infer Options, infer _Model>): unknown }
  ? Options
  : never;

/** Options of one method; of any, if it is not said which. */
export type MethodOptions<Method extends PosteriorMethod = PosteriorMethod> = OptionsOf<
  Extract<Definition, { name: Method }>
>;

export const METHOD_DEFINITIONS: readonly MethodDefinition<PosteriorMethod>[] = DEFINITIONS;

/** The names of all methods, in the order of tables and figures. */
export const POSTERIOR_METHODS: readonly PosteriorMethod[] = DEFINITIONS.map(({ name }) => name);

/** @throws RangeError for a name that no method has */
export function methodNamed(name: PosteriorMethod): MethodDefinition<PosteriorMethod> {
  return (
    METHOD_DEFINITIONS.find((definition) => definition.name === name) ??
    refuse("method", name, `one of ${POSTERIOR_METHODS.join(", ")}`)
  );
}
