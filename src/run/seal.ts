/**
 * Checksums. A file of a run, and each line of one that grows, holds near its beginning `"sha256":"..."`: the SHA-256 of
 * its bytes with zeros in the place of these 64 digits.
 */
import { createHash } from "node:crypto";
import { UNSEALED } from "./unsealed.ts";

/** The digits are within the first so many bytes. */
const HEAD = 512;
const DIGITS = /"sha256": ?"([0-9a-f]{64})"/;

/** Puts the checksum where `UNSEALED` is. */
export function seal(bytes: Buffer): Buffer {
  const place = placeOf(bytes);
  if (!place) throw new RangeError(`nothing to seal: no "sha256":"${UNSEALED}" within ${HEAD} bytes`);
  bytes.write(checksum(bytes, place.at), place.at, "latin1");
  return bytes;
}

/** Whether the bytes have the checksum that they hold; null if they hold none. */
export function isWhole(bytes: Buffer): boolean | null {
  const place = placeOf(bytes);
  return place && checksum(bytes, place.at) === place.digits;
}

function placeOf(bytes: Buffer): { at: number; digits: string } | null {
  const found = DIGITS.exec(bytes.toString("latin1", 0, HEAD));
  return found && { at: found.index + found[0].length - 65, digits: found[1] };
}

const checksum = (bytes: Buffer, at: number) =>
  createHash("sha256")
    .update(bytes.subarray(0, at))
    .update(UNSEALED)
    .update(bytes.subarray(at + UNSEALED.length))
    .digest("hex");
