/** What a sweep would cost on this machine. Writes nothing. */
import type { Config } from "../config/schema.ts";
import { planRun, type RunPlan } from "../run/plan.ts";
import { runBytes } from "../run/space.ts";
import type { SweepRun } from "./expand.ts";

export interface SweepPlan extends Pick<RunPlan, "math" | "simd"> {
  runs: SweepRun[];
  workers: number;
  /** Nominal FLOPs of all runs. */
  totalFlops: number;
  /** What the run directories take in the end, about. */
  diskBytes: number;
  /** By the speed of the run that is in the middle, measured with all threads busy, and the FLOPs of the others. */
  estimatedSeconds: number;
}

/** @throws UsageError for a run that does not fit the machine's memory */
export async function planSweep(
  runs: readonly { run: SweepRun; config: Config }[],
  workers: number,
): Promise<SweepPlan> {
  const byCost = runs.toSorted((a, b) => a.run.flops / a.run.members - b.run.flops / b.run.members);
  const { config, run } = byCost[byCost.length >> 1];
  // A member on each thread, none of them shared, is how a sweep keeps threads busy.
  const sample = {
    ...config,
    model: { ...config.model, initFrom: undefined },
    ensemble: { members: workers },
  };
  const measured = await planRun(sample, workers);
  const secondsPerFlop = measured.estimatedSeconds / (run.flops / run.members);
  const totalFlops = runs.reduce((sum, each) => sum + each.run.flops, 0);
  return {
    runs: runs.map((each) => each.run),
    workers,
    math: measured.math,
    simd: measured.simd,
    totalFlops,
    diskBytes: runs.reduce((sum, each) => sum + runBytes(each.config), 0),
    estimatedSeconds: (totalFlops * secondsPerFlop) / workers,
  };
}
