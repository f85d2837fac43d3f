/** The checkpoints of a run directory: their contents, and which there are. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ParameterInfo } from "../core/layout.ts";
import { messageOf } from "../errors.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensors, type Tensor } from "../safetensors.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { CHECKPOINT_NAMES, type CheckpointKey, checkpointFile, checkpointFolder, ivonFile } from "./files.ts";

/** The checkpoints of one step: the members that have one, ascending. */
export interface CheckpointStep {
  step: number;
  members: number[];
  /** Those of an IVON run whose posterior's curvature is kept beside the mean. */
  withCurvature: number[];
}

/** The kept checkpoints by ascending step; none for a directory without checkpoints. */
export async function listCheckpoints(runDir: string): Promise<CheckpointStep[]> {
  const numbers = async (folder: string, pattern: RegExp) =>
    (await names(join(runDir, folder)))
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  const steps = await numbers("checkpoints", CHECKPOINT_NAMES.step);
  const all = await Promise.all(
    steps.map(async (step) => ({
      step,
      members: await numbers(checkpointFolder(step), CHECKPOINT_NAMES.member),
      withCurvature: await numbers(checkpointFolder(step), CHECKPOINT_NAMES.ivon),
    })),
  );
  return all.filter(({ members }) => members.length > 0);
}

/** The parameters of one member under their names. */
export function encodeCheckpoint(
  { step, member }: CheckpointKey,
  parameters: Float32Array,
  table: readonly ParameterInfo[],
): Uint8Array {
  return encodeSafetensors(namedTensors(parameters, table), { step: String(step), member: String(member) });
}

/** What the checkpoint of an IVON member needs to be a posterior: h under the parameters' names, lambda and delta. */
export function encodeIvonCurvature(
  { step, member }: CheckpointKey,
  { hessian, effectiveSampleSize, weightDecay }: IvonCurvature,
  table: readonly ParameterInfo[],
): Uint8Array {
  const metadata = {
    ...{ step: String(step), member: String(member) },
    ...{ effectiveSampleSize: String(effectiveSampleSize), weightDecay: String(weightDecay) },
  };
  return encodeSafetensors(namedTensors(hessian, table), metadata);
}

/**
 * One member's flat parameter vector; the mean of the posterior if it is an IVON member.
 * @param table the parameters of the run's model
 * @throws Error if the file is missing, damaged or of another model
 */
export function readCheckpoint(
  runDir: string,
  key: CheckpointKey,
  table: readonly ParameterInfo[],
): Promise<Float32Array> {
  return readParameters(join(runDir, checkpointFile(key)), table);
}

/** The flat parameter vector of a file, as `readCheckpoint`. */
export function readParameters(path: string, table: readonly ParameterInfo[]): Promise<Float32Array> {
  return readNamed(path, (saved) => flatOf(saved, table));
}

/**
 * What makes an IVON member's checkpoint a posterior.
 * @throws Error if the file is missing, damaged or of another model
 */
export function readIvonCurvature(
  runDir: string,
  key: CheckpointKey,
  table: readonly ParameterInfo[],
): Promise<IvonCurvature> {
  return readNamed(join(runDir, ivonFile(key)), (saved) => {
    const number = (name: string) => {
      const value = Number(saved.metadata[name]);
      if (!(value > 0 && value < Infinity)) throw new RangeError(`metadata ${name} is no number above 0`);
      return value;
    };
    return {
      hessian: flatOf(saved, table),
      effectiveSampleSize: number("effectiveSampleSize"),
      weightDecay: number("weightDecay"),
    };
  });
}

/** A flat vector as tensors with the names and shapes of the parameters. */
function namedTensors(flat: Float32Array, table: readonly ParameterInfo[]): [string, Tensor][] {
  return table.map(({ name, shape, offset, length }) => [
    name,
    { shape, data: flat.subarray(offset, offset + length) },
  ]);
}

/** @throws RangeError naming a tensor that is missing, of another shape, or not of the model */
function flatOf({ tensors }: Safetensors, table: readonly ParameterInfo[]): Float32Array {
  const known = new Set(table.map(({ name }) => name));
  for (const name of tensors.keys())
    if (!known.has(name)) throw new RangeError(`tensor ${name} is none of this model`);
  const flat = new Float32Array(table.reduce((size, { length }) => size + length, 0));
  for (const { name, shape, offset } of table) {
    const found = tensors.get(name);
    if (!(found?.data instanceof Float32Array))
      throw new RangeError(`tensor ${name} of shape [${shape}] is missing or not of float32 values`);
    // Not only as many values: a transposed matrix has those too.
    if (found.shape.join() !== shape.join())
      throw new RangeError(`tensor ${name}: got shape [${found.shape}], must be [${shape}]`);
    flat.set(found.data, offset);
  }
  return flat;
}

async function readNamed<T>(path: string, use: (saved: Safetensors) => T): Promise<T> {
  try {
    return use(decodeSafetensors(await readFile(path)));
  } catch (error) {
    throw new Error(`cannot read the checkpoint ${path}: ${messageOf(error)}`);
  }
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
