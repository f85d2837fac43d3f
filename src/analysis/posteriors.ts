/** Posteriors over the checkpoints of a run: which jobs there are, and running those not done yet. */
import type { Config } from "../config/schema.ts";
import {
  DEFAULT_STEPS,
  type MethodOptions,
  POSTERIOR_METHODS,
  type PosteriorMethod,
} from "../posterior/methods.ts";
import { type CheckpointStep, readCheckpoint, readIvonCurvature } from "../run/checkpoints.ts";
import { type JobsOutcome, type RunnerOptions, runOpenJobs } from "./job-runner.ts";
import { batchesFor, type OpenRun, settingsHash, withRun } from "./open-run.ts";
import type { PosteriorJob, PosteriorOutcome, PosteriorRecord } from "./posterior-job.ts";
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
  fitSteps: DEFAULT_STEPS,
};

/** Compared by `epigrok posterior` unless it is told otherwise. */
export const DEFAULT_METHODS = POSTERIOR_METHODS.filter((method) => method !== "laplace-diagonal");

const DROPOUT_RATE = 0.1;

export type KeyedJob = PosteriorJob & { settings: string };

/** One job for each method, step and member; one for each step of the ensemble. */
export function posteriorJobs(
  config: Config,
  methods: readonly PosteriorMethod[],
  steps: readonly CheckpointStep[],
  members: number | "all",
  settings: PosteriorSettings,
): KeyedJob[] {
  const common = { samples: settings.samples, batches: batchesFor(config, settings.data) };
  return steps.flatMap((checkpoint) => {
    const { step } = checkpoint;
    return methods.flatMap((method): KeyedJob[] => {
      // The ensemble's samples are its members, whatever is asked for.
      if (method === "ensemble") {
        const options = {};
        return [{ ...common, method, step, options, settings: settingsHash(config, options), member: null }];
      }
      return selectMembers(checkpoint, members).map((member) => {
        const own = method === "ivon" && checkpoint.withCurvature.includes(member);
        const options = own ? { steps: 0 } : methodOptions(config, method, settings);
        return {
          ...common,
          method,
          step,
          options,
          settings: settingsHash(config, { ...common, options }),
          member,
        };
      });
    });
  });
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
    case "laplace-low-rank":
      return { remainder: "trace" };
    default:
      return {};
  }
}

export interface PosteriorOptions extends RunnerOptions<KeyedJob, PosteriorRecord> {
  methods: readonly PosteriorMethod[];
  steps: StepChoice;
  /** Most checkpoints of `all` and `grok`; 0: all there are. */
  checkpoints: number;
  members: number | "all";
  settings: PosteriorSettings;
}

/**
 * Fits the posteriors that `posteriors.jsonl` does not hold yet and appends each as it is done.
 * @throws UsageError if there is no run, no checkpoint, or none at a step
 */
export function runPosteriors(
  runDir: string,
  options: PosteriorOptions,
): Promise<JobsOutcome<PosteriorRecord>> {
  return withRun(runDir, (run) => {
    const chosen = selectSteps(run.kept, options.steps, run.events, options.checkpoints);
    const jobs = posteriorJobs(run.config, options.methods, chosen, options.members, options.settings);
    return fitJobs(run, jobs, options);
  });
}

export const methodOf = ({ method }: PosteriorJob): string => method;

/** Runs those of the jobs that have no record. */
export function fitJobs(
  run: OpenRun,
  jobs: readonly KeyedJob[],
  options: RunnerOptions<KeyedJob, PosteriorRecord>,
): Promise<JobsOutcome<PosteriorRecord>> {
  const { directory, kept, table } = run;
  const load = async ({ method, step, member, options: { steps } }: KeyedJob) => {
    const all = kept.find((checkpoint) => checkpoint.step === step)!.members;
    const keys = (member === null ? all : [member]).map((m) => ({ step, member: m }));
    const each = <T>(read: (key: { step: number; member: number }) => Promise<T>) =>
      Promise.all(keys.map(read));
    return {
      checkpoints: await each((key) => readCheckpoint(directory.path, key, table)),
      ...(method === "ivon" &&
        steps === 0 && { ivon: await each((key) => readIvonCurvature(directory.path, key, table)) }),
    };
  };
  return runOpenJobs<KeyedJob, PosteriorOutcome>(
    run,
    jobs,
    { task: "posterior", file: "posteriors.jsonl", kindOf: methodOf, load },
    options,
  );
}
