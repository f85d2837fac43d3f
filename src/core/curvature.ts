/** Products with the curvature of the loss, and the diagonal of the Gauss-Newton matrix. */
import { requireCount } from "../validate.ts";
import { type BackpropagatedVectors, backpropagate, requireVectors } from "./backpropagated-vectors.ts";
import { type Batch, requireInputs, requireInputsAndTargets, termsOf } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import type { Gradients } from "./gradient.ts";
import type { ModelMemory } from "./memory.ts";

/**
 * What a transformer with memory for curvature offers. Vectors are flat, of parameterCount elements; a `dropout` key
 * fixes the masks of a product.
 */
export interface CurvatureProducts extends Gradients {
  /**
   * J v, (B, P, V): the derivative of the logits when the parameters move along v. Targets are not used.
   *
   * @throws RangeError for a batch that does not fit the shape, or unless v has parameterCount elements
   */
  jacobianVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array;

  /**
   * H v: the exact product with the Hessian of the mean negative log-likelihood (nats) over all B x P predictions, by
   * forward-over-reverse differentiation (Pearlmutter 1994).
   *
   * @throws RangeError for a batch that does not fit the shape, or unless v has parameterCount elements
   */
  hessianVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array;

  /**
   * G v for the generalised Gauss-Newton matrix G = mean over all B x P predictions of J^T (diag p - p p^T) J
   * (Schraudolph 2002), the Fisher matrix of the model's own predictions p. Targets are not used.
   *
   * @throws RangeError for a batch that does not fit the shape, or unless v has parameterCount elements
   */
  ggnVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array;

  /**
   * Diagonal, flat, of the Gauss-Newton matrix summed over all B x P predictions, from squared gradients, which are
   * summed in float64. `exact`: one gradient per prediction and class. Otherwise an unbiased estimate from `probes`
   * gradients of every `chunk` sequences at once (default 1): an element has relative variance
   * 2 / (number of gradients) if the chunks contribute alike. Targets are not used, dropout is off.
   *
   * @throws RangeError for a batch that does not fit the shape, or a chunk, number of probes, seed or stream that is not
   *   allowed
   */
  ggnDiagonal(batch: Batch, vectors: BackpropagatedVectors, chunk?: number): Float64Array;
}

export function curvature(memory: ModelMemory): Omit<CurvatureProducts, keyof Gradients> {
  const { core, shape } = memory;

  /** Hands the core the direction of the products to come; `backward`: of backward passes too. */
  function setDirection(v: Float32Array, backward: boolean): void {
    memory.requireFlat("v", v);
    memory.write(core.directionPointer(), v);
    core.packDirection(backward);
  }

  return {
    jacobianVectorProduct(batch, v, dropout) {
      requireInputs(batch, shape);
      setDirection(v, false);
      const rows = { pointer: core.logitsTangentPointer(), stride: core.logitsStride(), width: shape.dVocab };
      return memory.collectRows(batch, dropout, rows, (sequences) => {
        core.forwardJvp(sequences, batch.length, batch.positions.length);
      });
    },

    hessianVectorProduct(batch, v, dropout) {
      requireInputsAndTargets(batch, shape);
      setDirection(v, true);
      const weight = 1 / termsOf(batch);
      memory.sumGradientsUnordered(batch, dropout, (sequences) => {
        core.hessianVector(sequences, batch.length, batch.positions.length, weight);
      });
      return memory.gradient();
    },

    ggnVectorProduct(batch, v, dropout) {
      requireInputs(batch, shape);
      setDirection(v, false);
      const weight = 1 / termsOf(batch);
      memory.sumGradientsUnordered(batch, dropout, (sequences) => {
        core.ggnVector(sequences, batch.length, batch.positions.length, weight);
      });
      return memory.gradient();
    },

    ggnDiagonal(batch, vectors, chunk = 1) {
      requireInputs(batch, shape);
      requireVectors(vectors);
      requireCount("chunk", chunk);
      const { length, positions } = batch;
      const addSquares = (sequences: number, first: number) => {
        core.forward(sequences, length, positions.length);
        core.softmax(sequences * positions.length);
        backpropagate(memory, vectors, positions.length, first, core.squaresBackward);
      };
      memory.pack();
      core.squaresClear();
      memory.eachMicroBatch(batch, undefined, addSquares, { most: vectors === "exact" ? 1 : chunk });
      return new Float64Array(core.memory.buffer, core.squaresPointer(), memory.parameterCount).slice();
    },
  };
}
