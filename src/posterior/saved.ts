/** Reading parts of a saved posterior; what is missing is named. */
import type { Safetensors } from "../safetensors.ts";
import { refuse, requireObject } from "../validate.ts";

/** @throws RangeError unless it has metadata and tensors */
export function requireSaved(saved: Safetensors): void {
  requireObject("metadata of a saved posterior", requireObject("saved", saved).metadata);
  if (!(saved.tensors instanceof Map)) refuse("tensors of a saved posterior", saved.tensors, "a Map");
}

/** @throws RangeError if the key is missing */
export function metadataOf({ metadata }: Safetensors, key: string): string {
  const value = metadata[key];
  if (value === undefined) throw new RangeError(`saved posterior without metadata ${key}`);
  return value;
}

/** @throws RangeError if the key is missing or holds no JSON */
export function jsonOf(saved: Safetensors, key: string): unknown {
  const text = metadataOf(saved, key);
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError(`metadata ${key} of a saved posterior: got ${text}, must be JSON`);
  }
}

/** @throws RangeError if the float32 tensor is missing */
export function parametersOf({ tensors }: Safetensors, name: string): Float32Array {
  const data = tensors.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new RangeError(`saved posterior without float32 tensor ${name}`);
  return data;
}

/** The part of the tensors whose names start with `prefix`, without it. */
export function withPrefix({ metadata, tensors }: Safetensors, prefix: string): Safetensors {
  return {
    metadata,
    tensors: new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
    ),
  };
}
