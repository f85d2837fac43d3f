/**
 * Prompts asked back, for a test without labels: the query with a model's answer takes the place of the first example,
 * and the input of that example is asked in its turn. Who has inferred the task answers what the prompt itself shows
 * there; who answers by a task of its memory says what that one says.
 */
import type { Batch } from "../core/batch.ts";
import { everyTask, expectedHit, largest, SequentialPosterior } from "./exact.ts";
import { TaskFamily } from "./family.ts";
import type { ProbePrompts } from "./probe-prompts.ts";
import type { ProbeSetName } from "./probe-sets.ts";
import type { TaskConfig } from "./settings.ts";

/** The set whose prompts are asked back. */
export const CYCLE_SET = "unseenTasks" satisfies ProbeSetName;

/** Without an example there is nothing to ask back. */
export const canBeAskedBack = ({ examples }: Pick<TaskConfig, "examples">) => examples > 1;

/**
 * @param batch all positions of B prompts of two or more examples
 * @param answers (B): a model's, at the last position
 * @returns prompts as long as those, with their last position alone; targets are what the first example showed
 */
export function askedBack(batch: Batch, variables: number, answers: Int32Array): Batch {
  const { batchSize, length } = batch;
  const tokens = batch.tokens.slice();
  for (let b = 0; b < batchSize; b++) {
    const first = b * length;
    const query = first + length - variables;
    for (let i = 0; i < variables; i++) {
      tokens[first + i] = batch.tokens[query + i];
      tokens[query + i] = batch.tokens[first + i];
    }
    tokens[first + variables] = answers[b];
  }
  return { ...batch, tokens, positions: batch.positions.slice(-1), targets: shownFirst(batch, variables) };
}

/** (B): the outputs that the first examples show. */
export function shownFirst({ tokens, batchSize, length }: Batch, variables: number): Int32Array {
  return Int32Array.from({ length: batchSize }, (_, b) => tokens[b * length + variables]);
}

/**
 * On how many of these prompts, as a share, the exact generalising predictor G comes back to what the first example
 * shows when it is asked back with its own answers: less than 1 where contexts leave the task open.
 */
export function cycleCeiling(task: TaskConfig, { batch, outputs }: ProbePrompts): number {
  const { modulus, variables, examples } = task;
  const G = new SequentialPosterior(everyTask(new TaskFamily(task)), modulus, task.probeNoise, examples);
  const predictive = new Float64Array(modulus);
  /** What G says at the end of prompt b of a batch, whose first output is `first`. */
  const ask = ({ tokens, length }: Batch, b: number, first: number) => {
    G.reset();
    for (let k = 0; k < examples; k++) {
      const at = b * length + k * (variables + 1);
      G.predict(tokens.subarray(at, at + variables), predictive, 0);
      if (k < examples - 1) G.observe(k === 0 ? first : outputs[b * examples + k]);
    }
    return predictive;
  };
  const shown = shownFirst(batch, variables);
  const answers = shown.map((output, b) => {
    const says = ask(batch, b, output);
    return says.indexOf(largest(says));
  });
  const back = askedBack(batch, variables, answers);
  return (
    shown.reduce((sum, output, b) => sum + expectedHit(ask(back, b, answers[b]), output), 0) / shown.length
  );
}
