/** The curvature at the checkpoints of a run: which jobs there are, and running those not done yet. */
import type { Config } from "../config/schema.ts";
import { GROUPINGS, type Grouping } from "../curvature/groups.ts";
import { UsageError } from "../errors.ts";
import { type CheckpointStep, readCheckpoint } from "../run/checkpoints.ts";
import { keysOf, requireCount, requireNonEmpty, requireOneOf, requirePath } from "../validate.ts";
import { spectrumFiles } from "./inputs.ts";
import { type JobsOutcome, type RunnerOptions, requireRunnerOptions, runOpenJobs } from "./job-runner.ts";
import { batchesFor, requireMemoryFor, settingsHash, withRun } from "./open-run.ts";
import { SPECTRA } from "./records.ts";
import {
  type CheckpointSelection,
  requireMembers,
  requireSelection,
  selectMembers,
  selectSteps,
} from "./selection.ts";
import {
  OPERATORS,
  type OperatorName,
  type SpectrumJob,
  type SpectrumOutcome,
  type SpectrumRecord,
} from "./spectrum-job.ts";

/** Which spectra `runSpectra` computes, at which checkpoints, and how the work is done. */
export interface SpectrumOptions
  extends CheckpointSelection,
    RunnerOptions<KeyedSpectrumJob, SpectrumRecord> {
  operators: readonly OperatorName[];
  /** Predictions that the loss is a mean over, at least. */
  data: number;
  /** Eigenvalues from the top. */
  k: number;
  llc: boolean;
  /** Each layer or block of the network by itself as well. Default: the whole only. */
  by?: Grouping;
}

const SPECTRUM_OPTIONS = keysOf<Omit<SpectrumOptions, keyof RunnerOptions<never, never>>>({
  ...{ steps: true, checkpoints: true, members: true, operators: true, data: true, k: true, llc: true },
  by: true,
});

export type KeyedSpectrumJob = SpectrumJob & Pick<SpectrumRecord, "settings" | "inputs">;

/** One job for each step, member and operator. The learning coefficient has no operator and goes with the first. */
function spectrumJobs(
  config: Config,
  steps: readonly CheckpointStep[],
  {
    operators,
    members,
    data,
    k,
    llc,
    by,
  }: Pick<SpectrumOptions, "operators" | "members" | "data" | "k" | "llc" | "by">,
): KeyedSpectrumJob[] {
  const batches = batchesFor(config, data);
  return steps.flatMap((checkpoint) =>
    selectMembers(checkpoint, members).flatMap((member) =>
      operators.map((operator, i) => {
        const job = { operator, k, batches, estimateLlc: llc && i === 0, ...(by && { by }) };
        return { ...job, step: checkpoint.step, member, settings: settingsHash(config, job) };
      }),
    ),
  );
}

export const operatorOf = ({ operator }: SpectrumJob): string => operator;

/**
 * Computes the spectra that `spectrum.jsonl` does not hold yet and appends each as it is done.
 * @throws RangeError for an option outside its range; UsageError if there is no run, no checkpoint, or none at a step, or
 *   for a k above the number of parameters
 */
export async function runSpectra(
  runDir: string,
  options: SpectrumOptions,
): Promise<JobsOutcome<SpectrumRecord>> {
  requirePath("runDir", runDir);
  requireRunnerOptions(options, SPECTRUM_OPTIONS);
  requireSelection(options);
  requireNonEmpty("operators", options.operators);
  for (const operator of options.operators) requireOneOf("operator", operator, OPERATORS);
  requireCount("data", options.data);
  requireCount("k", options.k);
  if (options.by !== undefined) requireOneOf("by", options.by, GROUPINGS);
  return withRun(runDir, async (run) => {
    const { directory, config, kept, events, table, identity } = run;
    requireMembers(options.members, config.ensemble.members);
    requireMemoryFor(config, { data: options.data });
    const parameters = table.reduce((sum, { length }) => sum + length, 0);
    if (options.k > parameters)
      throw new UsageError(`k: got ${options.k}, must be at most ${parameters}, the number of parameters`);
    const chosen = selectSteps(kept, options.steps, events, options.checkpoints);
    return runOpenJobs<KeyedSpectrumJob, SpectrumOutcome>(
      run,
      spectrumJobs(config, chosen, options),
      {
        ...{ task: "spectrum", recorded: SPECTRA, kindOf: operatorOf, files: spectrumFiles },
        load: async (job) => ({ parameters: await readCheckpoint(directory.path, job, table, identity) }),
      },
      options,
    );
  });
}
