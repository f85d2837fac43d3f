/** One training run of an ensemble, from a configuration to a run directory; also its continuation. */

import { differingKeys } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import { memoryBytes, type ParameterInfo } from "../core/layout.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { messageOf, UsageError } from "../errors.ts";
import {
  type MemberEvaluation,
  type MemberFailure,
  type MemberProgress,
  newMember,
  quorum,
  trainEnsemble,
} from "../pool/controller.ts";
import { createWorkerPool, type WorkerPoolOptions } from "../pool/pool.ts";
import type { WorkerPool } from "../pool/segments.ts";
import { createProbeSets, type ProbeSet } from "../tasks/probes.ts";
import { reserveProbePrompts } from "../tasks/reserved.ts";
import { ivonGaussian } from "../training/ivon.ts";
import { learningRateAt } from "../training/learning-rate.ts";
import type { SegmentRequest, SegmentResult } from "../training/messages.ts";
import { transformerShape } from "../training/model.ts";
import { threadsFor } from "../training/team-size.ts";
import { requireConsistent, requireCount } from "../validate.ts";
import { configHash, type Manifest, type OpenMode, RunDirectory, type TimingRecord } from "./directory.ts";
import { describeEnvironment } from "./environment.ts";
import { measureEvaluation } from "./measure.ts";
import type { MetricsRecord, RunSummary } from "./records.ts";
import { checkpointSteps, evaluationSteps } from "./schedule.ts";
import { summarise } from "./summary.ts";

/** What a run tells while it goes on. */
export interface RunObserver {
  started?(start: RunStart): void;
  /** After every evaluation, once it is on disk. `records` holds all evaluations, `record` is the last of them. */
  evaluated?(record: MetricsRecord, timing: TimingRecord, records: readonly MetricsRecord[]): void;
  memberFailed?(failure: MemberFailure): void;
  warned?(message: string): void;
}

export interface RunStart {
  runDir: string;
  config: Config;
  core: Pick<CoreModule, "math" | "simd" | "narrowBecause">;
  workers: number;
  /** Threads that share the steps of one member. */
  threadsPerMember: number;
  /** Evaluations of an earlier, interrupted part of the run. */
  records: readonly MetricsRecord[];
  /** Step of each member where this part starts. */
  memberSteps: readonly number[];
  /** The step a member is at and its loss in nats, live; loss NaN before the first step. */
  progress: (member: number) => { step: number; loss: number };
  references: () => RunSummary["references"];
}

