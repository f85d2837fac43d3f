/** Archives of NumPy, .npz: zip files of .npy arrays, compressed or not. */
import { unzipSync, zipSync } from "fflate";
import { messageOf } from "../errors.ts";
import { decodeNpy, encodeNpy, type NpyArray, type WritableArray } from "./npy.ts";

/** Of an archive; more are no predictions. */
const MOST_ARRAYS = 1000;
const MOST_BYTES = 2 ** 32;
/** Deflate makes nothing smaller than by this factor. */
const LARGEST_RATIO = 1032;

export const isZip = (bytes: Uint8Array) => bytes[0] === 0x50 && bytes[1] === 0x4b;

/**
 * The arrays with these names that an archive has.
 * @throws RangeError saying what is wrong with it
 */
export function decodeNpz(
  bytes: Uint8Array,
  names: readonly string[],
): { arrays: Map<string, NpyArray>; others: string[] } {
  const others: string[] = [];
  let count = 0;
  const wanted = (file: { name: string; size: number; originalSize: number }) => {
    if (++count > MOST_ARRAYS) throw new RangeError(`it has more than ${MOST_ARRAYS} arrays`);
    const name = arrayName(file.name);
    if (!names.includes(name)) {
      others.push(name);
      return false;
    }
    const { size, originalSize } = file;
    if (size > bytes.length || originalSize > MOST_BYTES || originalSize > LARGEST_RATIO * size)
      throw new RangeError(`${name} of ${originalSize} bytes in ${size} of ${bytes.length}`);
    return true;
  };
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(bytes, { filter: wanted });
  } catch (error) {
    throw new RangeError(`not a valid npz archive: ${messageOf(error)}`);
  }
  const arrays = Object.entries(files).map(([file, content]): [string, NpyArray] => {
    try {
      return [arrayName(file), decodeNpy(content)];
    } catch (error) {
      throw new RangeError(`${arrayName(file)}: ${messageOf(error)}`);
    }
  });
  return { arrays: new Map(arrays), others };
}

/** A time for the archive's entries, so that equal arrays give equal bytes: the first there is in a zip file, here. */
const NO_TIME = new Date(1980, 0, 1);

/** @param arrays by name */
export function encodeNpz(arrays: Readonly<Record<string, WritableArray>>): Uint8Array<ArrayBuffer> {
  const files = Object.entries(arrays).map(([name, array]) => [`${name}.npy`, encodeNpy(array)]);
  return zipSync(Object.fromEntries(files), { mtime: NO_TIME });
}

const arrayName = (file: string) => file.replace(/\.npy$/, "");
