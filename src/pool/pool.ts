/**
 * Worker threads that run segments. Shared memory carries what must get through while a worker computes: a stop
 * word, read between steps, and for each member the step and loss it is at, for display only.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { CoreModule } from "../core/module.ts";
import type { MemberState, SegmentRequest, SegmentResult } from "../training/messages.ts";

/** What a worker gets with a segment. */
export interface WorkerTask {
  request: SegmentRequest;
  core: CoreModule;
  /** Int32[1]: not 0 once the run is to stop. */
  stopWord: SharedArrayBuffer;
  /** Float64[2 members]: (step, loss) of each member. */
  progress: SharedArrayBuffer;
}

/** Worker threads that know nothing yet of the run they are for. */
export interface WorkerThreads {
  /** The buffers in `transferList` are given away. */
  run(task: WorkerTask, transferList: ArrayBuffer[]): Promise<SegmentResult>;
  /** Ends the threads at once; idempotent. */
  close(): Promise<void>;
}

export interface WorkerPoolOptions {
  /** Number of worker threads. */
  workers: number;
  members: number;
  /** The compiled core, shared by all workers; each has its own memory. */
  core: CoreModule;
  /** Threads that have been started before. The pool ends them. */
  threads?: WorkerThreads;
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

export interface WorkerThreadsOptions {
  /** The most threads at a time. */
  workers: number;
  /** How many start now, by default all; the others start when there is work for them. */
  atOnce?: number;
  /** A module whose default export does a task; by default the package's own. */
  filename?: string;
}

/** @throws Error if the package has not been built. */
export function startThreads(options: WorkerThreadsOptions): WorkerThreads {
  const { workers, atOnce = workers, filename = workerFile } = options;
  if (!existsSync(filename)) throw new Error(`${filename} does not exist: run "npm run build" first`);
  const idleTimeout = Number.POSITIVE_INFINITY;
  const pool = new Piscina({ filename, minThreads: atOnce, maxThreads: workers, idleTimeout });
  // A worker that dies between tasks is replaced; the task that then fails reports it.
  pool.on("error", () => {});
  return { run: (task, transferList) => pool.run(task, { transferList }), close: () => pool.destroy() };
}

/** The controller's state must survive a worker's death. A transferred copy is the only one; a message makes two. */
function copyOf(state: MemberState): MemberState {
  const { parameters, firstMoment, secondMoment } = state;
  return {
    ...state,
    parameters: parameters.slice(),
    firstMoment: firstMoment.slice(),
    secondMoment: secondMoment.slice(),
  };
}

const buffersOf = ({ parameters, firstMoment, secondMoment }: MemberState) =>
  [parameters, firstMoment, secondMoment].map((array) => array.buffer as ArrayBuffer);

/** @throws Error if the package has not been built. */
export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { workers, members, core, threads = startThreads({ workers }) } = options;
  const stopWord = new Int32Array(new SharedArrayBuffer(4));
  const progress = new Float64Array(new SharedArrayBuffer(16 * members));
  for (let member = 0; member < members; member++) progress[2 * member + 1] = Number.NaN;
  const context = { core, stopWord: stopWord.buffer, progress: progress.buffer };
  return {
    runSegment: ({ state, ...request }) => {
      const copy = state && copyOf(state);
      return threads.run({ request: { ...request, state: copy }, ...context }, copy ? buffersOf(copy) : []);
    },
    stop: () => void Atomics.store(stopWord, 0, 1),
    stopped: () => Atomics.load(stopWord, 0) !== 0,
    progress: (member) => ({ step: progress[2 * member], loss: progress[2 * member + 1] }),
    close: threads.close,
  };
}
