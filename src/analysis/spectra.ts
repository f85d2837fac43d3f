/** The curvature at the checkpoints of a run: which jobs there are, and running those not done yet. */
import type { Config } from "../config.ts";
import { messageOf, UsageError } from "../errors.ts";
import { nearestName } from "../load-config.ts";
import { runJobs } from "../pool/jobs.ts";
import { type CheckpointStep, readCheckpoint } from "../run/checkpoints.ts";
import type { SpectrumRecord } from "../run/records.ts";
import { batchesFor, settingsHash, withRun, withWorkers } from "./open-run.ts";
import type { JobFailure, JobObserver } from "./posteriors.ts";
import { type StepChoice, selectMembers, selectSteps } from "./selection.ts";
import { OPERATORS, type OperatorName, type SpectrumJob, type SpectrumOutcome } from "./spectrum-job.ts";

export interface SpectrumOptions {
  operators: readonly OperatorName[];
  steps: StepChoice;
  /** Most checkpoints of `all` and `grok`; 0: all there are. */
  checkpoints: number;
  members: number | "all";
  /** Predictions that the loss is a mean over, at least. */
  data: number;
  /** Eigenvalues from the top. */
  k: number;
  llc: boolean;
  workers: number;
  signal?: AbortSignal;
  observer?: JobObserver<KeyedSpectrumJob, SpectrumRecord>;
}

export interface SpectraOutcome {
  status: "finished" | "stopped";
  /** The results asked for, those of earlier calls among them. */
  records: SpectrumRecord[];
  failures: JobFailure[];
}

export type KeyedSpectrumJob = SpectrumJob & { settings: string };

/** @throws UsageError naming an operator that does not exist */
export function parseOperators(text: string): OperatorName[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if ((OPERATORS as readonly string[]).includes(name)) continue;
    const near = nearestName(name, OPERATORS);
    throw new UsageError(
      `unknown operator "${name}"; ${near ? `did you mean "${near}"?` : `there are: ${OPERATORS.join(", ")}`}`,
    );
  }
  return OPERATORS.filter((operator) => names.includes(operator));
}

/** One job for each step, member and operator. The learning coefficient has no operator and goes with the first. */
export function spectrumJobs(
  config: Config,
  steps: readonly CheckpointStep[],
  { operators, members, data, k, llc }: Pick<SpectrumOptions, "operators" | "members" | "data" | "k" | "llc">,
): KeyedSpectrumJob[] {
  const batches = batchesFor(config, data);
  return steps.flatMap((checkpoint) =>
    selectMembers(checkpoint, members).flatMap((member) =>
      operators.map((operator, i) => {
        const job = { operator, k, batches, estimateLlc: llc && i === 0 };
        return { ...job, step: checkpoint.step, member, settings: settingsHash(config, job) };
      }),
    ),
  );
}

const identity = ({ step, member, settings }: KeyedSpectrumJob) => [step, member, settings].join(" ");

/**
 * Computes the spectra that `spectrum.jsonl` does not hold yet and appends each as it is done. An interrupted call
 * leaves what is done, and the next one goes on.
 * @throws UsageError if there is no run, no checkpoint, or none at a step
 */
export function runSpectra(runDir: string, options: SpectrumOptions): Promise<SpectraOutcome> {
  return withRun(runDir, async (run) => {
    const { directory, config, kept, events, table } = run;
    const { workers, signal, observer } = options;
    const parameters = table.reduce((sum, { length }) => sum + length, 0);
    if (options.k > parameters)
      throw new UsageError(`k: got ${options.k}, must be at most ${parameters}, the number of parameters`);
    const chosen = selectSteps(kept, options.steps, events, options.checkpoints);
    const jobs = spectrumJobs(config, chosen, options);
    const known = new Map((await directory.readSpectra()).map((record) => [identity(record), record]));
    const records = jobs.flatMap((job) => known.get(identity(job)) ?? []);
    const open = jobs.filter((job) => !known.has(identity(job)));
    const failures: JobFailure[] = [];
    const used = Math.min(workers, open.length);
    observer?.started?.({ all: jobs.length, open, workers: used });
    if (open.length === 0) return { status: "finished", records, failures };
    const finished = await withWorkers(run, { workers: used, signal }, (pool) =>
      runJobs({
        ...{ jobs: open, workers: used, signal },
        run: async (job: KeyedSpectrumJob) => {
          const parameters = await readCheckpoint(directory.path, job, table);
          return pool.run<SpectrumOutcome>("spectrum", { ...job, parameters });
        },
        done: async (job, outcome) => {
          const record: SpectrumRecord = { ...job, ...outcome };
          await directory.appendSpectrum(record);
          records.push(record);
          observer?.done?.(record);
        },
        failed: ({ operator, step, member }, error) => {
          const failure = { method: operator, step, member, message: messageOf(error) };
          failures.push(failure);
          observer?.failed?.(failure);
        },
      }),
    );
    return { status: finished ? "finished" : "stopped", records, failures };
  });
}
