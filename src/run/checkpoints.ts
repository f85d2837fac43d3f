/** The checkpoints of a run directory: their contents, and which there are. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { ParameterInfo } from "../core/layout.ts";
import { requireFiniteTensor, type Safetensors, type Tensor } from "../safetensors.ts";
import type { IvonCurvature } from "../training/ivon.ts";
import { FileFault, MissingFileError, named } from "./errors.ts";
import {
  CHECKPOINT_NAMES,
  type CheckpointKey,
  checkpointFile,
  checkpointFolder,
  initialFile,
  ivonFile,
  modelFile,
} from "./files.ts";
import type { RunIdentity } from "./identity.ts";
import { openObject } from "./json.ts";
import { readTensors, sealedTensors } from "./tensors.ts";

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

/** The parameters of one member under their names. @param run the identity of the run it belongs to */
export function encodeCheckpoint(
  { step, member }: CheckpointKey,
  parameters: Float32Array,
  table: readonly ParameterInfo[],
  run: string,
): Uint8Array {
  return sealedTensors(namedTensors(parameters, table), { run, step: String(step), member: String(member) });
}

/** What the checkpoint of an IVON member needs to be a posterior: h under the parameters' names, lambda and delta. */
export function encodeIvonCurvature(
  { step, member }: CheckpointKey,
  { hessian, effectiveSampleSize, weightDecay }: IvonCurvature,
  table: readonly ParameterInfo[],
  run: string,
): Uint8Array {
  const metadata = {
    ...{ run, step: String(step), member: String(member) },
    ...{ effectiveSampleSize: String(effectiveSampleSize), weightDecay: String(weightDecay) },
  };
  return sealedTensors(namedTensors(hessian, table), metadata);
}

/**
 * One member's flat parameter vector; the mean of the posterior if it is an IVON member.
 * @param table the parameters of the run's model
 * @throws FileFault if the file is missing, damaged, or of another model, run, step or member
 */
export function readCheckpoint(
  runDir: string,
  key: CheckpointKey,
  table: readonly ParameterInfo[],
  identity: RunIdentity | null,
): Promise<Float32Array> {
  const { step, member } = key;
  const place = { directory: runDir, file: checkpointFile(key) };
  return readTensors(place, identity, { step, member }, (saved) => parametersOf(saved, table));
}

/**
 * The flat parameter vector of a file, of any run or of another program.
 * @throws FileFault as `readCheckpoint`, and for one that is not where a run has it
 */
export function readParameters(path: string, table: readonly ParameterInfo[]): Promise<Float32Array> {
  const place = { directory: dirname(path), file: basename(path) };
  return readTensors(place, null, keyAt(path), (saved) => parametersOf(saved, table));
}

/** Whose checkpoint a run has at this place: nobody's in a folder that is not called as that of a step. */
function keyAt(path: string): Record<string, number> {
  const [step, member] = [
    CHECKPOINT_NAMES.step.exec(basename(dirname(resolve(path)))),
    CHECKPOINT_NAMES.member.exec(basename(path)),
  ];
  return step && member ? { step: Number(step[1]), member: Number(member[1]) } : {};
}

/** What a member began with, as the run has kept it. @throws FileFault as `readCheckpoint` */
export function readInitialCopy(
  directory: string,
  member: number,
  table: readonly ParameterInfo[],
  identity: RunIdentity | null,
): Promise<Float32Array> {
  const place = { directory, file: initialFile(member) };
  return readTensors(place, identity, { member }, (saved) => parametersOf(saved, table));
}

/**
 * What makes an IVON member's checkpoint a posterior.
 * @throws FileFault as `readCheckpoint`
 */
export function readIvonCurvature(
  runDir: string,
  key: CheckpointKey,
  table: readonly ParameterInfo[],
  identity: RunIdentity | null,
): Promise<IvonCurvature> {
  const { step, member } = key;
  const place = { directory: runDir, file: ivonFile(key) };
  return readTensors(place, identity, { step, member }, (saved) => {
    const number = (name: string) => {
      const value = Number(saved.metadata[name]);
      if (!(value > 0 && value < Infinity)) throw new RangeError(`metadata ${name} is no number above 0`);
      return value;
    };
    const weightDecay = number("weightDecay");
    const hessian = parametersOf(saved, table);
    for (const { name, offset, length } of table) {
      const at = hessian.subarray(offset, offset + length).findIndex((h) => !(h + weightDecay > 0));
      if (at >= 0)
        throw new RangeError(
          `tensor ${name}: got h = ${hessian[offset + at]} at index ${at}, must be above -weightDecay = ${-weightDecay}`,
        );
    }
    return { hessian, effectiveSampleSize: number("effectiveSampleSize"), weightDecay };
  });
}

/** @throws FileFault if the configuration beside the checkpoints of a step is missing, damaged, or another run's */
export async function requireModelFile(
  directory: string,
  step: number,
  identity: RunIdentity | null,
): Promise<void> {
  const place = { directory, file: modelFile(step) };
  const path = join(directory, place.file);
  const text = await readFile(path, "utf8")
    .catch(named(path))
    .catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ENOENT" ? new MissingFileError(place) : error;
    });
  const { step: found } = openObject(text, place, identity);
  if (found !== step) throw new FileFault(place, `is of step ${found}, not of step ${step}`);
}

/** A flat vector as tensors with the names and shapes of the parameters. */
function namedTensors(flat: Float32Array, table: readonly ParameterInfo[]): [string, Tensor][] {
  return table.map(({ name, shape, offset, length }) => [
    name,
    { shape, data: flat.subarray(offset, offset + length) },
  ]);
}

/** @throws RangeError as `flatOf`, and naming a tensor that is not finite */
function parametersOf(saved: Safetensors, table: readonly ParameterInfo[]): Float32Array {
  const flat = flatOf(saved, table);
  for (const { name, offset, length } of table)
    requireFiniteTensor(name, flat.subarray(offset, offset + length));
  return flat;
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

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
