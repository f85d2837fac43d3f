/** The diagnosis of a run directory, from the predictions that it has kept. */
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { MissingFileError } from "../run/errors.ts";
import { predictionsFile } from "../run/files.ts";
import { identityOf } from "../run/manifest.ts";
import { type RunData, readManifest } from "../run/read.ts";
import { readTensors } from "../run/tensors.ts";
import type { Tensor } from "../safetensors.ts";
import { drawProbePrompts } from "../tasks/probe-prompts.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { requireTypedArray } from "../validate.ts";
import type { NumberArray } from "./arrays.ts";
import { Diagnosis } from "./diagnose.ts";

/**
 * The ceiling is that of the exact Bayesian predictor. Answers on unseen tasks are shown beside the estimate, and have no
 * part in it.
 *
 * @returns null for a run that has kept no predictions
 * @throws UsageError if a file of it is damaged
 */
export async function diagnoseRun({
  directory,
  config,
  records,
  references,
}: RunData): Promise<Diagnosis | null> {
  const manifest = await readManifest(directory);
  const labels = new Map(
    drawProbePrompts(config.task, config.seed, config.evaluation.prompts).map(({ name, batch }) => [
      name,
      lastOf(batch.targets, batch.batchSize),
    ]),
  );
  const { chance, ceiling } = references.unseenTasks ?? {};
  const diagnosis = new Diagnosis({ chance, ceiling });
  let found = false;
  for (const { step } of records) {
    const place = { directory, file: predictionsFile(step) };
    const saved = await readTensors(place, manifest && identityOf(manifest), { step }, (file) => file).catch(
      (error) => {
        if (error instanceof MissingFileError) return null;
        throw error;
      },
    );
    if (!saved) continue;
    found = true;
    const on = (set: ProbeSetName) =>
      atLastPosition(saved.tensors.get(set), join(directory, place.file), set);
    diagnosis.push({
      step,
      predictions: on("unseenTasks"),
      seen: { predictions: on("seenTasks"), labels: labels.get("seenTasks")! },
      labels: labels.get("unseenTasks"),
    });
  }
  return found ? diagnosis : null;
}

/** (B, P) -> (B) */
const lastOf = (values: Int32Array, rows: number) => {
  const positions = values.length / rows;
  return values.filter((_, i) => i % positions === positions - 1);
};

/** (members, prompts, positions, classes) or without positions -> (members, prompts, classes) of the last one. */
function atLastPosition(tensor: Tensor | undefined, path: string, set: ProbeSetName): NumberArray {
  if (!tensor) throw new UsageError(`${path}: it has no predictions on ${set}`);
  const { shape, data } = tensor;
  requireTypedArray(set, data as Float32Array, "Float32Array");
  if (shape.length === 3) return { shape, data: data as Float32Array };
  const [members, prompts, positions, classes] = shape;
  const last = new Float32Array(members * prompts * classes);
  for (let row = 0; row < members * prompts; row++) {
    const end = (row + 1) * positions * classes;
    last.set((data as Float32Array).subarray(end - classes, end), row * classes);
  }
  return { shape: [members, prompts, classes], data: last };
}
