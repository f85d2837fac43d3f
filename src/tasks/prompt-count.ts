/** How many training prompts there are. A prompt is a pair of a training task and an ordered sequence of seen inputs. */
import type { TaskFamily } from "./family.ts";
import type { PromptSet } from "./prompt-set.ts";
import type { TaskConfig } from "./settings.ts";

/** All of them, all equally likely. */
export function countTrainingPrompts(
  { trainTasks, examples, distinctInputs }: Pick<TaskConfig, "trainTasks" | "examples" | "distinctInputs">,
  seen: number,
): number {
  let total = trainTasks;
  for (let k = 0; k < examples; k++) total *= distinctInputs ? seen - k : seen;
  return total;
}

/** Those with these inputs and these outputs. */
export function countFits(
  family: TaskFamily,
  tasks: number[][],
  inputs: Int32Array,
  outputs: Int32Array,
): number {
  const evaluate = Array.from(inputs, (index) => family.evaluateAt(family.input(index)));
  return tasks.filter((task) => evaluate.every((of, k) => of(task) === outputs[k])).length;
}

/** Those that are not reserved, by going through them all. */
export function countUnreserved(
  { examples, distinctInputs }: Pick<TaskConfig, "examples" | "distinctInputs">,
  family: TaskFamily,
  tasks: number[][],
  seen: Int32Array,
  reserved: PromptSet,
): number {
  const evaluate = Array.from(seen, (index) => family.evaluateAt(family.input(index)));
  const inputs = new Int32Array(examples);
  const outputs = new Int32Array(examples);
  let count = 0;
  const extend = (zOf: readonly number[], k: number): void => {
    if (k === examples) {
      if (!reserved.has(inputs, outputs)) count++;
      return;
    }
    for (let i = 0; i < seen.length; i++) {
      if (distinctInputs && inputs.subarray(0, k).includes(seen[i])) continue;
      inputs[k] = seen[i];
      outputs[k] = zOf[i];
      extend(zOf, k + 1);
    }
  };
  for (const task of tasks)
    extend(
      evaluate.map((of) => of(task)),
      0,
    );
  return count;
}
