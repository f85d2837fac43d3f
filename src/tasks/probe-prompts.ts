/** The fixed prompts of all probe sets of a configuration. */
import { drawFreshProbes, type ProbePrompts } from "./fresh-probes.ts";
import { drawPromptPool, type PromptPool } from "./prompt-pool.ts";
import type { TaskConfig } from "./settings.ts";

export type { ProbePrompts };

/**
 * Draw the prompts of each probe set: `prompts` of them, and of a pool at most as many as it has.
 *
 * @throws RangeError for an invalid task configuration
 */
export function drawProbePrompts(task: TaskConfig, seed: number, prompts: number): ProbePrompts[] {
  const fresh = drawFreshProbes(task, seed, prompts);
  const pool = drawPromptPool(task, seed, prompts);
  return pool ? [...fresh, sampleOf(pool, prompts)] : fresh;
}

/** The first prompts of a pool, which stand in random order. */
function sampleOf({ batch, tasks, inputs, outputs }: PromptPool, prompts: number): ProbePrompts {
  const size = Math.min(prompts, batch.batchSize);
  const examples = batch.positions.length;
  return {
    name: "trainPrompts",
    batch: {
      ...batch,
      batchSize: size,
      tokens: batch.tokens.slice(0, size * batch.length),
      targets: batch.targets.slice(0, size * examples),
    },
    tasks: tasks.slice(0, size),
    inputs: inputs.slice(0, size * examples),
    outputs: outputs.slice(0, size * examples),
  };
}
