/** The worker threads of Node. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { messageOf } from "../errors.ts";
import { type SegmentOptions, segmentPool, type Threads, type WorkerPool } from "./segments.ts";

/** Workers are threads of compiled JavaScript, also when this file itself runs from source. */
const segmentWorker = fileURLToPath(new URL("../../dist/pool/worker.js", import.meta.url));

/** How long a thread that is to end may go on loading its modules. */
const LOADING_MS = 5000;

/**
 * Which threads of a pool have loaded their modules. One that is ended before makes some versions of Node abort.
 *
 * @returns waits for those that have not
 */
function watchLoading(pool: Piscina): () => Promise<void> {
  // The pool counts the threads that it begins with as ready from the start, others once they have said so.
  const first = pool.threads;
  const loaded = new WeakSet<Worker>();
  for (const thread of first) thread.once("message", () => loaded.add(thread));
  pool.on("workerCreate", ({ id }: { id: number }) => {
    const thread = pool.threads.find(({ threadId }) => threadId === id);
    if (thread && !first.includes(thread)) loaded.add(thread);
  });
  return async () => {
    const late = new AbortController();
    const each = pool.threads
      .filter((thread) => !loaded.has(thread))
      .map((thread) => Promise.race([once(thread, "message", late), once(thread, "exit", late)]));
    const timer = setTimeout(() => late.abort(), LOADING_MS);
    await Promise.allSettled(each);
    clearTimeout(timer);
    late.abort();
  };
}

export interface ThreadsOptions {
  /** The most threads at a time. */
  workers: number;
  /** How many start now, by default all; the others start when there is work for them. */
  atOnce?: number;
  /** A module of compiled JavaScript whose exported functions do the tasks; by default the one that runs segments. */
  filename?: string;
  /** What every thread gets when it starts. */
  workerData?: unknown;
}

/** @throws Error if the module does not exist: the package has not been built. */
export function startThreads(options: ThreadsOptions): Threads {
  const { workers, atOnce = workers, filename = segmentWorker, workerData } = options;
  if (!existsSync(filename)) throw new Error(`${filename} does not exist: run "npm run build" first`);
  const idleTimeout = Number.POSITIVE_INFINITY;
  const pool = new Piscina({ filename, minThreads: atOnce, maxThreads: workers, idleTimeout, workerData });
  const allLoaded = watchLoading(pool);
  const unfinished = new Set<AbortController>();
  let lastError: unknown = "it ended";
  // A thread that dies between tasks is replaced; the task that then fails reports it.
  pool.on("error", (error) => {
    lastError = error;
  });
  // Unless it dies before it is ready: then the pool starts no other one until it gets another task.
  pool.on("workerDestroy", () =>
    queueMicrotask(() => {
      if (pool.threads.length === 0) for (const task of unfinished) task.abort();
    }),
  );
  return {
    async run(task, options) {
      const waiting = new AbortController();
      unfinished.add(waiting);
      try {
        return await pool.run(task, { ...options, signal: waiting.signal });
      } catch (error) {
        if (!(error instanceof Error && error.name === "AbortError")) throw error;
        throw new Error(`a worker thread died before it was ready: ${messageOf(lastError)}`);
      } finally {
        unfinished.delete(waiting);
      }
    },
    async close() {
      await allLoaded();
      await pool.destroy();
    },
  };
}

export interface WorkerPoolOptions extends SegmentOptions {
  /** Threads that have been started before. The pool ends them. */
  threads?: Threads;
}

/** @throws Error if the package has not been built. */
export function createWorkerPool({ threads, ...options }: WorkerPoolOptions): WorkerPool {
  return segmentPool(threads ?? startThreads(options), options);
}
