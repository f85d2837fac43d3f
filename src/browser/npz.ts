/** Arrays as an archive of NumPy, .npz: a zip file of .npy files. */
import { zipSync } from "fflate";

export interface NamedArray {
  shape: readonly number[];
  /** Row-major. */
  data: Float32Array | Int32Array;
}

export function encodeNpz(arrays: Readonly<Record<string, NamedArray>>): Uint8Array<ArrayBuffer> {
  return zipSync(
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${name}.npy`, encodeNpy(array)])),
  );
}

/** Version 1 of the format: magic, length of the header, a header padded so that the numbers begin at a multiple of 64. */
function encodeNpy({ shape, data }: NamedArray): Uint8Array {
  const type = data instanceof Int32Array ? "<i4" : "<f4";
  const tuple = `(${shape.map((n) => `${n},`).join(" ")})`;
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = 10;
  const length = Math.ceil((before + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length + data.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  view.setUint16(8, length - before, true);
  bytes.set(new TextEncoder().encode(`${header.padEnd(length - before - 1)}\n`), before);
  // The format's numbers are in the order that it names, the machine's in its own.
  data.forEach((value, i) => {
    if (data instanceof Int32Array) view.setInt32(length + 4 * i, value, true);
    else view.setFloat32(length + 4 * i, value, true);
  });
  return bytes;
}
