/** Posteriors over the checkpoints of a run: which jobs there are, and running those not done yet. */
import type { Config } from "../config.ts";
import { messageOf, UsageError } from "../errors.ts";
import { nearestName } from "../load-config.ts";
import { runJobs } from "../pool/jobs.ts";
import { type MethodOptions, POSTERIOR_METHODS, type PosteriorMethod } from "../posterior/methods.ts";
import { type CheckpointStep, readCheckpoint } from "../run/checkpoints.ts";
import type { PosteriorRecord } from "../run/records.ts";
import { batchesFor, type OpenRun, settingsHash, withRun, withWorkers } from "./open-run.ts";
import type { PosteriorJob, PosteriorOutcome } from "./posterior-job.ts";
import { type StepChoice, selectMembers, selectSteps } from "./selection.ts";

/** How the methods are fitted: the same for every checkpoint of a comparison. */
export interface PosteriorSettings {
  /** S. */
  samples: number;
  /** Predictions that means over the training data are taken over, at least. */
  data: number;
  /** Rate of `dropout`; null: the model's own, 0.1 if it was trained without. */
  dropout: number | null;
  /** Steps of the methods that go on from the checkpoint. */
  fitSteps: { swag: number; ivon: number; sgld: number };
}

export const DEFAULT_SETTINGS: PosteriorSettings = {
  samples: 32,
  data: 2048,
  dropout: null,
  fitSteps: { swag: 400, ivon: 400, sgld: 300 },
};

/** Compared by `epigrok posterior` unless it is told otherwise. */
export const DEFAULT_METHODS = POSTERIOR_METHODS.filter((method) => method !== "laplace-diagonal");

const DROPOUT_RATE = 0.1;

/** @throws UsageError naming a method that does not exist */
export function parseMethods(text: string): PosteriorMethod[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if ((POSTERIOR_METHODS as readonly string[]).includes(name)) continue;
    const near = nearestName(name, POSTERIOR_METHODS);
    throw new UsageError(
      `unknown method "${name}"; ${near ? `did you mean "${near}"?` : `there are: ${POSTERIOR_METHODS.join(", ")}`}`,
    );
  }
  return POSTERIOR_METHODS.filter((method) => names.includes(method));
}

export type KeyedJob = PosteriorJob & { settings: string };

/** One job for each method, step and member; one for each step of the ensemble. */
export function posteriorJobs(
  config: Config,
  methods: readonly PosteriorMethod[],
  steps: readonly CheckpointStep[],
  members: number | "all",
  settings: PosteriorSettings,
): KeyedJob[] {
  const batches = batchesFor(config, settings.data);
  const common = { samples: settings.samples, batches };
  return steps.flatMap((checkpoint) =>
    methods.flatMap((method): KeyedJob[] => {
      const options = methodOptions(config, method, settings);
      // The ensemble's samples are its members, whatever is asked for.
      const key = settingsHash(config, method === "ensemble" ? {} : { ...common, options });
      const job = { ...common, method, step: checkpoint.step, options, settings: key };
      return method === "ensemble"
        ? [{ ...job, member: null }]
        : selectMembers(checkpoint, members).map((member) => ({ ...job, member }));
    }),
  );
}

/** Only what matters to the method, so that another setting leaves its results valid. */
function methodOptions(
  { model }: Config,
  method: PosteriorMethod,
  { dropout, fitSteps }: PosteriorSettings,
): MethodOptions {
  switch (method) {
    case "swag":
    case "ivon":
    case "sgld":
      return { steps: fitSteps[method] };
    case "dropout":
      return { dropout: dropout ?? (model.dropout > 0 ? model.dropout : DROPOUT_RATE) };
    default:
      return {};
  }
}

const identity = ({ method, step, member, settings }: KeyedJob) => [method, step, member, settings].join(" ");

/** The jobs without a record, and the records of the others. */
export function pending(jobs: readonly KeyedJob[], records: readonly PosteriorRecord[]) {
  const known = new Map(records.map((record) => [identity(record), record]));
  return {
    open: jobs.filter((job) => !known.has(identity(job))),
    present: jobs.flatMap((job) => known.get(identity(job)) ?? []),
  };
}

export interface JobFailure {
  method: string;
  step: number;
  member: number | null;
  message: string;
}

/** What an analysis tells while it goes on. */
export interface JobObserver<Job, Record> {
  started?(jobs: { all: number; open: readonly Job[]; workers: number }): void;
  done?(record: Record): void;
  failed?(failure: JobFailure): void;
}

export interface PosteriorOptions {
  methods: readonly PosteriorMethod[];
  steps: StepChoice;
  /** Most checkpoints of `all` and `grok`; 0: all there are. */
  checkpoints: number;
  members: number | "all";
  settings: PosteriorSettings;
  workers: number;
  signal?: AbortSignal;
  observer?: JobObserver<KeyedJob, PosteriorRecord>;
}

export interface PosteriorsOutcome {
  status: "finished" | "stopped";
  /** The results of this comparison, those of earlier calls among them. */
  records: PosteriorRecord[];
  failures: JobFailure[];
}

/**
 * Fits the posteriors that `posteriors.jsonl` does not hold yet and appends each as it is done. An interrupted call
 * leaves what is done, and the next one goes on.
 * @throws UsageError if there is no run, no checkpoint, or none at a step
 */
export function runPosteriors(runDir: string, options: PosteriorOptions): Promise<PosteriorsOutcome> {
  return withRun(runDir, (run) => {
    const chosen = selectSteps(run.kept, options.steps, run.events, options.checkpoints);
    const jobs = posteriorJobs(run.config, options.methods, chosen, options.members, options.settings);
    return fitJobs(run, jobs, options);
  });
}

/** Runs those of the jobs that have no record. */
export async function fitJobs(
  run: OpenRun,
  jobs: readonly KeyedJob[],
  { workers, signal, observer }: Pick<PosteriorOptions, "workers" | "signal" | "observer">,
): Promise<PosteriorsOutcome> {
  const { directory, kept, table } = run;
  const { open, present } = pending(jobs, await directory.readPosteriors());
  const records = [...present];
  const failures: JobFailure[] = [];
  const used = Math.min(workers, open.length);
  observer?.started?.({ all: jobs.length, open, workers: used });
  if (open.length === 0) return { status: "finished", records, failures };
  const finished = await withWorkers(run, { workers: used, signal }, (pool) =>
    runJobs({
      ...{ jobs: open, workers: used, signal },
      run: async (job: KeyedJob) => {
        const { step, member } = job;
        const all = kept.find((checkpoint) => checkpoint.step === step)!.members;
        const members = member === null ? all : [member];
        const checkpoints = await Promise.all(
          members.map((m) => readCheckpoint(directory.path, { step, member: m }, table)),
        );
        return pool.run<PosteriorOutcome>("posterior", { ...job, checkpoints });
      },
      done: async (job, outcome) => {
        const record: PosteriorRecord = { ...job, ...outcome };
        await directory.appendPosterior(record);
        records.push(record);
        observer?.done?.(record);
      },
      failed: ({ method, step, member }, error) => {
        const failure = { method, step, member, message: messageOf(error) };
        failures.push(failure);
        observer?.failed?.(failure);
      },
    }),
  );
  return { status: finished ? "finished" : "stopped", records, failures };
}
