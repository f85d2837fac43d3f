/**
 * Working on a sweep: runs that nobody has are taken one after the other and trained on the same threads, until none is
 * left. Other processes may do the same, here or on other machines; the lock of a run directory is what tells whose it is.
 */
import { hostname } from "node:os";
import { flagLayer } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import { messageOf, UsageError } from "../errors.ts";
import { startThreads } from "../pool/pool.ts";
import { SharedThreads } from "../pool/shared-threads.ts";
import { LockedError } from "../run/lock.ts";
import { availableBytes } from "../run/memory.ts";
import { runMemory } from "../run/memory-size.ts";
import type { RunSummary } from "../run/records.ts";
import { runEnsemble } from "../run/run.ts";
import { isOutOfSpace } from "../run/space.ts";
import { survived } from "../run/summary.ts";
import { requireCount } from "../validate.ts";
import {
  cancelRequest,
  readSweep,
  removeFailure,
  runDirectory,
  type Sweep,
  writeFailure,
} from "./directory.ts";
import { configOf, describeRun, inWords, type SweepRun } from "./expand.ts";
import type { SweepObserver } from "./observer.ts";
import { stateOf } from "./states.ts";

/** How often a run is tried. */
const ATTEMPTS = 2;

/** How often it is looked at what other processes do. */
const POLL_MS = 2000;

export interface WorkOptions {
  /** Worker threads for all runs together. Has no influence on the results. */
  workers: number;
  /** The runs to work on; by default all, also those that are added meanwhile. */
  only?: readonly SweepRun[];
  /** Stop at the first run that fails. */
  failFast?: boolean;
  /** Stops all runs at their next steps; what they have done is saved. */
  signal?: AbortSignal;
  commandLine?: string[];
  observer?: SweepObserver;
}

/** How a sweep ended. */
export interface SweepOutcome {
  /**
   * `finished`: all runs have their results, but for those that have failed. `stopped`: by the signal. `cancelled`: by
   * `cancelSweep`. `failed`: at a failure, with `failFast`.
   */
  status: "finished" | "stopped" | "cancelled" | "failed";
  finished: number;
  /** Those that have failed, before too. */
  failed: SweepRun[];
}

/**
 * Works on the sweep in `directory` until each of its runs is finished or has failed, those of other processes included.
 * A run that fails is tried once more; the others go on.
 *
 * @throws UsageError for a directory without a sweep; Error if there is no space left on the disk, or no thread
 */
export async function workOn(directory: string, options: WorkOptions): Promise<SweepOutcome> {
  requireCount("workers", options.workers);
  const work = new Work(directory, options);
  try {
    return await work.run();
  } finally {
    await work.close();
  }
}

/** A run under way. */
interface Active {
  /** Threads that it keeps busy, at most. */
  lanes: number;
  bytes: number;
}

type Attempt = { end: "finished" | "stopped" | "held" } | { end: "failed"; error: unknown };

class Work {
  readonly #directory: string;
  readonly #options: WorkOptions;
  readonly #observer: SweepObserver;
  readonly #threads: SharedThreads;
  readonly #stop = new AbortController();
  readonly #active = new Map<string, Active>();
  readonly #failed: SweepRun[] = [];
  readonly #cancelledBefore: string | null;
  #sweep: Sweep;
  #runs: readonly SweepRun[];
  /** Neither finished nor failed, as far as is known. */
  #open: SweepRun[] = [];
  /** Under way in other processes when they were looked at. */
  #held: SweepRun[] = [];
  #finished = 0;
  #status: SweepOutcome["status"] = "finished";
  /** What ends the whole sweep. */
  #fatal: unknown;
  /** Whether something has happened since the last look. */
  #news = false;
  #onNews = () => {};

