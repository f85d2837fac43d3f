/** Posteriors of a run as files of their own: fitted and saved, loaded and asked again. */
import { lstat, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, UsageError } from "../errors.ts";
import {
  checkpointDigest,
  decodePosterior,
  type PosteriorOrigin,
  type SavedPosterior,
} from "../posterior/file.ts";
import { named } from "../run/errors.ts";
import { requireWritable } from "../run/folders.ts";
import { readRecords } from "../run/read.ts";
import { isWhole } from "../run/seal.ts";
import { sealedTensors } from "../run/tensors.ts";
import { writeWhole } from "../run/write-file.ts";
import { decodeSafetensors } from "../safetensors.ts";
import { requireCount } from "../validate.ts";
import { InputHashes, posteriorFiles } from "./inputs.ts";
import { type JobsOutcome, pending, type RunnerOptions } from "./job-runner.ts";
import { type OpenRun, requireMemoryFor, withRun, withWorkers } from "./open-run.ts";
import type { PosteriorOutcome, PosteriorRecord, posteriorFile } from "./posterior-job.ts";
import {
  chosenJobs,
  type KeyedJob,
  loadCheckpoints,
  methodOf,
  type PosteriorChoice,
  requireChoice,
} from "./posteriors.ts";
import { POSTERIORS } from "./records.ts";

type Running = Omit<RunnerOptions<KeyedJob, PosteriorRecord>, "workers">;

/**
 * Fits the one posterior that is chosen and writes it to `path`. Its record is appended to `posteriors.jsonl`, if that
 * has none yet.
 * @throws RangeError, UsageError as `runPosteriors`; UsageError for a choice of several, or a file that is there already
 */
export async function savePosterior(
  runDir: string,
  path: string,
  options: PosteriorChoice & Running,
): Promise<JobsOutcome<PosteriorRecord>> {
  requireChoice(options);
  await requireUnused(path);
  return withRun(runDir, async (run) => {
    const [job, ...others] = chosenJobs(run, options);
    if (others.length > 0)
      throw new UsageError(
        `save: ${path} would hold ${others.length + 1} posteriors, must be one: choose one method, one step and one member`,
      );
    const inputs = (await new InputHashes(run.directory.path).of(posteriorFiles(job, run.kept))) ?? undefined;
    const request = { ...job, run: run.identity.run, ...(await loadCheckpoints(run, job)) };
    options.observer?.started?.({ all: 1, open: [job], workers: 1 });
    const fitted = await inWorker<Awaited<ReturnType<typeof posteriorFile>>>(
      run,
      "savePosterior",
      request,
      options.signal,
    );
    if (fitted === null) return STOPPED;
    const { tensors, metadata } = decodeSafetensors(fitted.file);
    await writeWhole(path, sealedTensors(tensors, { run: run.identity.run, ...metadata }));
    const record: PosteriorRecord = { ...job, inputs, ...fitted.outcome };
    const known = await readRecords<PosteriorRecord>(run.directory.path, POSTERIORS);
    if (pending([record], known, methodOf).open.length > 0)
      await run.directory.appendLine(POSTERIORS.file, record);
    options.observer?.done?.(record);
    return { status: "finished", records: [record], failures: [] };
  });
}

/**
 * Predictions of the posterior in the file at `path` on the probe sets of its run; nothing is recorded.
 * @param samples S. Default: as many as it was saved with, whose predictions are those of then.
 * @throws UsageError for a file that is no posterior, or one of another run or of other checkpoints
 */
export async function askSavedPosterior(
  runDir: string,
  path: string,
  { samples, signal, observer }: { samples?: number } & Running,
): Promise<JobsOutcome<PosteriorRecord>> {
  if (samples !== undefined) requireCount("samples", samples);
  const file = await bytesOf(path, "load");
  return withRun(runDir, async (run) => {
    const { origin } = decoded(path, file, "load");
    if (origin.run !== run.identity.run)
      throw new UsageError(`load: ${path} is a posterior of another run, or of one with other settings`);
    requireMemoryFor(run.config, { samples });
    await requireCheckpoints(run, path, origin);
    const { method, step, member, options } = origin;
    const job: KeyedJob = {
      ...{ method, step, member, options, samples: samples ?? origin.samples },
      ...{ batches: 0, settings: "" },
    };
    observer?.started?.({ all: 1, open: [job], workers: 1 });
    const request = { file: new Uint8Array(file), samples: job.samples };
    const outcome = await inWorker<PosteriorOutcome>(run, "savedPosterior", request, signal);
    if (outcome === null) return STOPPED;
    const record: PosteriorRecord = { ...job, ...outcome };
    observer?.done?.(record);
    return { status: "finished", records: [record], failures: [] };
  });
}

/** @throws UsageError, before it is known what to write, unless a file can be made at `path` */
async function requireUnused(path: string): Promise<void> {
  const folder = dirname(path);
  const refuse = (problem: string) => new UsageError(`save: ${path}: ${problem}`);
  const there = await stat(folder).catch((error: unknown) => {
    throw refuse(messageOf(error));
  });
  if (!there.isDirectory()) throw refuse(`${folder} is not a directory`);
  try {
    requireWritable(folder);
  } catch (error) {
    throw refuse(messageOf(error));
  }
  // A link, too, wherever it leads.
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw refuse(messageOf(error));
    return null;
  });
  if (found) throw new UsageError(`save: ${path} is there already`);
}

const STOPPED: JobsOutcome<never> = { status: "stopped", records: [], failures: [] };

/**
 * The posterior in the file at `path`.
 * @param option that names the file, for the message
 * @throws UsageError if there is none
 */
export async function readPosterior(path: string, option: string): Promise<SavedPosterior> {
  return decoded(path, await bytesOf(path, option), option);
}

function bytesOf(path: string, option: string): Promise<Buffer> {
  return readFile(path)
    .catch(named(path))
    .catch((error: unknown) => {
      throw new UsageError(`${option}: ${messageOf(error)}`);
    });
}

/** Of a file without a checksum, which a program of its own may have made, only the form is checked. */
function decoded(path: string, file: Buffer, option: string): SavedPosterior {
  if (isWhole(file) === false)
    throw new UsageError(`${option}: ${path}: damaged, it does not have its checksum`);
  try {
    return decodePosterior(file);
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(`${option}: ${path}: ${messageOf(error)}`) : error;
  }
}

/** As far as the run still has them: the file holds all that predictions need. */
async function requireCheckpoints(
  run: OpenRun,
  path: string,
  { method, step, member, checkpointSteps, checkpoints }: PosteriorOrigin,
): Promise<void> {
  const job = { method, step, member, checkpointSteps, samples: 1, batches: 0, options: {} };
  const present = run.kept.some((kept) => kept.step === step);
  if (!present) return;
  const found = await checkpointDigest((await loadCheckpoints(run, job)).checkpoints);
  if (found !== checkpoints)
    throw new UsageError(`load: ${path} is of other checkpoints than those of step ${step} of this run`);
}

/** null: it was stopped. */
async function inWorker<Result>(
  run: OpenRun,
  name: string,
  request: object,
  signal: AbortSignal | undefined,
): Promise<Result | null> {
  try {
    return await withWorkers(run, { workers: 1, signal }, (threads) =>
      threads.run<Result>(request, { name }),
    );
  } catch (error) {
    if (signal?.aborted) return null;
    throw error;
  }
}
