/** Archives of NumPy, .npz: zip files of .npy arrays, compressed or not. */
import { strFromU8, unzipSync, zipSync } from "fflate";
import { messageOf } from "../errors.ts";
import { crc32 } from "./crc.ts";
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
    const sums = checksums(bytes);
    for (const [file, content] of Object.entries(files))
      if (sums.get(file) !== crc32OfZip(content))
        throw new RangeError(`${arrayName(file)}: its checksum is another one, it is damaged`);
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

const crc32OfZip = crc32(0xedb88320);

/** Of each file, as the directory at the end of the archive has it. @throws RangeError if a name is there twice */
function checksums(bytes: Uint8Array): Map<string, number> {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (data.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  const found = new Map<string, number>();
  let at = data.getUint32(end + 16, true);
  for (let count = data.getUint16(end + 10, true); count > 0; count--) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => data.getUint16(at + offset, true));
    const file = strFromU8(bytes.subarray(at + 46, at + 46 + name), !(data.getUint16(at + 8, true) & UTF8));
    if (found.has(file)) throw new RangeError(`${arrayName(file)} is there twice`);
    found.set(file, data.getUint32(at + 16, true));
    at += 46 + name + extra + comment;
  }
  return found;
}

const END_OF_DIRECTORY = 0x06054b50;
/** Of an entry's flags: its name is UTF-8. */
const UTF8 = 1 << 11;

/** A time for the archive's entries, so that equal arrays give equal bytes: the first there is in a zip file, here. */
const NO_TIME = new Date(1980, 0, 1);

/** @param arrays by name */
export function encodeNpz(arrays: Readonly<Record<string, WritableArray>>): Uint8Array<ArrayBuffer> {
  const files = Object.entries(arrays).map(([name, array]) => [`${name}.npy`, encodeNpy(array)]);
  return zipSync(Object.fromEntries(files), { mtime: NO_TIME });
}

const arrayName = (file: string) => file.replace(/\.npy$/, "");
