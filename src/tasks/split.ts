/** Which tasks and which inputs are seen in training. The members of an ensemble share both splits. */
import { type RandomGenerator, sampleWithoutReplacement, stream, uniformInt } from "../random.ts";
import { type Contradiction, requireConsistent } from "../validate.ts";
import { seenInputCount, TaskFamily } from "./family.ts";
import type { TaskConfig } from "./settings.ts";
import { taskContradictions, validateTask } from "./validate.ts";

export interface TaskSplit {
  /** Indices of the D training tasks, ascending. */
  train: Int32Array;
  /** Indices of all other tasks of the family, ascending. */
  heldOut: Int32Array;
}

export interface InputSplit {
  /** Indices of the inputs seen in training, ascending. */
  seen: Int32Array;
  /** Indices of all other inputs, ascending; empty when inputFraction is 1. */
  unseen: Int32Array;
}

/**
 * What contradicts what in a task configuration: settings each other, or the rectangular construction the number of
 * tasks, where this seed finds no room for the rectangles.
 */
export function splitContradictions(task: TaskConfig, seed: number): Contradiction[] {
  const found = taskContradictions(task);
  if (found.length > 0 || task.taskSplit !== "rectangular" || chooseTasks(task, seed)) return found;
  return [
    {
      path: "task.trainTasks",
      value: task.trainTasks,
      allowed: `lower, or task.taskSplit uniform: ${task.modulus ** 2} tasks leave no room for ${task.trainTasks / 4} disjoint rectangles`,
      given: ["task.taskSplit", "task.modulus", "seed"],
    },
  ];
}

/**
 * Choose the D training tasks: uniformly without replacement, or by the rectangular construction.
 *
 * @throws RangeError for an invalid task configuration
 */
export function splitTasks(task: TaskConfig, seed: number): TaskSplit {
  requireConsistent(splitContradictions(task, seed));
  const [train, heldOut] = partition(new TaskFamily(task).taskCount, chooseTasks(task, seed)!);
  return { train, heldOut };
}

/** The indices of the training tasks, in any order; null without room for the rectangles. */
function chooseTasks(task: TaskConfig, seed: number): Int32Array | null {
  const { taskSplit, modulus, trainTasks } = task;
  const rng = stream(seed, 0, "taskSplit");
  return taskSplit === "rectangular"
    ? sampleRectangles(rng, modulus, trainTasks)
    : sampleWithoutReplacement(rng, new TaskFamily(task).taskCount, trainTasks);
}

/**
 * Choose the inputs seen in training: the nearest integer to inputFraction p^v of them, uniformly.
 *
 * @throws RangeError for an invalid task configuration
 */
export function splitInputs(task: TaskConfig, seed: number): InputSplit {
  validateTask(task);
  const { inputCount } = new TaskFamily(task);
  const chosen = sampleWithoutReplacement(stream(seed, 0, "inputSplit"), inputCount, seenInputCount(task));
  const [seen, unseen] = partition(inputCount, chosen);
  return { seen, unseen };
}

/** [the chosen indices, the others], both ascending. */
function partition(count: number, chosen: Int32Array): [Int32Array, Int32Array] {
  const isChosen = new Uint8Array(count);
  for (const index of chosen) isChosen[index] = 1;
  const rest = new Int32Array(count - chosen.length);
  let filled = 0;
  for (let index = 0; index < count; index++) if (!isChosen[index]) rest[filled++] = index;
  return [chosen.slice().sort(), rest];
}

const RECTANGLE_ATTEMPTS = 200;

/**
 * The rectangular construction of He et al. (arXiv 2406.02550) for tasks (a, b): D/4 different corners are drawn
 * uniformly; each is completed by a random (a', b') with a' != a, b' != b to the rectangle (a, b), (a, b'), (a', b),
 * (a', b') of the task grid, all rectangles disjoint. So every training task shares its first coefficient with one
 * other training task, and its second with yet another. (Their code also keeps the residues a, b, a', b' apart from each
 * other; that plays no part in the idea and is not imposed here.)
 *
 * When a corner has no free completion the draw starts again; close to a full grid no draw may succeed: null.
 */
function sampleRectangles(rng: RandomGenerator, p: number, trainTasks: number): Int32Array | null {
  for (let attempt = 0; attempt < RECTANGLE_ATTEMPTS; attempt++) {
    const tasks = tryRectangles(rng, p, trainTasks / 4);
    if (tasks) return tasks;
  }
  return null;
}

function tryRectangles(rng: RandomGenerator, p: number, count: number): Int32Array | null {
  const tasks: number[] = Array.from(sampleWithoutReplacement(rng, p * p, count));
  const taken = new Uint8Array(p * p);
  for (const corner of tasks) taken[corner] = 1;
  for (const corner of tasks.slice()) {
    const a = Math.floor(corner / p);
    const b = corner % p;
    const free: number[] = [];
    for (let a2 = 0; a2 < p; a2++) {
      if (a2 === a || taken[a2 * p + b]) continue;
      for (let b2 = 0; b2 < p; b2++) {
        if (b2 !== b && !taken[a * p + b2] && !taken[a2 * p + b2]) free.push(a2 * p + b2);
      }
    }
    if (free.length === 0) return null;
    const opposite = free[uniformInt(rng, free.length)];
    for (const task of [a * p + (opposite % p), opposite - (opposite % p) + b, opposite]) {
      taken[task] = 1;
      tasks.push(task);
    }
  }
  return Int32Array.from(tasks);
}
