/** Which run a file belongs to, and whether it is as it was written. */
import { createHash } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { FileFault, type FilePlace } from "./errors.ts";
import { isWhole } from "./seal.ts";

/** What the files of a run have in common. */
export interface RunIdentity {
  /** `runHash` of its configuration. */
  run: string;
  /** Whether all files have a checksum: not those of runs that an early version began. */
  sealed: boolean;
}

/**
 * SHA-256 of all settings that the states, predictions and measures at a step follow from, hexadecimal. How often there
 * is an evaluation, what is kept of it, and how long training goes on, as far as the steps before do not depend on it,
 * are not among them.
 */
export function runHash(config: Config): string {
  const { checkpoints, evaluation, training, ...others } = config;
  const { every, spacing, savePredictions, ...measured } = evaluation;
  const { steps, ...optimised } = training;
  const followed = {
    ...others,
    evaluation: measured,
    training: dependsOnLength(config) ? training : optimised,
  };
  return createHash("sha256").update(JSON.stringify(followed)).digest("hex");
}

/** Why a step would be another one in a longer run; null if it would not. */
export function dependsOnLength({ training }: Config): string | null {
  const { schedule, ivon } = training;
  if (schedule !== "constant")
    return `the ${schedule} schedule of the learning rate is over all of training.steps`;
  if (ivon?.effectiveSampleSize === "termsSeen")
    return "training.ivon.effectiveSampleSize, termsSeen, is counted from training.steps";
  return null;
}

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
