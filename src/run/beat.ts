/** The sign of life of a lock's holder. */
import { closeSync, futimesSync, openSync, writeSync } from "node:fs";

/** Between two signs of life of a holder. */
export const BEAT_MS = 10_000;

/** What a claim holds; a sign of life writes its first letter again. */
export const CLAIM_TEXT =
  "Held by the process that this file is named after: pid-start-machine-claim-host.\n";

/**
 * A write: the clock that counts is the file system's, the same for all machines. Where there is no space for it, this
 * machine's clock has to do.
 * @throws Error ENOENT if the claim is gone
 */
export function beat(claim: string): void {
  const file = openSync(claim, "r+");
  try {
    writeSync(file, CLAIM_TEXT[0], 0);
  } catch {
    const now = new Date();
    futimesSync(file, now, now);
  } finally {
    closeSync(file);
  }
}
