/**
 * Reading and writing safetensors: 8 bytes of header length (u64), a JSON header padded with spaces to a
 * multiple of 8, then the tensors, little endian, row-major, without holes. PyTorch reads what this writes.
 */
import { requireTypedArray } from "./validate.ts";

const DTYPES = {
  F32: Float32Array,
  F64: Float64Array,
  I32: Int32Array,
  I64: BigInt64Array,
} as const;

/**
 * Types of 16 bits by the bits of their fraction; before it stand the sign and the exponent. They are only read, as
 * float32, which holds them exactly.
 */
const HALVES: Record<string, number> = { F16: 10, BF16: 7 };

type Dtype = keyof typeof DTYPES;
export type TensorData = Float32Array | Float64Array | Int32Array | BigInt64Array;

export interface Tensor {
  shape: readonly number[];
  data: TensorData;
}

/** What a safetensors file holds: free text by key, and tensors by name in the file's order. */
export interface Safetensors {
  metadata: Record<string, string>;
  tensors: Map<string, Tensor>;
}

interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

function dtypeOf(data: TensorData): Dtype {
  const found = (Object.keys(DTYPES) as Dtype[]).find((name) => data instanceof DTYPES[name]);
  if (!found) throw new TypeError(`no safetensors type for ${Object.prototype.toString.call(data)}`);
  return found;
}

const elements = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/**
 * The bytes of a safetensors file. Wider types come first, so that every tensor is aligned to its element.
 * @throws RangeError if a tensor's shape does not fit its data.
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const sorted = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const header: Record<string, unknown> = { __metadata__: { format: "pt", ...metadata } };
  let size = 0;
  for (const [name, { shape, data }] of sorted) {
    if (elements(shape) !== data.length)
      throw new RangeError(`tensor ${name}: shape [${shape}] does not hold ${data.length} elements`);
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [size, size + data.byteLength] };
    size += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerSize = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerSize + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerSize), true);
  bytes.fill(0x20, 8, 8 + headerSize);
  bytes.set(json, 8);
  let offset = 8 + headerSize;
  for (const [, { data }] of sorted) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return bytes;
}

/**
 * The tensors of a safetensors file, copied out of `bytes`; those of F16 and BF16 as float32.
 * @throws RangeError if the bytes are not a complete, well-formed file or use a type other than F32, F64, I32, I64, F16,
 *   BF16.
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  requireTypedArray("bytes", bytes, "Uint8Array");
  if (bytes.length < 8) bad(`${bytes.length} bytes, fewer than 8`);
  const headerSize = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = 8 + headerSize;
  if (start > bytes.length) bad(`header of ${headerSize} bytes in a file of ${bytes.length}`);
  const { __metadata__: metadata = {}, ...entries } = parseHeader(bytes.subarray(8, start));
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    bad("its metadata are not texts");

  const tensors = new Map<string, Tensor>();
  let end = 0;
  const byOffset = Object.entries(entries as Record<string, HeaderEntry>).sort(
    ([, a], [, b]) => (a?.data_offsets?.[0] ?? 0) - (b?.data_offsets?.[0] ?? 0),
  );
  for (const [name, entry] of byOffset) {
    const width =
      bytesPerElement(entry?.dtype) ?? bad(`tensor ${name} has type ${JSON.stringify(entry?.dtype)}`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0))
      bad(`tensor ${name} has shape ${JSON.stringify(shape)}`);
    if (offsets?.[0] !== end || offsets[1] !== end + elements(shape) * width)
      bad(`tensor ${name} at ${JSON.stringify(offsets)} does not fit shape [${shape}] after byte ${end}`);
    end = offsets[1];
    if (start + end > bytes.length) bad(`tensor ${name} ends after the file`);
    // Not slice(): a Buffer's slice is a view, at any offset, of a larger buffer.
    const copy = new Uint8Array(bytes.subarray(start + offsets[0], start + end));
    tensors.set(name, { shape, data: typed(dtype, copy.buffer) });
  }
  if (start + end !== bytes.length) bad(`${bytes.length - start - end} bytes after the last tensor`);
  return { metadata: metadata as Record<string, string>, tensors };
}

/** @throws RangeError naming the tensor, and the first of its values that is not finite */
export function requireFiniteTensor(name: string, data: TensorData): void {
  if (data instanceof BigInt64Array) return;
  const at = data.findIndex((x) => !Number.isFinite(x));
  if (at >= 0)
    throw new RangeError(`tensor ${name} has values that are not finite: ${data[at]} at index ${at}`);
}

function bad(what: string): never {
  throw new RangeError(`not a valid safetensors file: ${what}`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

function bytesPerElement(dtype: string): number | undefined {
  if (Object.hasOwn(HALVES, dtype)) return 2;
  return Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype as Dtype].BYTES_PER_ELEMENT : undefined;
}

function typed(dtype: string, buffer: ArrayBuffer): TensorData {
  if (Object.hasOwn(HALVES, dtype))
    return Float32Array.from(new Uint16Array(buffer), (bits) => fromHalf(bits, HALVES[dtype]));
  return new DTYPES[dtype as Dtype](buffer);
}

/** The value of a floating-point number of 16 bits, in the form of IEEE 754. */
function fromHalf(bits: number, fractionBits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const fraction = bits & (2 ** fractionBits - 1);
  const highest = 2 ** (15 - fractionBits) - 1;
  const exponent = (bits >> fractionBits) & highest;
  if (exponent === highest) return fraction === 0 ? sign * Infinity : NaN;
  // Subnormal numbers have no leading 1, and the exponent of the smallest normal ones.
  const leading = exponent === 0 ? 0 : 2 ** fractionBits;
  const bias = (highest - 1) / 2;
  return sign * (leading + fraction) * 2 ** (Math.max(1, exponent) - bias - fractionBits);
}

/** The value of a float16, by its bits. */
export const float16 = (bits: number) => fromHalf(bits, HALVES.F16);

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return bad("its header is not JSON");
  }
  return isObject(header) ? header : bad("its header is not an object");
}
