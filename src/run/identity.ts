/** Which run a file belongs to, and whether it is as it was written. */
import { createHash } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { FileFault, type FilePlace } from "./errors.ts";
import { isWhole } from "./seal.ts";
import { followedSettings } from "./unsealed.ts";

/** What the files of a run have in common. */
export interface RunIdentity {
  /** `runHash` of its configuration. */
  run: string;
  /** Whether all files have a checksum: not those of runs that an early version began. */
  sealed: boolean;
}

/** SHA-256 of all settings that the states, predictions and measures at a step follow from, hexadecimal. */
export const runHash = (config: Config): string =>
  createHash("sha256").update(followedSettings(config)).digest("hex");

/** @throws FileFault if the bytes are not those that were written */
export function requireWhole(bytes: Buffer, place: FilePlace, identity: RunIdentity | null): void {
  const whole = isWhole(bytes);
  if (whole === false) throw new FileFault(place, "damaged, it does not have its checksum");
  if (whole === null && identity?.sealed)
    throw new FileFault(place, "damaged, it has no checksum, which every file of this run has");
}

/** @throws FileFault if what says that it belongs to `run` is of another one */
export function requireRun(run: unknown, place: FilePlace, identity: RunIdentity | null): void {
  if (identity === null || run === identity.run || (run === undefined && !identity.sealed)) return;
  throw new FileFault(place, "belongs to a run of another configuration");
}
