/**
 * The prompts that are kept out of training. A training prompt is drawn again, task and all, if its inputs and its clean
 * outputs are those of a probe prompt on seen inputs (so no noisy version of a probe prompt is trained on either), or
 * if what it shows is what a probe prompt shows. Prompts are compared by a 32-bit hash, so an innocent prompt is
 * drawn again once in 2^32 / (number of probe prompts) draws, and a probe prompt never passes. Families so small that
 * this would remove more than a tenth of the training prompts are refused, because the training distribution would
 * no longer be the one the exact references describe.
 */
import type { Contradiction } from "../validate.ts";
import { TaskFamily } from "./family.ts";
import { drawFreshProbes } from "./fresh-probes.ts";
import { PROBE_SETS } from "./probe-sets.ts";
import { countFits, countTrainingPrompts, countUnreserved } from "./prompt-count.ts";
import { PromptSet } from "./prompt-set.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

/** Largest share of the training prompts that the probe prompts may take away. */
const MAX_SHARE = 0.1;

export interface ReservedPrompts {
  reserved: PromptSet;
  /** Whether they are too large a part of the training prompts, or leave fewer than a pool needs. */
  contradictions: Contradiction[];
}

/**
 * The probe prompts that could come up in training, `probePrompts` in each set.
 *
 * @throws RangeError for an invalid task configuration
 */
export function reserveProbePrompts(task: TaskConfig, seed: number, probePrompts: number): ReservedPrompts {
  const { examples, promptPool } = task;
  const family = new TaskFamily(task);
  const trainTasks = Array.from(splitTasks(task, seed).train, (index) => family.task(index));
  const reachable = drawFreshProbes(task, seed, probePrompts).filter(
    ({ name }) => PROBE_SETS[name].inputs === "seen",
  );
  const reserved = new PromptSet(2 * probePrompts * reachable.length);
  const { seen } = splitInputs(task, seed);
  const total = countTrainingPrompts(task, seen.length);
  let taken = 0;
  let enough = probePrompts;
  // Probe sets begin alike, however many prompts they have: what the first ones take tells how many may be.
  for (let b = 0; b < probePrompts; b++) {
    const at = b * examples;
    for (const { batch, inputs } of reachable) {
      const prompt = inputs.subarray(at, at + examples);
      const clean = batch.targets.subarray(at, at + examples);
      if (reserved.add(prompt, clean)) taken += countFits(family, trainTasks, prompt, clean);
    }
    if (taken / total > MAX_SHARE) enough = Math.min(enough, b);
  }
  for (const { inputs, outputs } of reachable) {
    for (let b = 0; b < probePrompts; b++) {
      const at = b * examples;
      reserved.add(inputs.subarray(at, at + examples), outputs.subarray(at, at + examples));
    }
  }
  if (enough < probePrompts)
    return { reserved, contradictions: [probesTooMany({ probePrompts, taken, total, enough })] };
  // Even without prompts that are kept out for what they show under noise, a quarter of all is always there.
  if (promptPool === 0 || 4 * promptPool <= total) return { reserved, contradictions: [] };
  const available = countUnreserved(task, family, trainTasks, seen, reserved);
  return {
    reserved,
    contradictions: promptPool <= available ? [] : [poolTooLarge(promptPool, available)],
  };
}

function probesTooMany(counts: {
  probePrompts: number;
  taken: number;
  total: number;
  enough: number;
}): Contradiction {
  const { probePrompts, taken, total, enough } = counts;
  const fewer = enough > 0 ? `lower, about ${enough}, or` : "of another task,";
  return {
    path: "evaluation.prompts",
    value: probePrompts,
    allowed:
      `${fewer} task.examples or task.trainTasks higher: the probe sets would keep ${taken} of the ${total} training ` +
      `prompts out of training, more than ${100 * MAX_SHARE} %`,
    given: ["task.examples", "task.trainTasks"],
  };
}

function poolTooLarge(promptPool: number, available: number): Contradiction {
  return {
    path: "task.promptPool",
    value: promptPool,
    allowed: `0, for fresh prompts at every step, or at most ${available}, the number of different training prompts that the probe sets leave`,
    given: ["task.modulus", "task.trainTasks", "task.examples", "evaluation.prompts"],
  };
}
