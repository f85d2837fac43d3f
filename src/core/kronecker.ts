/** Kronecker factors of the Gauss-Newton matrix. */
import { type BackpropagatedVectors, backpropagate, requireVectors } from "./backpropagated-vectors.ts";
import { type Batch, requireInputs, termsOf } from "./batch.ts";
import type { Gradients } from "./gradient.ts";
import type { ParameterInfo } from "./layout.ts";
import type { ModelMemory } from "./memory.ts";
import type { FullShape } from "./shape.ts";

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

/** What a transformer with memory for Kronecker factors offers. */
export interface KroneckerFactors extends Gradients {
  /**
   * Kronecker factors of the Gauss-Newton matrix (Martens & Grosse 2015), as sums over all B x P predictions, one entry a
   * tensor in flat order; the rows of a sequence count as independent (Eschenhagen et al. 2023, "expand"). Targets are
   * not used, dropout is off.
   *
   * @throws RangeError for a batch that does not fit the shape, or a number of probes, seed or stream that is not allowed
   */
  kroneckerFactors(batch: Batch, vectors: BackpropagatedVectors): FactorSums[];
}

export function kronecker(memory: ModelMemory): Pick<KroneckerFactors, "kroneckerFactors"> {
  const { core, shape, parameters } = memory;
  return {
    kroneckerFactors(batch, vectors) {
      requireInputs(batch, shape);
      requireVectors(vectors);
      const { length, batchSize, positions } = batch;
      memory.pack();
      core.kroneckerClear();
      memory.eachMicroBatch(batch, undefined, (sequences, first) => {
        core.kroneckerForward(sequences, length, positions.length);
        backpropagate(memory, vectors, positions.length, first, core.kroneckerBackward);
      });
      const sums = memory.floats(core.factorsPointer(), core.factorsLength()).slice();
      return splitFactors(sums, parameters, shape, {
        tokens: batchSize * length,
        predictions: termsOf(batch),
      });
    },
  };
}

/** A view of the core's sums as one entry a tensor, in flat order. */
function splitFactors(
  flat: Float32Array,
  parameters: readonly ParameterInfo[],
  { dVocab, dModel, nLayers, tiedEmbeddings }: FullShape,
  { tokens, predictions }: { tokens: number; predictions: number },
): FactorSums[] {
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
