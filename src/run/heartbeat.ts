/** Signs of life for all locks of this process, from one thread that lives as long as the process. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { BEAT_MS } from "./beat.ts";

/** Threads are of compiled JavaScript, also when this file itself runs from source. */
const threadFile = fileURLToPath(new URL("../../dist/run/heartbeat-thread.js", import.meta.url));

/** What the thread is told: from now on, or no more. */
export interface HeldClaim {
  claim: string;
  on: boolean;
}

const held = new Set<string>();
let thread: Worker | undefined;

export function startBeating(claim: string): void {
  held.add(claim);
  if (thread) tell({ claim, on: true });
  else startThread();
}

export function stopBeating(claim: string): void {
  held.delete(claim);
  tell({ claim, on: false });
}

const tell = (message: HeldClaim) => thread?.postMessage(message);

/** The process does not wait for it. One that dies is replaced, in time for the lease. */
function startThread(): void {
  thread = new Worker(threadFile, { execArgv: [] });
  thread.unref();
  thread.on("error", () => {});
  thread.on("exit", () => {
    thread = undefined;
    setTimeout(() => {
      if (held.size > 0 && !thread) startThread();
    }, BEAT_MS).unref();
  });
  for (const claim of held) tell({ claim, on: true });
}