/** Where and with what `runEnsemble` runs; nothing here has an influence on the results. */
export interface RunOptions {
  /** The run directory. */
  out: string;
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
 * a finished run only returns its summary.
 *
 * A member whose loss becomes non-finite, or whose worker keeps crashing, drops out and the others go on; a run that
 * keeps fewer than two members (of more than one) ends early. See `survived`.
 * @throws UsageError, before anything is written, if the task leaves too few prompts to train on, if the model does not
 *   fit 4 GiB, or if the directory cannot be used or holds a run of another configuration; Error if writing fails or
 *   the core cannot be loaded.
 */
export async function runEnsemble(config: Config, options: RunOptions): Promise<RunOutcome> {
  const { out, mode = "new", workers } = options;
  requireCount("workers", workers);
  requireTrainingPrompts(config);
  const core = await loadCoreModule(config.math);
  requireMemory(core, config);
  const directory = await RunDirectory.open(out, mode);
  try {
    const manifest = await directory.readManifest();
    if (manifest) requireSameConfig(config, manifest, out);
    const summary = await directory.readSummary();
    // The directory may have been moved since.
    const runDir = directory.path;
    if (summary) return { runDir, status: "finished", summary: { ...summary, runDir } };
    return await train(config, core, directory, manifest === null, options);
  } finally {
    directory.close();
  }
}

/** Refuse a task whose probe sets leave too little to train on, before anything runs. */
function requireTrainingPrompts({ task, seed, evaluation }: Config): void {
  try {
    requireConsistent(reserveProbePrompts(task, seed, evaluation.prompts).contradictions);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** Refuse a model that no worker could hold, before anything runs. */
function requireMemory(core: CoreModule, config: Config): void {
  try {
    memoryBytes(core, transformerShape(config), { optimizer: config.training.optimizer });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

async function train(
  config: Config,
  core: CoreModule,
  directory: RunDirectory,
  fresh: boolean,
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
    const earlier = await directory.readEnvironment();
    if (earlier && earlier.wasmSha256 !== core.sha256)
      observer.warned?.(
        "the run was begun with another build of the numeric core: from here on its numbers may differ in the last digits",
      );
    if (fresh) await directory.writeManifest({ config, hash: configHash(config), overrides, commandLine });
    const saved = Array.from({ length: config.ensemble.members }, async (_, member) => {
      return (await directory.readMember(member)) ?? newMember(member);
    });
    const [recorder, members] = await Promise.all([
      Recorder.open(config, core, directory, observer),
      Promise.all(saved),
    ]);
    const aggregated = recorder.records.at(-1)?.step ?? -1;
    const steps = evaluationSteps(config);
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
    const environmentWritten = describeEnvironment(core, workers).then((environment) =>
      directory.writeEnvironment(environment),
    );
    environmentWritten.catch(stop);
    const final = await training;
    await environmentWritten;
    if (!isComplete(final, steps)) return { runDir: directory.path, status: "stopped", summary: null };
    const summary = recorder.summarise(final);
    await directory.writeSummary(summary);
    return { runDir: directory.path, status: "finished", summary };
  } finally {
    signal?.removeEventListener("abort", stop);
    await pool.close();
  }
}

/** Whether nothing is left to do: all live members have reached the end, or too few of them live. */
function isComplete(members: readonly MemberProgress[], steps: readonly number[]): boolean {
  const live = members.filter((m) => !m.failure);
  return live.length < quorum(members.length) || live.every((m) => m.evaluated === steps.at(-1));
}

function requireSameConfig(config: Config, { config: other, hash }: Manifest, out: string): void {
  if (configHash(config) === hash) return;
  const keys = differingKeys(config, other);
  throw new UsageError(
    `the run in ${out} has another configuration; it differs in ${keys.join(", ")}. ` +
      "Resume it without these settings, or start a new run with another --out",
  );
}

/** Turns the controller's results into files and keeps what the summary needs. */
class Recorder {
  readonly records: MetricsRecord[];
  readonly #config: Config;
  readonly #core: CoreModule;
  readonly #directory: RunDirectory;
  readonly #observer: RunObserver;
  readonly #checkpoints: Set<number>;
  readonly #timing: TimingRecord;
  readonly #startedAt = performance.now();
  #probes: ProbeSet[] | null = null;
  #parameters: readonly ParameterInfo[] | null = null;

  private constructor(
    config: Config,
    core: CoreModule,
    directory: RunDirectory,
    observer: RunObserver,
    records: MetricsRecord[],
    timing: TimingRecord | undefined,
  ) {
    this.#config = config;
    this.#core = core;
    this.#directory = directory;
    this.#observer = observer;
    this.#checkpoints = checkpointSteps(config);
    this.records = records;
    this.#timing = timing ?? { step: 0, seconds: 0, tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
  }

  static async open(
    config: Config,
    core: CoreModule,
    directory: RunDirectory,
    observer: RunObserver,
  ): Promise<Recorder> {
    const records = await directory.readMetrics();
    const timing = await directory.readTiming();
    return new Recorder(config, core, directory, observer, records, timing.at(-1));
  }

  /** The probe sets with their exact references; computed when first needed, while the workers train. */
  get #probeSets(): ProbeSet[] {
    this.#probes ??= createProbeSets(this.#config);
    return this.#probes;
  }

  get references(): RunSummary["references"] {
    return Object.fromEntries(this.#probeSets.map(({ name, reference }) => [name, reference]));
  }

  async timed(
    run: (request: SegmentRequest) => Promise<SegmentResult>,
    request: SegmentRequest,
  ): Promise<SegmentResult> {
    const result = await run(request);
    this.#timing.tokens += result.tokens;
    this.#timing.trainSeconds += result.trainSeconds;
    this.#timing.evaluationSeconds += result.evaluationSeconds;
    return result;
  }

  async saveMember(progress: MemberProgress, evaluation: MemberEvaluation | null): Promise<void> {
    if (evaluation && progress.state && this.#checkpoints.has(evaluation.step)) {
      const { shape, parameters } = this.#model();
      const { seed, task, training } = this.#config;
      // Before the parameters: whoever finds them finds their posterior.
      if (training.ivon) {
        const gaussian = ivonGaussian(this.#config, training.ivon, progress.member);
        const curvature = { ...gaussian, hessian: progress.state.secondMoment };
        await this.#directory.saveIvonCurvature(evaluation, curvature, parameters);
      }
      await this.#directory.saveCheckpoint(evaluation, progress.state.parameters, parameters, {
        ...shape,
        seed,
        task,
      });
    }
    await this.#directory.saveMember(progress);
    if (progress.failure) this.#observer.memberFailed?.(progress.failure);
  }

  /** The line in metrics.jsonl comes last: it is what says that the evaluation is complete. */
  async saveEvaluation(step: number, members: MemberEvaluation[]): Promise<void> {
    const { task, training, evaluation } = this.#config;
    const record = measureEvaluation(step, members, this.#probeSets, {
      learningRate: learningRateAt(step, training),
      posteriorSamples: evaluation.posteriorSamples,
    });
    if (evaluation.savePredictions !== "none") {
      const shape = { prompts: evaluation.prompts, classes: task.modulus };
      await this.#directory.savePredictions(step, members, evaluation.savePredictions, shape);
    }
    await this.#directory.appendMetrics(record);
    const timing = { ...this.#timing, step, seconds: this.#seconds() };
    await this.#directory.appendTiming(timing);
    this.records.push(record);
    this.#observer.evaluated?.(record, timing, this.records);
  }

  summarise(members: readonly MemberProgress[]): RunSummary {
    return summarise({
      runDir: this.#directory.path,
      config: this.#config,
      records: this.records,
      references: this.references,
      members,
      math: this.#core.math,
      simd: this.#core.simd,
      tokensPerSecond: this.#timing.tokens / this.#seconds(),
    });
  }

  /** Seconds of all parts of the run. The first field of `#timing` still holds the earlier parts' share. */
  #seconds(): number {
    return this.#timing.seconds + (performance.now() - this.#startedAt) / 1000;
  }

  #model() {
    const shape = transformerShape(this.#config);
    this.#parameters ??= instantiateTransformer(this.#core, shape, { optimizer: "none" }).parameters;
    return { shape, parameters: this.#parameters };
  }
}
