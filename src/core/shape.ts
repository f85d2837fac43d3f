/** The shape of a decoder. */
import {
  refuse,
  requireAbove,
  requireCount,
  requireObject,
  requireOneOf,
  requireRateFloat32,
  requireWhole,
} from "../validate.ts";
import { ACT_FNS, type ActFn } from "./activations.ts";

/** Shape of a decoder, in TransformerLens' names. */
export interface TransformerShape {
  dVocab: number;
  dModel: number;
  /** Divides dModel; the head dimension dModel / nHeads is even. */
  nHeads: number;
  nLayers: number;
  dMlp: number;
  /** Longest sequence. */
  nCtx: number;
  actFn: ActFn;
  tiedEmbeddings: boolean;
  /** Default 10000. */
  ropeBase?: number;
  /** Period of the token-role embedding (role = time mod roles); 0, the default, for none. */
  roles?: number;
  /**
   * Rate of inverted dropout on what each attention and MLP adds to the residual stream, 0 (default) to below 1; the
   * embedding has none. Only passes that are given a `DropoutKey` drop anything.
   */
  dropout?: number;
}

/** A shape with every default filled in. */
export type FullShape = Readonly<Required<TransformerShape>>;

/** @throws RangeError naming the first field that is not allowed */
export function resolveShape(shape: TransformerShape): FullShape {
  const { ropeBase = 10000, roles = 0, dropout = 0 } = requireObject("shape", shape);
  const full = { ...shape, ropeBase, roles, dropout };
  for (const field of ["dVocab", "dModel", "nHeads", "nLayers", "dMlp", "nCtx"] as const)
    requireCount(field, full[field]);
  if (full.dModel % (2 * full.nHeads) !== 0)
    refuse(
      "dModel",
      full.dModel,
      `an even multiple of nHeads = ${full.nHeads}: heads have an even dimension`,
    );
  if (typeof full.tiedEmbeddings !== "boolean")
    refuse("tiedEmbeddings", full.tiedEmbeddings, "true or false");
  requireOneOf("actFn", full.actFn, ACT_FNS);
  requireAbove("ropeBase", full.ropeBase, 1);
  requireWhole("roles", full.roles);
  requireRateFloat32("dropout", full.dropout);
  return full;
}
