/** One training run of an ensemble, from a configuration to a run directory; also its continuation. */

import { requireConfig } from "../config/require-config.ts";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { CoreModule } from "../core/module.ts";
import { UsageError } from "../errors.ts";
import { isComplete, trainEnsemble } from "../pool/controller.ts";
import { createWorkerPool, type WorkerPoolOptions } from "../pool/pool.ts";
import type { WorkerPool } from "../pool/segments.ts";
import { threadsFor } from "../training/team-size.ts";
import {
  keysOf,
  requireCount,
  requireFunction,
  requireKeys,
  requireObject,
  requirePath,
  requireSignal,
} from "../validate.ts";
import { requireRunnable } from "./check.ts";
import { continuation } from "./continuation.ts";
import { OPEN_MODES, type OpenMode, RUNS, RunDirectory } from "./directory.ts";
import { describeEnvironment } from "./environment.ts";
import { runHash } from "./identity.ts";
import { initialMembers, readInitial } from "./initial.ts";
import { configHash, type Manifest } from "./manifest.ts";
import type { RunObserver } from "./observer.ts";
import { readManifest } from "./read.ts";
import { Recorder } from "./recorder.ts";
import type { RunSummary } from "./records.ts";
import { hasCrashed, retryCrashed } from "./retry.ts";
import { runSchedule } from "./schedule.ts";
import { requireSpace } from "./space.ts";
import { type TakenUp, takeUp } from "./take-up.ts";
import { RUN_FORMAT } from "./unsealed.ts";

/** Where and with what `runEnsemble` runs; nothing here has an influence on the results. */
export interface RunOptions {
  /** The run directory, or what makes one in `runs`: called once all that can be checked before has been checked. */
  out: string | (() => string);
  /** What to do about a run that is there already; by default it is an error. */
  mode?: OpenMode;
  /**
   * Worker threads, a positive integer. Those that have no member of their own share the steps of others, as far as the
   * batches are large enough. Has no influence on the results.
   */
  workers: number;
  overrides?: Manifest["overrides"];
  commandLine?: string[];
  /** Stops the run at the next training step of each worker; the state is saved for a `resume`. */
  signal?: AbortSignal;
  observer?: RunObserver;
  /** Replaces the worker threads, to run segments in another way. */
  createPool?: (options: WorkerPoolOptions) => WorkerPool;
}

const RUN_OPTIONS = keysOf<RunOptions>({
  ...{ out: true, mode: true, workers: true, overrides: true, commandLine: true, signal: true },
  ...{ observer: true, createPool: true },
});

/** How a run ended. */
export interface RunOutcome {
  runDir: string;
  /** `finished`: the summary is there. `stopped`: by the signal; a `resume` continues. */
  status: "finished" | "stopped";
  summary: RunSummary | null;
}

/**
 * Trains an ensemble and writes its run directory. With `mode: "resume"` it goes on where an earlier call stopped or
 * was killed, and ends with the same bytes in metrics.jsonl, checkpoints/ and predictions/ as an uninterrupted run;
 * a finished run only returns its summary. Of an interrupted or finished run the number of steps may change, if no step
 * so far depends on it, and how often there is an evaluation. Files that are damaged, or another run's, are set aside,
 * and what that leaves missing is computed again.
 *
 * A member whose loss or predictions become non-finite, or whose worker keeps crashing, drops out and the others go on;
 * a run that keeps fewer than two members (of more than one) ends early. See `survived`. `resume` tries members again whose workers
 * crashed, of a finished run, too.
 * @throws UsageError, before anything is written, if the task leaves too few prompts to train on, if the model does not
 *   fit 4 GiB or the run the machine's memory, if it is to begin with checkpoints that are missing or of another model, or if the directory cannot be used or holds a run of another configuration; Error if writing fails or
 *   the core cannot be loaded.
 */
