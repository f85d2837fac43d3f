/** Files of predictions of any program: .npy, .npz and .safetensors. */
import { readFile } from "node:fs/promises";
import { messageOf, UsageError } from "../errors.ts";
import { arraysIn, type LabelledName, labelledIn, type PredictionArrays, predictionsIn } from "./archives.ts";
import type { Labelled } from "./diagnose.ts";

interface OtherFiles extends Partial<Record<LabelledName, string>> {
  steps?: string;
}

/**
 * @param path an array `predictions`, or an archive that has one and may have `steps`, `cycle` with `cycleLabels`, `seen`
 *   with `seenLabels`, and `unseenLabels`
 * @param others paths in place of these: of prompts asked back and of seen tasks an archive of `predictions` and
 *   `labels`, or of these names; of steps an array
 * @throws UsageError naming the file and what is wrong with it
 */
export async function readPredictions(path: string, others: OtherFiles = {}): Promise<PredictionArrays> {
  const labelled = async (name: LabelledName): Promise<Labelled | undefined> => {
    const file = others[name];
    return file === undefined ? undefined : read(file, (bytes) => labelledIn(arraysIn(bytes, name), name));
  };
  const [cycle, seen] = [await labelled("cycle"), await labelled("seen")];
  const own = await read(path, (bytes) => predictionsIn(bytes, { cycle, seen }));
  if (!others.steps) return own;
  const [steps] = await read(others.steps, (bytes) => Object.values(arraysIn(bytes, "steps")));
  return { ...own, steps: steps.data };
}

/** @throws UsageError naming the file */
async function read<T>(path: string, decode: (bytes: Uint8Array) => T): Promise<T> {
  try {
    return decode(await readFile(path));
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
}
