/** Files of predictions of any program: .npy, .npz and .safetensors. */
import { readFile } from "node:fs/promises";
import { messageOf, UsageError } from "../errors.ts";
import { arraysIn, type PredictionArrays, predictionsIn, seenOf } from "./archives.ts";

/**
 * @param path an array `predictions`, or an archive that has one and may have `steps`, `seen` with `seenLabels`, and
 *   `unseenLabels`
 * @param seenPath of predictions on seen tasks, an archive of `predictions` and `labels`, or of `seen` and `seenLabels`
 * @param stepsPath of an array, in place of `steps`
 * @throws UsageError naming the file and what is wrong with it
 */
export async function readPredictions(
  path: string,
  { seenPath, stepsPath }: { seenPath?: string; stepsPath?: string } = {},
): Promise<PredictionArrays> {
  const seen = seenPath ? await read(seenPath, (bytes) => seenOf(arraysIn(bytes, "seen"))) : undefined;
  const own = await read(path, (bytes) => predictionsIn(bytes, seen));
  if (!stepsPath) return own;
  const [steps] = await read(stepsPath, (bytes) => Object.values(arraysIn(bytes, "steps")));
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
