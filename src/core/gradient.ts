/** Loss and gradient. */
import { requireLength } from "../validate.ts";
import { type Batch, requireInputs, termsOf } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import type { ModelMemory } from "./memory.ts";
import { accumulateGradient } from "./shards.ts";
import type { Team } from "./team.ts";

/** What a transformer with memory for gradients offers. */
export interface Gradients {
  /**
   * Mean negative log-likelihood in nats over all B x P predictions, and its gradient (flat); with a `dropout` key,
   * under those masks.
   *
   * @throws RangeError for a batch that does not fit the shape
   */
  lossAndGradient(batch: Batch, dropout?: DropoutKey): { loss: number; gradient: Float32Array };

  /**
   * J^T c, flat: the gradient of sum(c x logits) for a cotangent c (B, P, V). Targets are not used.
   *
   * @throws RangeError for a batch that does not fit the shape, or unless c has B x P x V elements
   */
  jacobianTransposeProduct(batch: Batch, cotangent: Float32Array, dropout?: DropoutKey): Float32Array;

  /**
   * Helps the leader of a team, a transformer of the same shape on another thread, with its gradients until it is let go.
   * The parameters are afterwards the leader's.
   */
  assist(team: Team): void;
}

export function gradients(memory: ModelMemory): Gradients {
  const { core, shape } = memory;
  return {
    lossAndGradient(batch, dropout) {
      const loss = accumulateGradient(memory, batch, dropout);
      return { loss, gradient: memory.gradient() };
    },

    jacobianTransposeProduct(batch, cotangent, dropout) {
      requireInputs(batch, shape);
      const { dVocab } = shape;
      requireLength("cotangent", cotangent, termsOf(batch) * dVocab, "batchSize x positions x dVocab");
      const { length, positions } = batch;
      const stride = core.logitsStride();
      memory.sumGradients(batch, dropout, (sequences, first) => {
        core.forward(sequences, length, positions.length);
        const rows = sequences * positions.length;
        const logits = memory.floats(core.logitsPointer(), rows * stride);
        const base = first * positions.length * dVocab;
        for (let r = 0; r < rows; r++)
          logits.set(cotangent.subarray(base + r * dVocab, base + (r + 1) * dVocab), r * stride);
        core.backwardLogits();
      });
      return memory.gradient();
    },

    assist: (team) => team.assist(memory),
  };
}
