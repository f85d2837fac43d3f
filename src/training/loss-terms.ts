/** How many terms, predictions of one token, the training loss has. */
import type { Config } from "../config/schema.ts";

/** Of one step of one member: prompts of a batch times the positions of a prompt that the loss is over. */
export function termsPerStep({ training, task }: Config): number {
  return training.batchSize * (training.lossPositions === "all" ? task.examples : 1);
}
