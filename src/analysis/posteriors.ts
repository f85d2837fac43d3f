/** Posteriors over the checkpoints of a run: which jobs there are, and running those not done yet. */
import { messageOf, UsageError } from "../errors.ts";
import { quorum } from "../pool/controller.ts";
import { PRIOR_STRUCTURES } from "../posterior/gaussian/prior.ts";
import { METHOD_DEFINITIONS, methodNamed, type PosteriorMethod } from "../posterior/methods/index.ts";
import type { MethodSettings } from "../posterior/methods/method.ts";
import { type CheckpointStep, readCheckpoint, readIvonCurvature } from "../run/checkpoints.ts";
import {
  keysOf,
  requireCount,
  requireKeys,
  requireNonEmpty,
  requireOneOf,
  requireOpenFractionFloat32,
  requirePath,
} from "../validate.ts";
import { posteriorFiles } from "./inputs.ts";
import { type JobsOutcome, type RunnerOptions, requireRunnerOptions, runOpenJobs } from "./job-runner.ts";
import { batchesFor, type OpenRun, requireMemoryFor, settingsHash, withRun } from "./open-run.ts";
import type {
  PosteriorJob,
  PosteriorJobRequest,
  PosteriorOutcome,
  PosteriorRecord,
} from "./posterior-job.ts";
import { POSTERIORS } from "./records.ts";
import {
  type CheckpointSelection,
  requireMembers,
  requireSelection,
  selectMembers,
  selectSteps,
} from "./selection.ts";

/** How the methods are fitted: the same for every checkpoint of a comparison. */
export interface PosteriorSettings extends MethodSettings {
  /** S. */
  samples: number;
  /** Predictions that means over the training data are taken over, at least. */
  data: number;
}

export const DEFAULT_SETTINGS: PosteriorSettings = {
  samples: 32,
  data: 2048,
  dropout: null,
  fitSteps: null,
  priorStructure: null,
};

export type KeyedJob = PosteriorJob & Pick<PosteriorRecord, "settings" | "inputs">;

/**
 * One job for each method, step and member; one for each step of what takes all members, if they all have come so far.
 * None where a method wants more earlier checkpoints than there are.
 */
export function posteriorJobs(
  run: Pick<OpenRun, "config" | "kept" | "evaluated">,
  methods: readonly PosteriorMethod[],
  steps: readonly CheckpointStep[],
  members: number | "all",
  settings: PosteriorSettings,
): KeyedJob[] {
  return steps.flatMap((checkpoint) =>
    methods.flatMap((method) => jobsAt(run, method, checkpoint, members, settings)),
  );
}

function jobsAt(
  { config, kept, evaluated }: Pick<OpenRun, "config" | "kept" | "evaluated">,
  method: PosteriorMethod,
  checkpoint: CheckpointStep,
  members: number | "all",
  settings: PosteriorSettings,
): KeyedJob[] {
  const definition = methodNamed(method);
  const { checkpoints } = definition.needs;
  const { step } = checkpoint;
  const common = { samples: settings.samples, batches: batchesFor(config, settings.data) };
  const name = definition.nameIn?.(config);
  const named = name === undefined ? { method } : { method, name };
  const optionsWith = (ivonCurvature: boolean) => definition.options(settings, config, { ivonCurvature });
  if (checkpoints === "members") {
    // Of a step that some members have still to reach there is no ensemble.
    const members = evaluated.get(step) ?? [];
    if (members.length < quorum(config.ensemble.members)) return [];
    if (!members.every((member) => checkpoint.members.includes(member))) return [];
    const options = optionsWith(false);
    // Its samples are the members, whatever is asked for.
    return [{ ...common, ...named, step, options, settings: settingsHash(config, options), member: null }];
  }
  return selectMembers(checkpoint, members).flatMap((member): KeyedJob[] => {
    const options = optionsWith(checkpoint.withCurvature.includes(member));
    const job = { ...common, ...named, step, options };
    if (checkpoints === "one")
      return [{ ...job, settings: settingsHash(config, { ...common, options }), member }];
    const { last } = checkpoints;
    const upTo = kept.filter((each) => each.step <= step && each.members.includes(member));
    if (upTo.length < last) return [];
    const checkpointSteps = upTo.slice(-last).map((each) => each.step);
    return [{ ...job, settings: settingsHash(config, { last, options }), member, checkpointSteps }];
  });
}

/** Which posteriors are fitted, and at which checkpoints. */
export interface PosteriorChoice extends CheckpointSelection {
  /** Default: those that a comparison has without being asked. */
  methods?: readonly PosteriorMethod[];
  /** Default: `DEFAULT_SETTINGS`. */
  settings?: PosteriorSettings;
}

/** Which posteriors `runPosteriors` fits, at which checkpoints, and how the work is done. */
export interface PosteriorOptions extends PosteriorChoice, RunnerOptions<KeyedJob, PosteriorRecord> {}

const POSTERIOR_OPTIONS = keysOf<PosteriorChoice>({
  steps: true,
  checkpoints: true,
  members: true,
  methods: true,
  settings: true,
});

/**
 * Fits the posteriors that `posteriors.jsonl` does not hold yet and appends each as it is done.
 * @throws RangeError for an option outside its range; UsageError if there is no run, no checkpoint, or none at a step,
 *   or for a method that was named and has too few of them
 */
