/** Whether the machine has the memory that a run takes, asked before it begins. */
import { totalmem } from "node:os";
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { messageOf, UsageError } from "../errors.ts";
import { threadsFor } from "../training/team-size.ts";
import { inMebibytes } from "./mebibytes.ts";
import { type RunMemory, runMemory } from "./memory-size.ts";

/** @throws UsageError if the model does not fit 4 GiB, or the run the machine's memory */
export function requireMemory(config: Config, core: CoreModule, wantedWorkers: number): void {
  let memory: RunMemory;
  try {
    memory = runMemory(config, core, wantedWorkers);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
  const there = availableBytes();
  if (memory.totalBytes <= there) return;
  throw new UsageError(
    `the run would take about ${inMebibytes(memory.totalBytes)} of memory, ${inMebibytes(memory.workerBytes)} of them for each ` +
      `worker, and there are ${inMebibytes(there)}. ${advice(config, core, wantedWorkers, there)}`,
  );
}

/** The machine's memory, or what this process may have of it. */
export function availableBytes(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/**
 * @param count of what is in memory together
 * @param bytes of each, at least
 * @throws UsageError for more than the machine has memory for
 */
export function requireFits(name: string, count: number, bytes: number): void {
  const there = availableBytes();
  const most = Math.floor(there / bytes);
  if (count > most)
    throw new UsageError(
      `${name}: got ${count}, must be at most ${most}, which ${inMebibytes(there)} of memory hold`,
    );
}

/** A change that is enough: fewer workers, or with one of them fewer probe prompts. */
function advice(config: Config, core: CoreModule, wantedWorkers: number, there: number): string {
  const fits = (changed: Config, workers: number) => runMemory(changed, core, workers).totalBytes <= there;
  let workers = threadsFor(config, wantedWorkers).used;
  while (workers > 1 && !fits(config, workers)) workers--;
  if (fits(config, workers)) return `With --workers ${workers} it fits`;
  let { prompts } = config.evaluation;
  const fewer = () => ({ ...config, evaluation: { ...config.evaluation, prompts } });
  while (prompts > 1 && !fits(fewer(), 1)) prompts = Math.floor(prompts / 2);
  if (fits(fewer(), 1)) return `With --workers 1 and evaluation.prompts ${prompts} it fits`;
  return "Choose a smaller model, ensemble, pool or batch";
}
