/** Files of predictions of any program: .npy, .npz and .safetensors, told apart by how they begin. */
import { readFile } from "node:fs/promises";
import { messageOf, UsageError } from "../errors.ts";
import { decodeSafetensors, type TensorData } from "../safetensors.ts";
import { refuse } from "../validate.ts";
import type { NumberArray } from "./arrays.ts";
import type { DiagnoseOptions } from "./diagnose.ts";
import { decodeNpy, isNpy } from "./npy.ts";
import { decodeNpz, isZip } from "./npz.ts";

/** What `diagnose` takes of files. */
export type PredictionArrays = Pick<DiagnoseOptions, "predictions" | "steps" | "seen" | "labels">;

/** The arrays there may be in an archive; others are left alone. */
const NAMES = ["predictions", "steps", "seen", "seenLabels", "unseenLabels", "labels"] as const;

type Arrays = Partial<Record<(typeof NAMES)[number], NumberArray>>;

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
  const { predictions, steps, unseenLabels, ...own } = await readArrays(path, "predictions");
  const seen = seenPath ? seenOf(await readArrays(seenPath, "seen"), seenPath) : seenOf(own, path);
  const given = stepsPath ? Object.values(await readArrays(stepsPath, "steps"))[0] : steps;
  if (!predictions) throw new UsageError(`${path}: it has no array predictions`);
  return { predictions, steps: given?.data, seen, labels: unseenLabels?.data };
}

function seenOf({ seen, predictions, seenLabels, labels }: Arrays, path: string): DiagnoseOptions["seen"] {
  const of = seen ?? predictions;
  const answers = seenLabels ?? labels;
  if (!of && !answers) return undefined;
  if (!of || !answers)
    throw new UsageError(`${path}: predictions on seen tasks, seen, go with their labels, seenLabels`);
  return { predictions: of, labels: answers.data };
}

/** @param alone what an array without a name is */
async function readArrays(path: string, alone: keyof Arrays): Promise<Arrays> {
  try {
    const bytes = await readFile(path);
    if (isNpy(bytes)) return { [alone]: decodeNpy(bytes) };
    const { arrays, others } = isZip(bytes) ? decodeNpz(bytes, NAMES) : tensorsOf(bytes);
    if (arrays.size === 0) refuse("arrays", others.join(", ") || "none", `some of ${NAMES.join(", ")}`);
    return Object.fromEntries(arrays);
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
}

function tensorsOf(bytes: Uint8Array): { arrays: Map<string, NumberArray>; others: string[] } {
  const { tensors } = decodeSafetensors(bytes);
  const isKnown = (name: string) => (NAMES as readonly string[]).includes(name);
  const all = [...tensors];
  return {
    arrays: new Map(
      all
        .filter(([name]) => isKnown(name))
        .map(([name, { shape, data }]) => [name, { shape, data: floats(data) }]),
    ),
    others: all.map(([name]) => name).filter((name) => !isKnown(name)),
  };
}

const floats = (data: TensorData): NumberArray["data"] =>
  data instanceof Float32Array || data instanceof Float64Array
    ? data
    : Float64Array.from<number | bigint>(data, Number);