export async function runPosteriors(
  runDir: string,
  options: PosteriorOptions,
): Promise<JobsOutcome<PosteriorRecord>> {
  requirePath("runDir", runDir);
  requireRunnerOptions(options, POSTERIOR_OPTIONS);
  requireChoice(options);
  return withRun(runDir, (run) => fitJobs(run, chosenJobs(run, options), options));
}

const BY_DEFAULT = METHOD_DEFINITIONS.filter(({ byDefault }) => byDefault).map(({ name }) => name);

/** @throws RangeError for an option outside its range; UsageError for one that no method named has a use for */
export function requireChoice(options: PosteriorChoice): void {
  const { methods = BY_DEFAULT, settings = DEFAULT_SETTINGS } = options;
  requireNonEmpty("methods", methods);
  for (const method of methods) methodNamed(method);
  requireSelection(options);
  requireSettings(settings);
  if (options.methods) requireUses(methods, settings);
}

/**
 * The jobs of a choice that `requireChoice` allows.
 * @throws UsageError as `runPosteriors`
 */
export function chosenJobs(run: OpenRun, options: PosteriorChoice): KeyedJob[] {
  const { methods: named, settings = DEFAULT_SETTINGS } = options;
  const methods = named ?? BY_DEFAULT;
  requireMembers(options.members, run.config.ensemble.members);
  requireMemoryFor(run.config, settings);
  const chosen = selectSteps(run.kept, options.steps, run.events, options.checkpoints);
  const jobs = posteriorJobs(run, methods, chosen, options.members, settings);
  const without = named?.find((name) => !jobs.some(({ method }) => method === name));
  if (without) {
    const { checkpoints } = methodNamed(without).needs;
    if (checkpoints === "members")
      throw new UsageError(
        `${without} takes all members; at the steps chosen they have not all been evaluated`,
      );
    const wanted = typeof checkpoints === "object" ? `the last ${checkpoints.last}` : "the";
    throw new UsageError(
      `${without} takes ${wanted} checkpoints of a member; up to the steps chosen there are too few`,
    );
  }
  requireJobs(jobs);
  return jobs;
}

function requireSettings(settings: PosteriorSettings): void {
  requireKeys("settings", settings, Object.keys(DEFAULT_SETTINGS));
  const { samples, data, dropout, fitSteps, priorStructure } = settings;
  requireCount("samples", samples);
  requireCount("data", data);
  if (dropout !== null) requireOpenFractionFloat32("dropout", dropout);
  if (fitSteps !== null) requireCount("fitSteps", fitSteps);
  if (priorStructure !== null) requireOneOf("priorStructure", priorStructure, PRIOR_STRUCTURES);
}

/** @throws UsageError for a setting that none of the methods takes */
function requireUses(methods: readonly PosteriorMethod[], given: MethodSettings): void {
  for (const setting of ["dropout", "fitSteps", "priorStructure"] as const) {
    const value = given[setting];
    const takers = METHOD_DEFINITIONS.filter(({ settings }) => settings.includes(setting));
    if (value !== null && !takers.some(({ name }) => methods.includes(name)))
      throw new UsageError(
        `${setting}: got ${value}, must be left out with ${methods.join(", ")}: it is for ${takers.map(({ name }) => name).join(", ")}`,
      );
  }
}

/** @throws UsageError for an option that a method does not allow: none of the jobs is then begun */
function requireJobs(jobs: readonly PosteriorJob[]): void {
  for (const { method, options, samples } of jobs) {
    const { requireOptions, settings } = methodNamed(method);
    try {
      requireOptions(options, samples);
    } catch (error) {
      const from = settings.length > 0 ? ` (its options follow ${[...settings, "samples"].join(", ")})` : "";
      throw new UsageError(`${method}: ${messageOf(error)}${from}`);
    }
  }
}

export const methodOf = ({ method }: PosteriorJob): string => method;

/** What a posterior is fitted around. */
export async function loadCheckpoints(
  { directory, kept, table, identity }: OpenRun,
  { method, step, member, checkpointSteps = [step] }: PosteriorJob,
): Promise<Pick<PosteriorJobRequest, "checkpoints" | "ivon">> {
  const at = kept.find((checkpoint) => checkpoint.step === step)!;
  const keys =
    member === null
      ? at.members.map((each) => ({ step, member: each }))
      : checkpointSteps.map((each) => ({ step: each, member }));
  const own = methodNamed(method).needs.ivonCurvature && at.withCurvature.includes(member!);
  const each = <T>(read: (key: { step: number; member: number }) => Promise<T>) =>
    Promise.all(keys.map(read));
  return {
    checkpoints: await each((key) => readCheckpoint(directory.path, key, table, identity)),
    ...(own && { ivon: await each((key) => readIvonCurvature(directory.path, key, table, identity)) }),
  };
}

/** Runs those of the jobs that have no record. */
export function fitJobs(
  run: OpenRun,
  jobs: readonly KeyedJob[],
  options: RunnerOptions<KeyedJob, PosteriorRecord>,
): Promise<JobsOutcome<PosteriorRecord>> {
  return runOpenJobs<KeyedJob, PosteriorOutcome>(
    run,
    jobs,
    {
      ...{ task: "posterior", recorded: POSTERIORS, kindOf: methodOf },
      load: (job) => loadCheckpoints(run, job),
      files: (job) => posteriorFiles(job, run.kept),
    },
    options,
  );
}
