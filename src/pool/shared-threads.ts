/**
 * One set of threads for several runs at a time. There are never more segments under way than threads, and of those that
 * wait the next is one of the run that began first: a run keeps its threads, and a later one fills the moments in which
 * they would be idle.
 */
import { poolOfRun, type SegmentOptions, segmentTeams, type Threads, type WorkerPool } from "./segments.ts";
import { Turnstile } from "./turnstile.ts";

export class SharedThreads {
  readonly #threads: Threads;
  readonly #workers: number;
  readonly #teams: ReturnType<typeof segmentTeams>;
  readonly #turnstile: Turnstile;
  #runs = 0;

  /** @param workers how many threads there are */
  constructor(threads: Threads, workers: number) {
    this.#threads = threads;
    this.#workers = workers;
    this.#teams = segmentTeams(threads, workers);
    this.#turnstile = new Turnstile(workers);
  }

  /** For one run more. Closing its pool leaves the threads to the others. */
  createPool({ members, core }: Pick<SegmentOptions, "members" | "core">): WorkerPool {
    const rank = this.#runs++;
    const place = {
      threads: this.#threads,
      teams: this.#teams,
      inTurn: <Result>(run: () => Promise<Result>) => this.#turnstile.pass(rank, run),
      close: async () => {},
    };
    return poolOfRun(place, { workers: this.#workers, members, core });
  }

  /** Ends the threads at once. */
  close(): Promise<void> {
    return this.#threads.close();
  }
}
