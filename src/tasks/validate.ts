/** The checks of a task configuration that look at more than one setting. */
import { type Contradiction, requireConsistent } from "../validate.ts";
import { familyContradictions, seenInputCount, TaskFamily } from "./family.ts";
import type { TaskConfig } from "./settings.ts";

/** @throws RangeError for the first of the contradictions */
export function validateTask(task: TaskConfig): void {
  requireConsistent(taskContradictions(task));
}

/**
 * What contradicts what in a task configuration whose settings are each within their ranges. Held-out tasks must remain,
 * because the probe sets on unseen tasks are what grokking is measured on.
 */
export function taskContradictions(task: TaskConfig): Contradiction[] {
  const noFamily = familyContradictions(task);
  if (noFamily.length > 0) return noFamily;
  const family = new TaskFamily(task);
  return [
    ...taskSplitContradictions(task, family),
    ...inputContradictions(task, family),
    ...poolContradictions(task),
  ];
}

function poolContradictions({ promptPool, trainTasks, batching }: TaskConfig): Contradiction[] {
  if (promptPool === 0) return [];
  if (batching === "balanced")
    return [
      {
        path: "task.batching",
        value: batching,
        allowed: "independent with a task.promptPool, whose prompts do not share their inputs",
        given: ["task.promptPool"],
      },
    ];
  if (promptPool >= trainTasks) return [];
  return [
    {
      path: "task.promptPool",
      value: promptPool,
      allowed: "0 or at least task.trainTasks, so that every training task can have a prompt",
      given: ["task.trainTasks"],
    },
  ];
}

const SIZES = ["task.family", "task.modulus", "task.variables"];

function taskSplitContradictions(task: TaskConfig, { taskCount, taskLength }: TaskFamily): Contradiction[] {
  const { trainTasks, taskSplit, constantTerm, zeroTask } = task;
  const found: Contradiction[] = [];
  if (trainTasks >= taskCount)
    found.push({
      path: "task.trainTasks",
      value: trainTasks,
      allowed: `below the ${taskCount} tasks of the family, so that unseen tasks remain`,
      given: [...SIZES, "task.constantTerm", "task.zeroTask"],
    });
  if (taskSplit !== "rectangular") return found;
  if (taskLength !== 2 || constantTerm || !zeroTask)
    found.push({
      path: "task.taskSplit",
      value: taskSplit,
      allowed: `uniform unless the tasks are all pairs of coefficients, with no task.constantTerm and with task.zeroTask; a task of this family has ${taskLength}`,
      given: [...SIZES, "task.constantTerm", "task.zeroTask"],
    });
  if (trainTasks % 4 !== 0)
    found.push({
      path: "task.trainTasks",
      value: trainTasks,
      allowed: "a multiple of 4 with task.taskSplit rectangular",
      given: ["task.taskSplit"],
    });
  return found;
}

function inputContradictions(task: TaskConfig, { inputCount }: TaskFamily): Contradiction[] {
  const { inputFraction, examples, distinctInputs } = task;
  const seen = seenInputCount(task);
  const unseen = inputCount - seen;
  if (seen < 1 || (inputFraction < 1 && unseen < 1))
    return [
      {
        path: "task.inputFraction",
        value: inputFraction,
        allowed: `such that at least one input is seen and, below 1, at least one unseen; it makes ${seen} of ${inputCount} seen`,
        given: ["task.modulus", "task.variables"],
      },
    ];
  const available = inputFraction < 1 ? Math.min(seen, unseen) : seen;
  if (!distinctInputs || examples <= available) return [];
  return [
    {
      path: "task.examples",
      value: examples,
      allowed: `at most ${available} with task.distinctInputs: ${seen} inputs are seen and ${unseen} unseen`,
      given: ["task.distinctInputs", "task.inputFraction", "task.modulus", "task.variables"],
    },
  ];
}