  constructor(directory: string, options: WorkOptions) {
    const { workers, only, observer = {} } = options;
    this.#directory = directory;
    this.#options = options;
    this.#observer = observer;
    this.#sweep = readSweep(directory);
    this.#runs = only ?? this.#sweep.runs;
    this.#cancelledBefore = cancelRequest(directory);
    // Others start when there are segments, or shards, for them.
    const atOnce = Math.min(workers, Math.max(1, sum(this.#runs.map(({ members }) => members))));
    this.#threads = new SharedThreads(startThreads({ workers, atOnce }), workers);
  }

  close(): Promise<void> {
    return this.#threads.close();
  }

  async run(): Promise<SweepOutcome> {
    const { signal } = this.#options;
    const interrupted = () => this.#end("stopped");
    signal?.addEventListener("abort", interrupted);
    if (signal?.aborted) interrupted();
    this.#survey(this.#runs);
    try {
      for (;;) {
        await this.#beginRuns();
        if (this.#active.size === 0 && (this.#stopped || !this.#anyLeft())) break;
        await this.#event();
        this.#heedCancellation();
      }
    } finally {
      signal?.removeEventListener("abort", interrupted);
    }
    if (this.#fatal !== undefined) throw this.#fatal;
    return { status: this.#status, finished: this.#finished, failed: this.#failed };
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  #end(status: SweepOutcome["status"]): void {
    if (this.#stopped) return;
    this.#status = status;
    this.#stop.abort();
    this.#wake();
  }

  #wake(): void {
    this.#news = true;
    this.#onNews();
  }

  /** Resolves when a run has ended, when all are to stop, or after a while. */
  async #event(): Promise<void> {
    if (!this.#news)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        this.#onNews = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.#news = false;
  }

  #heedCancellation(): void {
    if (cancelRequest(this.#directory) !== this.#cancelledBefore) this.#end("cancelled");
  }

  /** Whether there is a run to wait for, or one more since the last look at sweep.json. */
  #anyLeft(): boolean {
    if (this.#held.length > 0 || this.#open.length > 0) return true;
    if (this.#options.only) return false;
    const before = this.#runs.length;
    this.#sweep = readSweep(this.#directory);
    this.#runs = this.#sweep.runs;
    if (this.#runs.length > before) this.#survey(this.#runs.slice(before));
    return this.#open.length > 0;
  }

  /** Which of the runs have come to their end before. */
  #survey(runs: readonly SweepRun[]): void {
    for (const run of runs) {
      const { state } = stateOf(this.#directory, run);
      if (state === "finished") this.#finished++;
      else if (state === "failed") this.#failed.push(run);
      else this.#open.push(run);
    }
    const { workers } = this.#options;
    const [directory, open] = [this.#directory, [...this.#open]];
    this.#observer.started?.({ directory, runs: this.#runs, open, workers });
  }

  /** As many runs as keep all threads busy, and one for the moments in which these do not. */
  async #beginRuns(): Promise<void> {
    if (this.#open.length === 0) {
      this.#open = this.#held;
      this.#held = [];
    }
    while (!this.#stopped && this.#open.length > 0) {
      const lanes = [...this.#active.values()].slice(0, -1).map((active) => active.lanes);
      if (sum(lanes) >= this.#options.workers) return;
      const run = this.#open[0];
      const { state, failure } = stateOf(this.#directory, run);
      if (state === "running") this.#held.push(run);
      else if (state === "finished") this.#finish(run, { here: false });
      else if (state === "failed") this.#fail(run, { here: false, message: failure!.message });
      else if (!(await this.#begin(run))) return;
      this.#open.shift();
    }
    if (this.#active.size === 0 && this.#held.length > 0) this.#observer.waiting?.(this.#held);
  }

  /** @returns whether there is memory for the run beside those under way */
  async #begin(run: SweepRun): Promise<boolean> {
    const { workers } = this.#options;
    let config: Config;
    try {
      config = this.#configOf(run);
    } catch (error) {
      this.#abandon(error);
      return true;
    }
    const { totalBytes } = runMemory(config, await loadCoreModule(config.math), workers);
    const taken = sum([...this.#active.values()].map(({ bytes }) => bytes));
    if (this.#active.size > 0 && taken + totalBytes > availableBytes()) return false;
    this.#active.set(run.run, { lanes: Math.min(config.ensemble.members, workers), bytes: totalBytes });
    void this.#try(run, config)
      .then((attempt) => this.#settle(run, attempt))
      .catch((error) => this.#abandon(error))
      .finally(() => {
        this.#active.delete(run.run);
        this.#wake();
      });
    return true;
  }

  /** @throws UsageError if this version makes something else of the run's settings than the one that made the sweep */
  #configOf(run: SweepRun): Config {
    const config = configOf(this.#sweep.definition.layers, run.settings);
    const now = describeRun(config, run.settings);
    if (now.run !== run.run || now.config !== run.config)
      throw new UsageError(
        `${this.#directory}: this version of epigrok makes another configuration of ${inWords(run.settings)}`,
      );
    return config;
  }

  async #try(run: SweepRun, config: Config): Promise<Attempt> {
    for (let attempt = 1; ; attempt++) {
      const made = await this.#attempt(run, config);
      if (made.end !== "failed" || attempt === ATTEMPTS || made.error instanceof UsageError) return made;
      this.#observer.runLeft?.(run);
      this.#observer.warned?.(`${inWords(run.settings)}: ${messageOf(made.error)}; it is tried once more`);
    }
  }

  async #attempt(run: SweepRun, config: Config): Promise<Attempt> {
    const { workers, commandLine } = this.#options;
    const own = Object.entries(run.settings).map(([key, value]) => flagLayer("the sweep", key, value));
    const warned = (message: string) => this.#observer.warned?.(`${inWords(run.settings)}: ${message}`);
    try {
      const { summary } = await runEnsemble(config, {
        out: runDirectory(this.#directory, run.run),
        mode: "resume",
        workers,
        overrides: [...this.#sweep.definition.layers, ...own],
        commandLine,
        signal: this.#stop.signal,
        observer: {
          started: (start) => this.#observer.runStarted?.(run, start),
          memberFailed: ({ message }) => warned(message),
          warned,
        },
        createPool: (options) => this.#threads.createPool(options),
      });
      if (summary === null) return { end: "stopped" };
      return survived(summary) ? { end: "finished" } : { end: "failed", error: new Error(losses(summary)) };
    } catch (error) {
      // The process that has it, or has taken it over from this one, goes on with it.
      if (error instanceof LockedError || stateOf(this.#directory, run).state === "running")
        return { end: "held" };
      return { end: "failed", error };
    }
  }

  async #settle(run: SweepRun, attempt: Attempt): Promise<void> {
    if (attempt.end === "finished") {
      await removeFailure(this.#directory, run.run);
      this.#finish(run, { here: true });
    } else if (attempt.end === "failed") {
      if (isOutOfSpace(attempt.error)) throw attempt.error;
      const message = messageOf(attempt.error);
      const { pid } = process;
      const failure = { message, at: new Date().toISOString(), host: hostname(), pid };
      await writeFailure(this.#directory, run.run, failure);
      this.#fail(run, { here: true, message });
      if (this.#options.failFast) this.#end("failed");
    } else {
      this.#observer.runLeft?.(run);
      if (attempt.end === "held") this.#held.push(run);
    }
  }

  #finish(run: SweepRun, end: { here: boolean }): void {
    this.#finished++;
    this.#observer.runEnded?.(run, { state: "finished", message: null, ...end });
  }

  #fail(run: SweepRun, end: { here: boolean; message: string }): void {
    this.#failed.push(run);
    this.#observer.runEnded?.(run, { state: "failed", ...end });
  }

  /** What no other run would survive either. */
  #abandon(error: unknown): void {
    this.#fatal ??= error;
    this.#end("failed");
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

/** Which members a run has lost. */
function losses({ members, perMember }: RunSummary): string {
  const lost = perMember.filter(({ failedStep }) => failedStep !== null);
  const each = lost.map(({ member, failedStep }) => `member ${member} at step ${failedStep}`);
  return `${lost.length} of ${members} member${members === 1 ? "" : "s"} lost: ${each.join(", ")}`;
}
