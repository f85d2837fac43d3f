/** Reading the checkpoints of a run directory. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ParameterInfo } from "../core/transformer.ts";
import { messageOf } from "../errors.ts";
import { decodeSafetensors } from "./safetensors.ts";

/** The checkpoints of one step: the members that have one, ascending. */
export interface CheckpointStep {
  step: number;
  members: number[];
}

/** The kept checkpoints by ascending step; none for a directory without checkpoints. */
export async function listCheckpoints(runDir: string): Promise<CheckpointStep[]> {
  const root = join(runDir, "checkpoints");
  const numbers = async (folder: string, pattern: RegExp) =>
    (await names(folder))
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  const steps = await numbers(root, /^step-(\d+)$/);
  const all = await Promise.all(
    steps.map(async (step) => ({
      step,
      members: await numbers(join(root, stepName(step)), /^member-(\d+)\.safetensors$/),
    })),
  );
  return all.filter(({ members }) => members.length > 0);
}

/**
 * One member's flat parameter vector.
 * @param table the parameters of the run's model
 * @throws Error if the file is missing, damaged or of another model
 */
export async function readCheckpoint(
  runDir: string,
  { step, member }: { step: number; member: number },
  table: readonly ParameterInfo[],
): Promise<Float32Array> {
  const path = join(runDir, "checkpoints", stepName(step), memberName(member));
  try {
    const { tensors } = decodeSafetensors(await readFile(path));
    const flat = new Float32Array(table.reduce((size, { length }) => size + length, 0));
    for (const { name, offset, length } of table) {
      const data = tensors.get(name)?.data;
      if (!(data instanceof Float32Array && data.length === length))
        throw new RangeError(`tensor ${name} of ${length} float32 values is missing or of another shape`);
      flat.set(data, offset);
    }
    return flat;
  } catch (error) {
    throw new Error(`cannot read the checkpoint ${path}: ${messageOf(error)}`);
  }
}

export const stepName = (step: number) => `step-${String(step).padStart(8, "0")}`;
export const memberName = (member: number) => `member-${String(member).padStart(2, "0")}.safetensors`;

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
