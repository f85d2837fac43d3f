/**
 * Worker threads that run segments. Shared memory carries what must get through while a worker computes: a stop
 * word, read between steps, and for each member the step and loss it is at, for display only.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { CoreModule } from "../core/build.ts";
import type { SegmentRequest, SegmentResult } from "./protocol.ts";

/** What a worker gets when it starts. */
export interface WorkerContext {
  core: CoreModule;
  /** Int32[1]: not 0 once the run is to stop. */
  stopWord: SharedArrayBuffer;
  /** Float64[2 members]: (step, loss) of each member. */
  progress: SharedArrayBuffer;
}

export interface WorkerPoolOptions {
  /** Number of worker threads. */
  workers: number;
  members: number;
  /** The compiled core, shared by all workers; each has its own memory. */
  core: CoreModule;
  /** A module whose default export runs a segment; by default the package's own. */
  filename?: string;
}

export interface WorkerPool {
  /** Rejects if the segment throws or its worker dies; the pool replaces a dead worker. */
  runSegment(request: SegmentRequest): Promise<SegmentResult>;
  /** Makes running segments return at their next step, and later ones at their first. */
  stop(): void;
  stopped(): boolean;
  /** The last step a member has done in this pool and its loss in nats; step 0 and loss NaN before any. */
  progress(member: number): { step: number; loss: number };
  /** Ends the workers at once, running segments included. */
  close(): Promise<void>;
}

/** Workers are threads of compiled JavaScript, also when this file itself runs from source. */
const workerFile = fileURLToPath(new URL("../../dist/pool/worker.js", import.meta.url));

/** @throws Error if the package has not been built. */
export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { workers, members, core, filename = workerFile } = options;
  if (!existsSync(filename)) throw new Error(`${filename} does not exist: run "npm run build" first`);
  const stopWord = new Int32Array(new SharedArrayBuffer(4));
  const progress = new Float64Array(new SharedArrayBuffer(16 * members));
  for (let member = 0; member < members; member++) progress[2 * member + 1] = Number.NaN;
  const workerData: WorkerContext = { core, stopWord: stopWord.buffer, progress: progress.buffer };
  const pool = new Piscina({ filename, minThreads: workers, maxThreads: workers, workerData });
  // A worker that dies between tasks is replaced; the task that then fails reports it.
  pool.on("error", () => {});
  return {
    // The request is copied, not transferred: the controller's state must survive the worker's death.
    runSegment: (request) => pool.run(request),
    stop: () => void Atomics.store(stopWord, 0, 1),
    stopped: () => Atomics.load(stopWord, 0) !== 0,
    progress: (member) => ({ step: progress[2 * member], loss: progress[2 * member + 1] }),
    close: () => pool.destroy(),
  };
}
