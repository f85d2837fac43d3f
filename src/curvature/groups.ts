/** The parts of a network: its parameter tensors, or its blocks. */
import type { ParameterInfo } from "../core/layout.ts";
import { requireList, requireOneOf } from "../validate.ts";

export const GROUPINGS = ["layer", "block"] as const;

/**
 * `layer`: each parameter tensor. `block`: the embeddings, each block of the transformer, and what follows the last one,
 * the LayerNorm and the unembedding; with tied embeddings the matrix of both uses is among the embeddings.
 */
export type Grouping = (typeof GROUPINGS)[number];

/** A range of the flat parameter vector. */
export interface ParameterGroup {
  name: string;
  offset: number;
  length: number;
}

/** The groups in flat order; they cover all of the parameters given, which follow each other. */
export function parameterGroups(parameters: readonly ParameterInfo[], by: Grouping): ParameterGroup[] {
  requireList("parameters", parameters);
  requireOneOf("grouping", by, GROUPINGS);
  const groups: ParameterGroup[] = [];
  for (const { name: tensor, offset, length } of parameters) {
    const name = by === "layer" ? tensor : blockOf(tensor);
    const last = groups.at(-1);
    if (last?.name === name) last.length += length;
    else groups.push({ name, offset, length });
  }
  return groups;
}

function blockOf(tensor: string): string {
  const block = /^transformer\.h\.\d+(?=\.)/.exec(tensor);
  if (block) return block[0];
  return /^transformer\.w[tr]e\./.test(tensor) ? "embeddings" : "unembedding";
}
