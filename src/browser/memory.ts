/** Whether a page has the memory that a run takes. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { UsageError } from "../errors.ts";
import { inMebibytes } from "../run/mebibytes.ts";
import { runMemory } from "../run/memory-size.ts";

/** Browsers end a page that takes a few of these; none says when. */
const PAGE_BYTES = 2 * 2 ** 30;

/** @throws UsageError if it has not, RangeError if a member does not fit 4 GiB */
export function requirePageMemory(config: Config, core: CoreModule, workers: number): void {
  const { totalBytes } = runMemory(config, core, workers);
  if (totalBytes > PAGE_BYTES)
    throw new UsageError(
      `the run would take about ${inMebibytes(totalBytes)} of memory, and a page has ${inMebibytes(PAGE_BYTES)}. ` +
        "Choose a smaller model, ensemble or batch, or fewer probe prompts; or train it in a terminal, by the command below",
    );
}
