/**
 * What the members of an ensemble train on where they are to differ in it: resamples with replacement, as in bagging
 * (Breiman, Machine Learning 24, 1996). A member has about 1 - 1/e = 63 % of what there is, some of it more than once.
 * The split into seen and unseen tasks is that of all members, so no member is trained on an unseen task.
 */
import { stream, uniformInt } from "../random.ts";
import { refuse } from "../validate.ts";
import type { PromptPool } from "./prompt-pool.ts";

export const BOOTSTRAPS = ["none", "prompts", "tasks"] as const;
/**
 * - `none`: all members train on the same;
 * - `prompts`: each on a resample of the prompt pool, as many prompts as it has;
 * - `tasks`: each on a resample of the training tasks and, of a pool, on the prompts of these (a cluster bootstrap), each
 *   as often as its task.
 */
export type Bootstrap = (typeof BOOTSTRAPS)[number];

/** The training tasks of a member: places in the split's list of D tasks, D of them, as often as each is drawn. */
export function memberTasks(
  bootstrap: Bootstrap,
  trainTasks: number,
  seed: number,
  member: number,
): Int32Array {
  return bootstrap === "tasks" ? resample(seed, member, trainTasks) : everyOne(trainTasks);
}

/**
 * The prompts of a pool that a member goes through in an epoch: their places in the pool, as often as each comes.
 *
 * @param train family indices of the training tasks, in the order of the split
 * @throws RangeError if the pool has no prompt of the member's tasks
 */
export function memberPrompts(
  { tasks }: Pick<PromptPool, "tasks">,
  bootstrap: Bootstrap,
  train: Int32Array,
  seed: number,
  member: number,
): Int32Array {
  if (bootstrap === "prompts") return resample(seed, member, tasks.length);
  const all = everyOne(tasks.length);
  if (bootstrap === "none") return all;
  const times = new Map<number, number>();
  for (const place of memberTasks(bootstrap, train.length, seed, member))
    times.set(train[place], (times.get(train[place]) ?? 0) + 1);
  const own = Array.from(all).flatMap((prompt) => Array<number>(times.get(tasks[prompt]) ?? 0).fill(prompt));
  if (own.length === 0)
    refuse(
      "ensemble.bootstrap",
      bootstrap,
      `none or prompts: the pool has no prompt of member ${member}'s tasks`,
    );
  return Int32Array.from(own);
}

/** 0..count-1, each as often as it is drawn in `count` draws. */
function resample(seed: number, member: number, count: number): Int32Array {
  const rng = stream(seed, member, "bootstrap");
  return Int32Array.from({ length: count }, () => uniformInt(rng, count));
}

const everyOne = (count: number) => Int32Array.from({ length: count }, (_, place) => place);
