/** Files of predictions of any program as bytes: .npy, .npz and .safetensors, told apart by how they begin. */
import { decodeSafetensors, type TensorData } from "../safetensors.ts";
import { refuse } from "../validate.ts";
import type { NumberArray } from "./arrays.ts";
import type { DiagnoseOptions, Labelled } from "./diagnose.ts";
import { decodeNpy, isNpy } from "./npy.ts";
import { decodeNpz, isZip } from "./npz.ts";

/** What `diagnose` takes of files. */
export type PredictionArrays = Pick<DiagnoseOptions, "predictions" | "steps" | "cycle" | "seen" | "labels">;

/** The arrays there may be in an archive; others are left alone. */
const NAMES = [
  "predictions",
  "steps",
  "cycle",
  "cycleLabels",
  "seen",
  "seenLabels",
  "unseenLabels",
  "labels",
] as const;

/** Predictions with labels, and what they are on. */
const LABELLED = { cycle: "prompts asked back", seen: "seen tasks" } as const;

export type LabelledName = keyof typeof LABELLED;

export type Arrays = Partial<Record<(typeof NAMES)[number], NumberArray>>;

/**
 * @param bytes of an array `predictions`, or of an archive that has one and may have `steps`, `cycle` with `cycleLabels`,
 *   `seen` with `seenLabels`, and `unseenLabels`
 * @param others in place of those of the archive
 * @throws RangeError saying what is wrong with them
 */
export function predictionsIn(
  bytes: Uint8Array,
  others: Partial<Record<LabelledName, Labelled>> = {},
): PredictionArrays {
  const { predictions, steps, unseenLabels, labels, ...own } = arraysIn(bytes, "predictions");
  if (!predictions) throw new RangeError("it has no array predictions");
  return {
    ...{ predictions, steps: steps?.data, labels: unseenLabels?.data },
    cycle: others.cycle ?? labelledIn(own, "cycle"),
    seen: others.seen ?? labelledIn(own, "seen"),
  };
}

/**
 * Those with the name, or else `predictions` and `labels`.
 * @throws RangeError for predictions without labels, or labels without predictions
 */
export function labelledIn(arrays: Arrays, name: LabelledName): Labelled | undefined {
  const predictions = arrays[name] ?? arrays.predictions;
  const labels = arrays[`${name}Labels`] ?? arrays.labels;
  if (!predictions && !labels) return undefined;
  if (!predictions || !labels)
    throw new RangeError(`predictions on ${LABELLED[name]}, ${name}, go with their labels, ${name}Labels`);
  return { predictions, labels: labels.data };
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
