/** A thread of its own: signs of life go on while the main thread computes. */
import { parentPort } from "node:worker_threads";
import { BEAT_MS, beat } from "./beat.ts";
import type { HeldClaim } from "./heartbeat.ts";

const held = new Set<string>();

parentPort?.on("message", ({ claim, on }: HeldClaim) => {
  if (on) held.add(claim);
  else held.delete(claim);
});

setInterval(() => {
  for (const claim of held) {
    try {
      beat(claim);
    } catch {
      // If it is gone, its holder notices at the next write; if not, the next beat may succeed.
    }
  }
}, BEAT_MS);
