/** Running the jobs of one analysis of a run: those that have no record yet, each recorded as it is done. */
import { messageOf } from "../errors.ts";
import { runJobs } from "../pool/jobs.ts";
import type { RecordFile } from "../run/json.ts";
import { readRecordLines } from "../run/read.ts";
import { keysOf, requireCount, requireKeys, requireObject, requireSignal } from "../validate.ts";
import { InputHashes } from "./inputs.ts";
import { type OpenRun, withWorkers } from "./open-run.ts";

/** What says which job it is: those with equal keys give equal results. */
export interface JobKey {
  step: number;
  /** null: all members together. */
  member: number | null;
  /** SHA-256 of everything else that the result depends on, but for its inputs. */
  settings: string;
  /** SHA-256 of the checkpoints that it was made of. */
  inputs?: string;
}

export interface JobFailure {
  /** Or operator. */
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
  warned?(message: string): void;
}

export interface RunnerOptions<Job, Record> {
  workers: number;
  signal?: AbortSignal;
  observer?: JobObserver<Job, Record>;
}

const RUNNER_OPTIONS = keysOf<RunnerOptions<never, never>>({
  ...{ workers: true, signal: true, observer: true },
});

/** @throws RangeError for options that are neither a runner's nor named by `own`, or a runner's outside their range */
export function requireRunnerOptions(options: RunnerOptions<never, never>, own: readonly string[]): void {
  requireKeys("options", options, [...own, ...RUNNER_OPTIONS]);
  const { workers, signal, observer } = options;
  requireCount("workers", workers);
  if (signal !== undefined) requireSignal(signal);
  if (observer !== undefined) requireObject("observer", observer);
}

export interface JobsOutcome<Record> {
  status: "finished" | "stopped";
  /** The results asked for, those of earlier calls among them. */
  records: Record[];
  failures: JobFailure[];
}

/** One kind of analysis. */
export interface Analysis<Job> {
  /** Name of the function in the worker. */
  task: string;
  /** Where its records are kept. */
  recorded: RecordFile;
  /** Method or operator: jobs of one kind take about the same time. */
  kindOf: (job: Job) => string;
  /** The files that the job is made of. */
  files: (job: Job) => string[];
  /** What the job does not say: parameters. */
  load: (job: Job) => Promise<object>;
}

/** The jobs without a record, and the records of the others; each once, however often it was asked for. */
export function pending<Job extends JobKey, Record extends Job>(
  jobs: readonly Job[],
  records: readonly Record[],
  kindOf: (job: Job) => string,
): { open: Job[]; present: Record[] } {
  const identity = (job: Job) => [kindOf(job), job.step, job.member, job.settings, job.inputs].join(" ");
  const known = new Map(records.map((record) => [identity(record), record]));
  const asked = new Map(jobs.map((job) => [identity(job), job]));
  return {
    open: [...asked].flatMap(([key, job]) => (known.has(key) ? [] : job)),
    present: [...asked.keys()].flatMap((key) => known.get(key) ?? []),
  };
}

/** The records; the file is rid of lines that are damaged or another run's, whose jobs are run again. */
async function readable<Record>(
  { directory }: OpenRun,
  recorded: RecordFile,
  observer?: JobObserver<never, never>,
): Promise<Record[]> {
  const { lines, faults } = await readRecordLines<Record>(directory.path, recorded);
  for (const { message } of faults) observer?.warned?.(`${message}; it is left out, and kept in set-aside/`);
  if (faults.length > 0)
    await directory.keepLines(
      recorded.file,
      lines.map(({ text }) => text),
    );
  return lines.map(({ record }) => record);
}

/** Runs those of the jobs that have no record. An interrupted call leaves what is done, and the next one goes on. */
export async function runOpenJobs<Job extends JobKey, Outcome>(
  run: OpenRun,
  jobs: readonly Job[],
  { task, recorded, kindOf, files, load }: Analysis<Job>,
  { workers, signal, observer }: RunnerOptions<Job, Job & Outcome>,
): Promise<JobsOutcome<Job & Outcome>> {
  const hashes = new InputHashes(run.directory.path);
  const { open, present } = pending(
    await Promise.all(
      jobs.map(async (job) => ({ ...job, inputs: (await hashes.of(files(job))) ?? undefined })),
    ),
    await readable<Job & Outcome>(run, recorded, observer),
    kindOf,
  );
  const records = [...present];
  const failures: JobFailure[] = [];
  const used = Math.min(workers, open.length);
  observer?.started?.({ all: open.length + present.length, open, workers: used });
  if (open.length === 0) return { status: "finished", records, failures };
  const finished = await withWorkers(run, { workers: used, signal }, (threads) =>
    runJobs({
      ...{ jobs: open, workers: used, signal },
      run: async (job: Job) => threads.run<Outcome>({ ...job, ...(await load(job)) }, { name: task }),
      done: async (job, outcome) => {
        const record = { ...job, ...outcome };
        await run.directory.appendLine(recorded.file, record);
        records.push(record);
        observer?.done?.(record);
      },
      failed: (job, error) => {
        const { step, member } = job;
        const failure = { method: kindOf(job), step, member, message: messageOf(error) };
        failures.push(failure);
        observer?.failed?.(failure);
      },
    }),
  );
  return { status: finished ? "finished" : "stopped", records, failures };
}
