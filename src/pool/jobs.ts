/**
 * Jobs on several workers at once, and what they give written one at a time. Knows no thread, no file and no clock: how
 * a job is run and how its result is written belongs to the caller.
 */

/** Writes one at a time, in the order in which they are asked for. After one has failed the later ones do not happen. */
export class WriteQueue {
  #last: Promise<void> = Promise.resolve();
  #failed = false;
  readonly #onFailure: () => void;

  /** @param onFailure called once, when the first write fails */
  constructor(onFailure: () => void = () => {}) {
    this.#onFailure = onFailure;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** @returns when it has been written; rejects with what made it, or one before it, fail. */
  add(write: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(write);
    this.#last.catch(() => {
      if (!this.#failed) this.#onFailure();
      this.#failed = true;
    });
    return this.#last;
  }

  /** @throws what a write threw */
  drained(): Promise<void> {
    return this.#last;
  }
}

export interface Lanes<Job, Result> {
  /** Jobs under way at a time. */
  workers: number;
  /** The next job; undefined ends the lane that asks, for good. */
  next: () => Job | undefined;
  /** Must not reject. */
  run: (job: Job) => Promise<Result>;
  /** Takes a result in at once and writes it. The lane runs its next job while it is written. */
  done: (job: Job, result: Result) => Promise<void>;
  /** Where `done` writes. Once a write has failed no job is begun. */
  queue: WriteQueue;
}

/**
 * Runs jobs until no lane finds another one. A lane takes in a result only when its last one has been written, so that
 * no more than one for each lane waits.
 * @throws what a write threw, after the jobs under way have ended.
 */
export async function runLanes<Job, Result>(options: Lanes<Job, Result>): Promise<void> {
  const { workers, next, run, done, queue } = options;
  async function lane(): Promise<void> {
    let written = Promise.resolve();
    while (!queue.failed) {
      const job = next();
      if (job === undefined) break;
      const result = await run(job);
      await written;
      written = done(job, result);
      // It may be rejected long before it is awaited.
      written.catch(() => {});
    }
    await written;
  }
  const lanes = Array.from({ length: workers }, lane);
  await Promise.allSettled(lanes);
  await queue.drained();
  await Promise.all(lanes);
}

export interface RunJobsOptions<Job, Result> {
  jobs: readonly Job[];
  /** Jobs under way at a time. */
  workers: number;
  run: (job: Job) => Promise<Result>;
  /** After each job that succeeded, one at a time. */
  done: (job: Job, result: Result) => Promise<void>;
  failed: (job: Job, error: unknown) => void;
  /** Once aborted, no job is begun, and those that then end in an error have not failed but were stopped. */
  signal?: AbortSignal;
}

/**
 * Runs a list of independent jobs in its order, `workers` at a time. One that fails does not keep the others from being
 * run.
 * @returns whether all were tried: false if it was stopped before.
 * @throws what `done` throws, after the jobs under way have ended.
 */
export async function runJobs<Job, Result>(options: RunJobsOptions<Job, Result>): Promise<boolean> {
  const { jobs, workers, run, done, failed, signal } = options;
  const queue = new WriteQueue();
  const waiting = jobs.values();
  let tried = 0;
  await runLanes<Job, { value: Result } | { error: unknown }>({
    workers: Math.min(workers, jobs.length),
    next: () => (signal?.aborted ? undefined : waiting.next().value),
    run: (job) =>
      run(job).then(
        (value) => ({ value }),
        (error) => ({ error }),
      ),
    done: async (job, outcome) => {
      if ("error" in outcome && signal?.aborted) return;
      tried++;
      if ("value" in outcome) await queue.add(() => done(job, outcome.value));
      else failed(job, outcome.error);
    },
    queue,
  });
  return tried === jobs.length;
}
