/** What can be known of a run before it begins, so that no worker is the first to find it. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { messageOf, UsageError } from "../errors.ts";
import { reserveProbePrompts } from "../tasks/reserved.ts";
import { requireConsistent } from "../validate.ts";
import { requireMemory } from "./memory.ts";

/**
 * @throws UsageError if the model does not fit 4 GiB, the run the machine's memory, or the probe sets leave too little to
 *   train on
 */
export function requireRunnable(config: Config, core: CoreModule, workers: number): void {
  // First: the next check takes memory itself.
  requireMemory(config, core, workers);
  const { task, seed, evaluation } = config;
  try {
    requireConsistent(reserveProbePrompts(task, seed, evaluation.prompts).contradictions);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}
