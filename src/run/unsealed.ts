/** The texts of a run's files and identity before a hash is taken of them; who takes it, on Node or in a browser, is apart. */
import type { Config } from "../config/schema.ts";
import { RECORD_VERSION } from "../uncertainty/statistics.ts";

/** Of the run directory: from 2 on all its files have checksums. */
export const RUN_FORMAT = 2;

/** In the place of the digits of a checksum before they are known. */
export const UNSEALED = "0".repeat(64);

export const unsealedObject = (value: object, run: string): string =>
  `${JSON.stringify({ sha256: UNSEALED, run, ...value }, null, 2)}\n`;

export const unsealedLine = (record: object, run: string): string =>
  `${JSON.stringify({ version: RECORD_VERSION, sha256: UNSEALED, run, ...record })}\n`;

/**
 * All settings that the states, predictions and measures at a step follow from. How often there is an evaluation, what is
 * kept of it, and how long training goes on, as far as the steps before do not depend on it, are not among them.
 */
export function followedSettings(config: Config): string {
  const { checkpoints, evaluation, training, ...others } = config;
  const { every, spacing, savePredictions, ...measured } = evaluation;
  const { steps, ...optimised } = training;
  return JSON.stringify({
    ...others,
    evaluation: measured,
    training: dependsOnLength(config) ? training : optimised,
  });
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

/**
 * A whole configuration. The schema fixes the order of the keys. No pool is left out, so that configurations from before
 * there were pools keep their hashes.
 */
export function allSettings({ task: { promptPool, ...task }, ...config }: Config): string {
  const { seed, ...rest } = config;
  return JSON.stringify({ seed, task: promptPool === 0 ? task : { ...task, promptPool }, ...rest });
}
