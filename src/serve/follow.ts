/** Tells clients that a run has changed, by server-sent events. A client that does not read is skipped, not waited for. */
import { stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";

const POLL_MS = 1000;
const HEARTBEAT_POLLS = 15;
/** What a page is made of and a run writes. */
const FILES = [
  "config.json",
  "metrics.jsonl",
  "answers.jsonl",
  "summary.json",
  "posteriors.jsonl",
  "spectrum.jsonl",
];

/** Differs after every change of the run's files. */
export async function versionOf(directory: string): Promise<string> {
  const states = await Promise.all(
    FILES.map((file) =>
      stat(join(directory, file)).then(
        ({ size, mtimeMs }) => `${size}:${mtimeMs}`,
        () => "-",
      ),
    ),
  );
  return states.join(" ");
}

interface Followed {
  version: string;
  clients: Set<ServerResponse>;
}

export class Followers {
  readonly #rests: (directory: string) => boolean;
  readonly #runs = new Map<string, Followed>();
  #timer: NodeJS.Timeout | undefined;
  #polls = 0;

  /** @param rests whether changes of a run are to be told later */
  constructor(rests: (directory: string) => boolean) {
    this.#rests = rests;
  }

  /** Sends the run's version now, so that a client that was away learns what it has missed, and after each change. */
  async add(directory: string, response: ServerResponse): Promise<void> {
    const version = await versionOf(directory);
    if (response.destroyed) return;
    const run = this.#runs.get(directory) ?? { version, clients: new Set() };
    this.#runs.set(directory, run);
    run.clients.add(response);
    response.on("close", () => {
      run.clients.delete(response);
      if (run.clients.size === 0 && this.#runs.get(directory) === run) this.#runs.delete(directory);
      if (this.#runs.size === 0) this.#stop();
    });
    response.write(`retry: 2000\n${message(version)}`);
    this.#timer ??= setInterval(() => void this.#poll(this.#rests), POLL_MS);
  }

  close(): void {
    for (const { clients } of this.#runs.values()) for (const client of clients) client.destroy();
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Sends what has changed, of all runs. @returns whether anybody follows one */
  async tell(): Promise<boolean> {
    await this.#poll(() => false);
    return this.#runs.size > 0;
  }

  async #poll(rests: (directory: string) => boolean): Promise<void> {
    const heartbeat = ++this.#polls % HEARTBEAT_POLLS === 0;
    for (const [directory, run] of this.#runs) {
      if (rests(directory)) continue;
      const version = await versionOf(directory);
      const changed = version !== run.version;
      run.version = version;
      if (!changed && !heartbeat) continue;
      // Whoever has not read the last message gets the next one that there is.
      for (const client of run.clients)
        if (!client.writableNeedDrain && client.writableLength === 0)
          client.write(changed ? message(version) : ":\n\n");
    }
  }
}

const message = (version: string) => `data: ${JSON.stringify(version)}\n\n`;
