/** Safetensors files of a run: sealed, and saying in their metadata whose they are. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensors, type Tensor } from "../safetensors.ts";
import { FileFault, type FilePlace, MissingFileError, named } from "./errors.ts";
import { type RunIdentity, requireRun, requireWhole } from "./identity.ts";
import { seal } from "./seal.ts";
import { UNSEALED } from "./unsealed.ts";

/** @param metadata with the run, and what else says which file of it this is */
export function sealedTensors(
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: { run: string } & Record<string, string>,
): Uint8Array {
  const { buffer } = encodeSafetensors(tensors, { sha256: UNSEALED, ...metadata });
  return seal(Buffer.from(buffer));
}

/**
 * @param expected metadata that the file has to have, where it says anything about it
 * @param use what a RangeError of is a fault of the file
 * @throws FileFault if it is missing, damaged, or not what it should be
 */
export async function readTensors<T>(
  place: FilePlace,
  identity: RunIdentity | null,
  expected: Record<string, number>,
  use: (saved: Safetensors) => T,
): Promise<T> {
  const path = join(place.directory, place.file);
  const bytes = await readFile(path)
    .catch(named(path))
    .catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ENOENT" ? new MissingFileError(place) : error;
    });
  const saved = fault(place, "damaged, ", () => decodeSafetensors(bytes));
  requireWhole(bytes, place, identity);
  requireRun(saved.metadata.run, place, identity);
  for (const [key, value] of Object.entries(expected)) {
    const found = saved.metadata[key];
    if (found !== undefined && found !== String(value))
      throw new FileFault(place, `is of ${key} ${found}, not of ${key} ${value}`);
  }
  return fault(place, "", () => use(saved));
}

/** What a RangeError, or metadata that are no JSON, say of the file. */
function fault<T>(place: FilePlace, prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof RangeError || error instanceof SyntaxError
      ? new FileFault(place, `${prefix}${messageOf(error)}`)
      : error;
  }
}
