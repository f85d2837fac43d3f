/** The posteriors that a run gets without being asked, as far as they cost little against its training. */
import type { PosteriorMethod } from "../posterior/methods/index.ts";
import type { CheckpointStep } from "../run/checkpoints.ts";
import { readTiming } from "../run/read.ts";
import type { JobFailure } from "./job-runner.ts";
import { type OpenRun, withRun } from "./open-run.ts";
import { DEFAULT_SETTINGS, fitJobs, type PosteriorSettings, posteriorJobs } from "./posteriors.ts";
import { selectSteps, thin } from "./selection.ts";

/** Largest share of the training's worker seconds that goes into them. */
const SHARE = 0.1;
/** Seconds under which starting the workers is not worth it. */
const SMALLEST_BUDGET = 2;
/** Fewer checkpoints show no course. */
const FEWEST_STEPS = 4;

interface Plan {
  method: PosteriorMethod;
  steps: CheckpointStep[];
  members: number;
  settings: PosteriorSettings;
  /** Seconds that one job takes at least, as far as is known before. */
  atLeast: number;
}

const IVON_STEPS = 100;

/**
 * Last-layer Laplace at all checkpoints, and a short IVON around the transition: its first steps move most. An IVON
 * run's members are IVON posteriors already, which takes no fit.
 * @param stepSeconds what a training step took
 */
function plans({ config, kept, events }: OpenRun, stepSeconds: number): Plan[] {
  const everywhere = {
    ...{ steps: kept, members: Math.min(2, config.ensemble.members), settings: DEFAULT_SETTINGS, atLeast: 0 },
  };
  const short = { ...DEFAULT_SETTINGS, fitSteps: IVON_STEPS };
  return [
    { method: "laplace-last-layer", ...everywhere },
    config.training.optimizer === "ivon"
      ? { method: "ivon", ...everywhere }
      : {
          ...{ method: "ivon", members: 1, settings: short },
          ...{ steps: selectSteps(kept, "grok", events, 8), atLeast: IVON_STEPS * stepSeconds },
        },
  ];
}

export interface AfterTrainingOptions {
  workers: number;
  signal?: AbortSignal;
  /** Told before each method. */
  say?: (message: string) => void;
  /** Told about each job that failed. */
  failed?: (message: string) => void;
}

/**
 * Fits them as `posteriors.jsonl` records. How many checkpoints a method gets follows from how long its first job
 * takes, with equal shares for the methods; nothing more is fitted of one that would get fewer than four, and nothing
 * at all for a run that took seconds.
 * @throws UsageError if there is no run
 */
export async function fitAfterTraining(runDir: string, options: AfterTrainingOptions): Promise<void> {
  await withRun(runDir, async (run) => {
    const { ensemble, training } = run.config;
    const trained = (await readTiming(run.directory.path)).at(-1)?.trainSeconds ?? 0;
    let budget = SHARE * trained;
    if (budget < SMALLEST_BUDGET || run.kept.length < FEWEST_STEPS) return;
    const all = plans(run, trained / training.steps / ensemble.members);
    for (const [i, plan] of all.entries())
      budget -= await fitWithin(run, plan, budget / (all.length - i), options);
  });
}

/** @returns the worker seconds it took. */
async function fitWithin(
  run: OpenRun,
  { method, steps, members, settings, atLeast }: Plan,
  budget: number,
  { workers, signal, say, failed }: AfterTrainingOptions,
): Promise<number> {
  const fitOn = async (chosen: readonly CheckpointStep[], count: number) => {
    const jobs = posteriorJobs(run, [method], chosen, count, settings);
    const observer = {
      failed: ({ step, message }: JobFailure) => failed?.(`${method} at step ${step} failed: ${message}`),
    };
    const { records } = await fitJobs(run, jobs, { workers, signal, observer });
    return records.reduce((sum, { fitSeconds, predictSeconds }) => sum + fitSeconds + predictSeconds, 0);
  };
  if (signal?.aborted || budget < FEWEST_STEPS * members * atLeast) return 0;
  // The first job alone, on the last checkpoint, tells what one costs.
  const each = await fitOn(steps.slice(-1), 1);
  const affordable = Math.floor(budget / each / members);
  if (each === 0 || signal?.aborted || affordable < FEWEST_STEPS) return each;
  const chosen = thin(steps, affordable);
  say?.(`fitting ${method} at ${chosen.length} checkpoints`);
  return fitOn(chosen, members);
}
