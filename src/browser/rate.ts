/** How fast training goes at present. */

/** What is older does not count. */
const WINDOW_MS = 3000;

export class Rate {
  readonly #now: () => number;
  #entries: { at: number; tokens: number }[] = [];

  /** @param now a clock, milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(tokens: number): void {
    this.#entries.push({ at: this.#now(), tokens });
  }

  /** After a pause, which is no slow training. */
  clear(): void {
    this.#entries = [];
  }

  /** Tokens a second; null before it can be told. */
  get perSecond(): number | null {
    const now = this.#now();
    this.#entries = this.#entries.filter(({ at }) => now - at <= WINDOW_MS);
    const first = this.#entries[0];
    if (!first || now - first.at < 200) return null;
    // What the first entry says was done before it.
    const tokens = this.#entries.slice(1).reduce((sum, entry) => sum + entry.tokens, 0);
    return (1000 * tokens) / (now - first.at);
  }
}
