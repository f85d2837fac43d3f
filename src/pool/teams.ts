/**
 * Which threads help whom. A segment has a thread of its own; threads that are left over share the steps of running
 * segments, as far as these have shards for them, and give way when a segment needs a thread.
 */
import { Team, type TeamHandle, type TeamSize } from "../core/team.ts";

/** Milliseconds in which the next segment usually follows one that has ended. */
const SETTLING_MS = 5;

interface Led<Request> {
  request: Request;
  team: Team;
  assistants: number;
  ended: boolean;
}

export class Teams<Request> {
  readonly #workers: number;
  readonly #assist: (request: Request, team: TeamHandle) => Promise<void>;
  readonly #led = new Set<Led<Request>>();
  /** Their memory serves the next segments of their size; as many as there can be segments at a time. */
  readonly #spare: Team[] = [];
  #segments = 0;
  #assistants = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param assist keeps one thread busy with a team until it is let go */
  constructor(workers: number, assist: (request: Request, team: TeamHandle) => Promise<void>) {
    this.#workers = workers;
    this.#assist = assist;
  }

  /**
   * Runs a segment, with a team that others may join.
   *
   * @param size of the team; null if nobody could help
   */
  async lead<Result>(
    request: Request,
    size: TeamSize | null,
    run: (team: TeamHandle | null) => Promise<Result>,
  ): Promise<Result> {
    this.#segments++;
    if (this.#segments + this.#assistants > this.#workers) this.#releaseOne();
    const led =
      size && this.#workers > 1
        ? { request, team: this.#takeSpare(size) ?? new Team(size), assistants: 0, ended: false }
        : null;
    if (led) this.#led.add(led);
    this.#settle();
    try {
      return await run(led?.team.handle ?? null);
    } finally {
      this.#segments--;
      if (led) {
        this.#led.delete(led);
        led.ended = true;
        led.team.dissolve();
        this.#recycle(led);
      }
      this.#settle();
    }
  }

  #releaseOne(): void {
    const [most] = [...this.#led].sort((a, b) => b.assistants - a.assistants);
    if (most?.assistants) most.team.release();
  }

  /** Looks for idle threads once the segments that are about to begin have begun. */
  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fill(), SETTLING_MS);
  }

  #fill(): void {
    while (this.#segments + this.#assistants < this.#workers) {
      const [least] = [...this.#led]
        .filter(({ team, assistants }) => assistants + 1 < team.handle.size.shards)
        .sort((a, b) => a.assistants - b.assistants);
      if (!least) return;
      this.#join(least);
    }
  }

  #join(led: Led<Request>): void {
    led.assistants++;
    this.#assistants++;
    this.#assist(led.request, led.team.handle)
      .catch(() => led.team.fail())
      .finally(() => {
        led.assistants--;
        this.#assistants--;
        this.#recycle(led);
        this.#settle();
      });
  }

  #recycle({ team, assistants, ended }: Led<Request>): void {
    if (!ended || assistants > 0 || team.failed()) return;
    team.reset();
    this.#spare.push(team);
    if (this.#spare.length > this.#workers) this.#spare.shift();
  }

  #takeSpare(size: TeamSize): Team | undefined {
    const wanted = JSON.stringify(size);
    const found = this.#spare.findLastIndex(({ handle }) => JSON.stringify(handle.size) === wanted);
    return found < 0 ? undefined : this.#spare.splice(found, 1)[0];
  }
}
