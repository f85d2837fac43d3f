/**
 * Independent jobs on worker threads. A job that throws, or whose worker dies, fails by itself: the pool replaces the
 * worker and the others go on.
 */
import { existsSync } from "node:fs";
import { Piscina } from "piscina";

export interface JobPoolOptions {
  /** Number of worker threads. */
  workers: number;
  /** What every worker gets when it starts. */
  workerData: unknown;
  /** A module of compiled JavaScript whose exported functions run jobs. */
  filename: string;
}

export interface JobPool {
  /** Runs the exported function `name` on `request`. Rejects if it throws, its worker dies, or the pool is closed. */
  run<Result>(name: string, request: unknown): Promise<Result>;
  /** Ends the workers at once, running jobs included. */
  close(): Promise<void>;
}

/** @throws Error if the module does not exist: the package has not been built. */
export function createJobPool({ workers, workerData, filename }: JobPoolOptions): JobPool {
  if (!existsSync(filename)) throw new Error(`${filename} does not exist: run "npm run build" first`);
  const pool = new Piscina({ filename, minThreads: workers, maxThreads: workers, workerData });
  // A worker that dies between jobs is replaced; a job that then fails reports it.
  pool.on("error", () => {});
  return {
    run: (name, request) => pool.run(request, { name }),
    close: () => pool.destroy(),
  };
}

export interface RunJobsOptions<Job, Result> {
  jobs: readonly Job[];
  /** Jobs under way at a time. */
  workers: number;
  run: (job: Job) => Promise<Result>;
  /** After each job that succeeded, one at a time, in the order in which they end. */
  done: (job: Job, result: Result) => Promise<void>;
  failed: (job: Job, error: unknown) => void;
  /** Once aborted, no job is begun, and those that then end in an error have not failed but were stopped. */
  signal?: AbortSignal;
}

/**
 * Runs the jobs in their order, `workers` at a time.
 * @returns whether all were tried: false if it was stopped before.
 * @throws what `done` throws, after the jobs under way have ended.
 */
export async function runJobs<Job, Result>(options: RunJobsOptions<Job, Result>): Promise<boolean> {
  const { jobs, workers, run, done, failed, signal } = options;
  let next = 0;
  let tried = 0;
  let broken = false;
  let queue: Promise<void> = Promise.resolve();
  async function lane(): Promise<void> {
    while (next < jobs.length && !signal?.aborted && !broken) {
      const job = jobs[next++];
      let result: Result;
      try {
        result = await run(job);
      } catch (error) {
        if (signal?.aborted) return;
        tried++;
        failed(job, error);
        continue;
      }
      tried++;
      queue = queue.then(() => done(job, result));
      await queue.catch(() => {
        broken = true;
      });
    }
  }
  await Promise.all(Array.from({ length: Math.min(workers, jobs.length) }, lane));
  await queue;
  return tried === jobs.length;
}
