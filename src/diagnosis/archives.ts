/** Files of predictions of any program as bytes: .npy, .npz and .safetensors, told apart by how they begin. */
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

export type Arrays = Partial<Record<(typeof NAMES)[number], NumberArray>>;

/**
 * @param bytes of an array `predictions`, or of an archive that has one and may have `steps`, `seen` with `seenLabels`, and
 *   `unseenLabels`
 * @param seen in place of those of the archive
 * @throws RangeError saying what is wrong with them
 */
export function predictionsIn(bytes: Uint8Array, seen?: DiagnoseOptions["seen"]): PredictionArrays {
  const { predictions, steps, unseenLabels, ...own } = arraysIn(bytes, "predictions");
  if (!predictions) throw new RangeError("it has no array predictions");
  return { predictions, steps: steps?.data, seen: seen ?? seenOf(own), labels: unseenLabels?.data };
}

/** @throws RangeError for predictions without labels, or labels without predictions */
export function seenOf({ seen, predictions, seenLabels, labels }: Arrays): DiagnoseOptions["seen"] {
  const of = seen ?? predictions;
  const answers = seenLabels ?? labels;
  if (!of && !answers) return undefined;
  if (!of || !answers)
    throw new RangeError("predictions on seen tasks, seen, go with their labels, seenLabels");
  return { predictions: of, labels: answers.data };
}

/**
 * @param alone what an array without a name is
 * @throws RangeError saying what is wrong with the bytes
 */
export function arraysIn(bytes: Uint8Array, alone: keyof Arrays): Arrays {
  if (isNpy(bytes)) return { [alone]: decodeNpy(bytes) };
  const { arrays, others } = isZip(bytes) ? decodeNpz(bytes, NAMES) : tensorsOf(bytes);
  if (arrays.size === 0) refuse("arrays", others.join(", ") || "none", `some of ${NAMES.join(", ")}`);
  return Object.fromEntries(arrays);
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
