/** Kronecker factors as the core sums them, and how its flat array of sums is read. */
import type { ParameterInfo } from "./transformer.ts";

/**
 * Sums over the R rows on which one layer acts, of a weight W (rows, columns). For a linear layer y = W a
 *   left = sum g g^T (rows, rows),  right = sum a a^T (columns, columns),
 * g being the gradient that reaches y from one column of the root of diag p - p p^T at one prediction, summed over both.
 * For an embedding, whose input is one-hot, left = sum a a^T holds counts and right = sum g g^T.
 */
export interface KroneckerSums {
  /** Of the parameter. The token embedding occurs a second time, last, as the unembedding of a tied model. */
  readonly name: string;
  readonly left: Float32Array | Float64Array;
  readonly right: Float32Array | Float64Array;
  /** R: predictions in the unembedding and in the last block's output projection and MLP, otherwise tokens. */
  readonly terms: number;
}

/** Of a LayerNorm vector (n): the diagonal of its block of sum J^T (diag p - p p^T) J. */
export interface SquareSums {
  readonly name: string;
  readonly squares: Float32Array | Float64Array;
}

export type FactorSums = KroneckerSums | SquareSums;

/** A view of the core's sums as one entry a tensor, in flat order. */
export function splitFactors(
  flat: Float32Array,
  parameters: readonly ParameterInfo[],
  shape: { dVocab: number; dModel: number; nLayers: number; tiedEmbeddings: boolean },
  { tokens, predictions }: { tokens: number; predictions: number },
): FactorSums[] {
  const { dVocab, dModel, nLayers, tiedEmbeddings } = shape;
  const lastBlock = `transformer.h.${nLayers - 1}.`;
  const atPredictions = ["attn.o", "mlp.c_fc", "mlp.c_proj"].map((layer) => `${lastBlock}${layer}.weight`);
  let at = 0;
  const take = (length: number) => {
    at += length;
    return flat.subarray(at - length, at);
  };
  const matrix = (name: string, rows: number, columns: number, terms: number): KroneckerSums => {
    const left = take(rows ** 2);
    return { name, left, right: take(columns ** 2), terms };
  };
  const sums = parameters.map(({ name, shape: [rows, columns] }): FactorSums => {
    if (columns === undefined) return { name, squares: take(rows) };
    const narrow = name === "lm_head.weight" || atPredictions.includes(name);
    return matrix(name, rows, columns, narrow ? predictions : tokens);
  });
  if (tiedEmbeddings) sums.push(matrix(parameters[0].name, dVocab, dModel, predictions));
  return sums;
}