export async function runEnsemble(config: Config, options: RunOptions): Promise<RunOutcome> {
  requireConfig(config);
  requireKeys("options", options, RUN_OPTIONS);
  const { mode = "new", workers, out: place } = options;
  if (options.signal !== undefined) requireSignal(options.signal);
  if (options.observer !== undefined) requireObject("observer", options.observer);
  if (options.createPool !== undefined) requireFunction("createPool", options.createPool);
  if (typeof place !== "function") requirePath("out", place);
  requireCount("workers", workers);
  if (!OPEN_MODES.includes(mode))
    throw new UsageError(`mode: got ${JSON.stringify(mode)}, must be one of ${OPEN_MODES.join(", ")}`);
  const core = await loadCoreModule(config.math);
  requireRunnable(config, core, workers);
  const given = typeof options.out === "string" ? options.out : undefined;
  await requireSpace(given ?? RUNS, config);
  // What a run begins with has to be there before anything is written; one that is resumed has its copies.
  if (mode !== "resume" || given === undefined || !(await readManifest(given)))
    await readInitial(config, core, { replaced: mode === "overwrite" ? given : undefined });
  const out = typeof options.out === "string" ? options.out : options.out();
  const directory = await RunDirectory.open(out, mode, runHash(config));
  try {
    const before = mode === "overwrite" ? null : await readManifest(directory.path);
    const { overrides = [], observer } = options;
    if (before?.imported)
      throw new UsageError(
        `${out} holds checkpoints from elsewhere (epigrok import): it cannot be trained on`,
      );
    const manifest = before && (await continuation(directory.path, before, config, { out, overrides }));
    if (manifest !== before) await directory.writeManifest(manifest!);
    let earlier = manifest && (await takeUp(directory, manifest, core, observer));
    if (manifest && earlier && hasCrashed(earlier.members)) {
      await retryCrashed(directory, earlier.members, observer?.warned);
      earlier = { ...(await takeUp(directory, manifest, core, observer)), summary: null };
    }
    if (earlier?.summary) return finished(directory, earlier.summary);
    return await train(config, core, directory, { manifest, earlier }, options);
  } finally {
    directory.close();
  }
}

/** The directory may have been moved since. */
const finished = ({ path }: RunDirectory, summary: RunSummary): RunOutcome => ({
  runDir: path,
  status: "finished",
  summary: { ...summary, runDir: path },
});

/** What a run has that is to be continued: null, null for a new one. */
interface EarlierPart {
  manifest: Manifest | null;
  earlier: TakenUp | null;
}

async function train(
  config: Config,
  core: CoreModule,
  directory: RunDirectory,
  { manifest, earlier }: EarlierPart,
  {
    workers: wanted,
    overrides = [],
    commandLine = [],
    signal,
    observer = {},
    createPool = createWorkerPool,
  }: RunOptions,
): Promise<RunOutcome> {
  const { used: workers, perMember } = threadsFor(config, wanted);
  const pool = createPool({ workers, members: config.ensemble.members, core });
  const stop = () => pool.stop();
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    const { environment, members: states = [], records = { records: [], answered: -1 } } = earlier ?? {};
    if (environment && environment.wasmSha256 !== core.sha256)
      observer.warned?.(
        "the run was begun with another build of the numeric core: from here on its numbers may differ in the last digits",
      );
    const written = manifest ?? {
      ...{ format: RUN_FORMAT, config, hash: configHash(config), overrides, commandLine },
    };
    if (!manifest) await directory.writeManifest(written);
    const schedule = runSchedule(written);
    const recorder = new Recorder({ config, core, directory, observer, schedule }, records);
    const initial = await initialMembers(directory, config, core);
    // One that crashed before its first evaluation has no state, and what it begins with may be a checkpoint.
    const members = initial.map((first, i) => ({
      ...first,
      ...states[i],
      state: states[i]?.state ?? first.state,
    }));
    const aggregated = recorder.records.at(-1)?.step ?? -1;
    const { steps } = schedule;
    observer.started?.({
      runDir: directory.path,
      config,
      core,
      workers,
      threadsPerMember: perMember,
      records: recorder.records,
      memberSteps: members.map((m) => m.state?.step ?? 0),
      progress: pool.progress,
      references: () => recorder.references,
    });
    const training = trainEnsemble({
      config,
      steps,
      // What was pending when the run stopped may have been reported before it did.
      members: members.map((m) => ({ ...m, pending: m.pending.filter((p) => p.step > aggregated) })),
      aggregated,
      workers,
      runSegment: (request) => recorder.timed(pool.runSegment, request),
      saveMember: (progress, evaluation) => recorder.saveMember(progress, evaluation),
      saveEvaluation: (step, evaluations) => recorder.saveEvaluation(step, evaluations),
      stopped: pool.stopped,
      stop,
    });
    // Asking git takes as long as starting a worker. Nothing waits for the answer, so the workers get their segments first.
    const environmentWritten = describeEnvironment(core, workers).then((current) =>
      directory.writeEnvironment(current),
    );
    environmentWritten.catch(stop);
    const final = await training;
    await environmentWritten;
    if (!isComplete(final, steps)) return { runDir: directory.path, status: "stopped", summary: null };
    const summary = recorder.summarise(final);
    await directory.writeSummary(summary);
    return finished(directory, summary);
  } finally {
    signal?.removeEventListener("abort", stop);
    await pool.close();
  }
}
