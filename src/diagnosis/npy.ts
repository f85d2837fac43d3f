/**
 * Arrays of NumPy, .npy: 6 bytes of magic, version, length of the header, a Python dictionary of type, order and shape,
 * then the values. Format: numpy.lib.format. (npm's numpy-parser reads no float16, no int64 and no Fortran order.)
 */
import { float16 } from "../safetensors.ts";

/** Values as float64 hold them exactly, but for int64 beyond 2^53. */
export interface NpyArray {
  shape: number[];
  data: Float32Array | Float64Array;
}

/** The reader of one value, and its bytes, by NumPy's name of the type without its byte order. */
const TYPES: Record<
  string,
  { bytes: number; read: (view: DataView, at: number, little: boolean) => number }
> = {
  f2: { bytes: 2, read: (view, at, little) => float16(view.getUint16(at, little)) },
  f4: { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  f8: { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
  i1: { bytes: 1, read: (view, at) => view.getInt8(at) },
  i2: { bytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  i4: { bytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  i8: { bytes: 8, read: (view, at, little) => Number(view.getBigInt64(at, little)) },
  u1: { bytes: 1, read: (view, at) => view.getUint8(at) },
  u2: { bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  u4: { bytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  u8: { bytes: 8, read: (view, at, little) => Number(view.getBigUint64(at, little)) },
};

const MAGIC = "\x93NUMPY";

export const isNpy = (bytes: Uint8Array) => latin1(bytes, 0, MAGIC.length) === MAGIC;

/** @throws RangeError saying what is wrong with it */
export function decodeNpy(bytes: Uint8Array): NpyArray {
  if (!isNpy(bytes)) bad("it does not begin as one");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[MAGIC.length];
  const begin = version === 1 ? 10 : 12;
  if (bytes.length < begin) bad(`${bytes.length} bytes`);
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const start = begin + headerLength;
  if (start > bytes.length) bad(`header of ${headerLength} bytes in a file of ${bytes.length}`);
  const { descr, fortran, shape } = parseHeader(latin1(bytes, begin, start));
  const type = Object.hasOwn(TYPES, descr.slice(1)) ? TYPES[descr.slice(1)] : null;
  if (!type || !"<>|=".includes(descr[0])) bad(`values of type ${descr}, must be float or integer`);
  const size = shape.reduce((product, n) => product * n, 1);
  if (!Number.isSafeInteger(size) || size * type.bytes !== bytes.length - start)
    bad(`${bytes.length - start} bytes of values, shape (${shape}) of ${descr} takes ${size * type.bytes}`);
  const little = descr[0] !== ">";
  const data = descr.endsWith("f2") || descr.endsWith("f4") ? new Float32Array(size) : new Float64Array(size);
  for (let i = 0; i < size; i++) data[i] = type.read(view, start + i * type.bytes, little);
  return { shape, data: fortran ? rowMajor(data, shape) : data };
}

export interface WritableArray {
  shape: readonly number[];
  /** Row-major. */
  data: Float32Array | Float64Array | Int32Array;
}

/** Version 1 of the format, with a header padded so that the values begin at a multiple of 64. */
export function encodeNpy({ shape, data }: WritableArray): Uint8Array {
  const tuple = `(${shape.map((n) => `${n},`).join(" ")})`;
  const header = `{'descr': '${typeName(data)}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const begin = MAGIC.length + 4;
  const start = Math.ceil((begin + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(start + data.byteLength);
  const view = new DataView(bytes.buffer);
  const text = `${MAGIC}\x01\x00  ${header.padEnd(start - begin - 1)}\n`;
  bytes.set(Array.from(text, (character) => character.charCodeAt(0)));
  view.setUint16(begin - 2, start - begin, true);
  // The format's numbers are in the order that it names, the machine's in its own.
  data.forEach((value, i) => {
    const at = start + i * data.BYTES_PER_ELEMENT;
    if (data instanceof Int32Array) view.setInt32(at, value, true);
    else if (data instanceof Float32Array) view.setFloat32(at, value, true);
    else view.setFloat64(at, value, true);
  });
  return bytes;
}

const typeName = (data: WritableArray["data"]) =>
  data instanceof Int32Array ? "<i4" : data instanceof Float32Array ? "<f4" : "<f8";

function parseHeader(text: string): { descr: string; fortran: boolean; shape: number[] } {
  const descr = /['"]descr['"]\s*:\s*['"]([^'"]*)['"]/.exec(text)?.[1];
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text)?.[1];
  const shape = /['"]shape['"]\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === undefined || order === undefined || shape === undefined)
    bad(`its header is ${JSON.stringify(text.slice(0, 100).trim())}`);
  const numbers = shape.split(",").filter((part) => part.trim() !== "");
  return { descr, fortran: order === "True", shape: numbers.map(Number) };
}

/** From the order in which the first index goes fastest to that in which the last does. */
function rowMajor(data: NpyArray["data"], shape: number[]): NpyArray["data"] {
  const result = data.slice();
  const index = shape.map(() => 0);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, n) => product * n, 1));
  let from = 0;
  for (let to = 0; to < data.length; to++) {
    result[to] = data[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

const latin1 = (bytes: Uint8Array, from: number, to: number) =>
  Array.from(bytes.subarray(from, to), (byte) => String.fromCharCode(byte)).join("");

function bad(what: string): never {
  throw new RangeError(`not a valid npy array: ${what}`);
}
