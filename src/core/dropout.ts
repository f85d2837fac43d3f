/** Dropout masks are functions of a key: nothing is stored, and any pass can repeat those of another. */
import { requireWord } from "../validate.ts";

/**
 * Which dropout masks a pass uses. The mask of one element is a function of this key, its layer, its sequence's place in
 * the batch, its time and its column: the same key gives the same masks, whatever the micro-batches or positions.
 */
export interface DropoutKey {
  /** Whole numbers from 0 to 2^32 - 1. */
  seed: number;
  /** What the masks are for, for instance the ensemble member. */
  stream: number;
  /** Training step, or number of the sample. */
  step: number;
}

/** @throws RangeError for a field that is no unsigned integer of 32 bits */
export function requireDropoutKey(key: DropoutKey): void {
  for (const field of ["seed", "stream", "step"] as const) requireWord(`dropout.${field}`, key[field]);
}
