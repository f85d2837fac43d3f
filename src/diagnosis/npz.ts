/** Archives of NumPy, .npz: zip files of .npy arrays, compressed or not. */
import { unzipSync } from "fflate";
import { messageOf } from "../errors.ts";
import { decodeNpy, type NpyArray } from "./npy.ts";

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

const arrayName = (file: string) => file.replace(/\.npy$/, "");
