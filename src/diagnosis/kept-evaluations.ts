/** The predictions that a run has kept, an evaluation at a time, with the true answers. */
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { MissingFileError } from "../run/errors.ts";
import { predictionsFile } from "../run/files.ts";
import { identityOf } from "../run/manifest.ts";
import { CYCLE_TENSOR } from "../run/predictions.ts";
import { type RunData, readManifest } from "../run/read.ts";
import { readTensors } from "../run/tensors.ts";
import type { Tensor } from "../safetensors.ts";
import { CYCLE_SET, shownFirst } from "../tasks/cycle.ts";
import { drawProbePrompts } from "../tasks/probe-prompts.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { requireTypedArray } from "../validate.ts";

/** What is read of a run. */
export type EvaluatedRun = Pick<RunData, "directory" | "config" | "records">;

/** Probabilities at the last position, (members, prompts, classes), and the true classes, (prompts). */
export interface KeptEvaluation {
  step: number;
  /** Whose predictions they are; a member that failed is not there. */
  members: number[];
  predictions: KeptArray;
  seen: { predictions: KeptArray; labels: Int32Array };
  /** Of the prompts of unseen tasks asked back, and what they themselves show there; not of runs of older versions. */
  cycle?: { predictions: KeptArray; labels: Int32Array };
  /** On unseen tasks. */
  labels: Int32Array;
}

export interface KeptArray {
  shape: readonly number[];
  data: Float32Array;
}

/**
 * Those of the evaluations that have kept any, in order of step.
 * @throws UsageError if a file is damaged
 */
export async function* keptEvaluations({
  directory,
  config,
  records,
}: EvaluatedRun): AsyncGenerator<KeptEvaluation> {
  const manifest = await readManifest(directory);
  const probes = drawProbePrompts(config.task, config.seed, config.evaluation.prompts);
  const labels = new Map(probes.map(({ name, batch }) => [name, lastOf(batch.targets, batch.batchSize)]));
  const { batch } = probes.find(({ name }) => name === CYCLE_SET)!;
  for (const { step } of records) {
    const place = { directory, file: predictionsFile(step) };
    const saved = await readTensors(place, manifest && identityOf(manifest), { step }, (file) => file).catch(
      (error) => {
        if (error instanceof MissingFileError) return null;
        throw error;
      },
    );
    if (!saved) continue;
    const on = (set: ProbeSetName | typeof CYCLE_TENSOR) =>
      atLastPosition(saved.tensors.get(set), join(directory, place.file), set);
    const predictions = on("unseenTasks");
    const cycle = saved.tensors.has(CYCLE_TENSOR) && on(CYCLE_TENSOR);
    yield {
      step,
      members: JSON.parse(saved.metadata.members ?? "null") ?? [...Array(predictions.shape[0]).keys()],
      predictions,
      seen: { predictions: on("seenTasks"), labels: labels.get("seenTasks")! },
      ...(cycle && { cycle: { predictions: cycle, labels: shownFirst(batch, config.task.variables) } }),
      labels: labels.get("unseenTasks")!,
    };
  }
}

/** What there is to say of a run that has kept none. */
export function withoutPredictions({ directory, config }: Omit<EvaluatedRun, "records">): UsageError {
  const why =
    config.evaluation.savePredictions === "none"
      ? ": evaluation.savePredictions is none, must be last or all while it trains (--set evaluation.savePredictions=last)"
      : " so far";
  return new UsageError(`${directory} has kept no predictions${why}`);
}

/** (B, P) -> (B) */
const lastOf = (values: Int32Array, rows: number) => {
  const positions = values.length / rows;
  return values.filter((_, i) => i % positions === positions - 1);
};

/** (members, prompts, positions, classes) or without positions -> (members, prompts, classes) of the last one. */
function atLastPosition(tensor: Tensor | undefined, path: string, set: string): KeptArray {
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
