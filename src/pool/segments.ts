/**
 * Segments on worker threads. Shared memory carries what must get through while a worker computes: a stop word, read
 * between steps, and for each member the step and loss it is at, for display only.
 */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import type { TeamHandle } from "../core/team.ts";
import type { MemberState, SegmentRequest, SegmentResult } from "../training/messages.ts";
import { teamSizeOf } from "../training/team-size.ts";
import { Teams } from "./teams.ts";

/** Threads that run the tasks they are sent, of whatever kind. */
export interface Threads {
  /**
   * Rejects if the task throws, its thread dies, or the threads are closed. A thread that dies is replaced, and the
   * other tasks go on.
   */
  run<Result>(task: unknown, options?: TaskOptions): Promise<Result>;
  /** Ends the threads at once, running tasks included; idempotent. */
  close(): Promise<void>;
}

export interface TaskOptions {
  /** The function of the threads' module; its default export if absent. */
  name?: string;
  /** Buffers that are given away. */
  transferList?: ArrayBuffer[];
}

/** What a worker gets with a segment. */
export interface SegmentTask {
  request: SegmentRequest;
  core: CoreModule;
  /** Int32[1]: not 0 once the run is to stop. */
  stopWord: SharedArrayBuffer;
  /** Float64[2 members]: (step, loss) of each member. */
  progress: SharedArrayBuffer;
  /** Where other threads help with the segment's steps; null: nobody can. */
  team: TeamHandle | null;
}

/** Whose steps a thread helps with. */
export interface AssistRequest {
  config: Config;
  core: CoreModule;
}

/** What a worker gets to help with another one's segment. */
export interface AssistTask extends AssistRequest {
  team: TeamHandle;
}

/** What a worker gets to compare: two builds of one math. */
export interface WidthsTask {
  wide: CoreModule;
  narrow: CoreModule;
}

export interface WorkerPool {
  /** Rejects if the segment throws or its worker dies; a dead worker is replaced. */
  runSegment(request: SegmentRequest): Promise<SegmentResult>;
  /** Makes running segments return at their next step, and later ones at their first. */
  stop(): void;
  stopped(): boolean;
  /** The last step a member has done in this pool and its loss in nats; step 0 and loss NaN before any. */
  progress(member: number): { step: number; loss: number };
  /** Ends the workers at once, running segments included. */
  close(): Promise<void>;
}

export interface SegmentOptions {
  /** Number of worker threads. Those that have no member of their own share the steps of others. */
  workers: number;
  members: number;
  /** The compiled core, shared by all workers; each has its own memory. */
  core: CoreModule;
}

/** A pool for the segments of one run. It ends the threads when it is closed. */
export function segmentPool(threads: Threads, options: SegmentOptions): WorkerPool {
  const teams = segmentTeams(threads, options.workers);
  return poolOfRun({ threads, teams, close: () => threads.close() }, options);
}

/** The teams of all segments on these threads. */
export function segmentTeams(threads: Threads, workers: number): Teams<AssistRequest> {
  return new Teams(workers, (request, team) => {
    const task: AssistTask = { ...request, team };
    return threads.run(task, { name: "assist" });
  });
}

/** Where the segments of a run are run. */
interface Place {
  threads: Threads;
  teams: Teams<AssistRequest>;
  /** Runs a segment once it is its turn; by default at once. */
  inTurn?: <Result>(run: () => Promise<Result>) => Promise<Result>;
  close: () => Promise<void>;
}

/** The segments of one run, with its own stop word and progress, on threads that others may use too. */
export function poolOfRun(
  { threads, teams, inTurn = (run) => run(), close }: Place,
  { workers, members, core }: SegmentOptions,
): WorkerPool {
  const stopWord = new Int32Array(new SharedArrayBuffer(4));
  const progress = new Float64Array(new SharedArrayBuffer(16 * members));
  for (let member = 0; member < members; member++) progress[2 * member + 1] = Number.NaN;
  const context = { core, stopWord: stopWord.buffer, progress: progress.buffer };
  return {
    runSegment: ({ state, ...request }) =>
      inTurn(() => {
        const size = workers > 1 ? teamSizeOf(request.config, workers) : null;
        return teams.lead({ config: request.config, core }, size, (team) => {
          const copy = state && copyOf(state);
          const task: SegmentTask = { request: { ...request, state: copy }, team, ...context };
          return threads.run(task, { transferList: copy ? buffersOf(copy) : [] });
        });
      }),
    stop: () => void Atomics.store(stopWord, 0, 1),
    stopped: () => Atomics.load(stopWord, 0) !== 0,
    progress: (member) => ({ step: progress[2 * member], loss: progress[2 * member + 1] }),
    close,
  };
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
