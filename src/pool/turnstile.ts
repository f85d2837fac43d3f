/** Tasks, so many at a time; of those that wait the one of the lowest rank is next, and of one rank the first. */

interface Waiting {
  rank: number;
  start: () => void;
}

export class Turnstile {
  readonly #places: number;
  readonly #waiting: Waiting[] = [];
  #taken = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** Runs `task` once it is its turn. */
  async pass<Result>(rank: number, task: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((start) => {
      this.#waiting.push({ rank, start });
      this.#admit();
    });
    try {
      return await task();
    } finally {
      this.#taken--;
      // Whoever had the place may come back at once with what follows.
      setTimeout(() => this.#admit(), 0);
    }
  }

  #admit(): void {
    while (this.#taken < this.#places && this.#waiting.length > 0) {
      const lowest = Math.min(...this.#waiting.map(({ rank }) => rank));
      const [{ start }] = this.#waiting.splice(
        this.#waiting.findIndex(({ rank }) => rank === lowest),
        1,
      );
      this.#taken++;
      start();
    }
  }
}
