/** A member's answers to the prompts of the answer table. */
import type { Batch } from "../core/batch.ts";
import type { Transformer } from "../core/transformer.ts";
import { argmax } from "../uncertainty/rows.ts";
import type { MemberAnswers } from "./messages.ts";

/**
 * From the weights that the model holds: of an IVON member the mean of its posterior, and no dropout. So the table costs
 * one pass, however many samples a member predicts with.
 *
 * @param batch prompts with one position each
 */
export function answer(model: Transformer, batch: Batch): MemberAnswers {
  const { targets } = batch;
  const { dVocab } = model.shape;
  const probabilities = model.probabilities(batch);
  const right = new Float32Array(targets.length);
  const confidence = new Float32Array(targets.length);
  for (let b = 0; b < targets.length; b++) {
    const said = argmax(probabilities, b * dVocab, dVocab);
    confidence[b] = probabilities[b * dVocab + said];
    right[b] = said === targets[b] ? 1 : 0;
  }
  return { right, confidence };
}
