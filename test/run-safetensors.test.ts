import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeSafetensors, encodeSafetensors, type Tensor } from "../src/safetensors.ts";

const header = (bytes: Uint8Array) => {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return { length, text: new TextDecoder().decode(bytes.subarray(8, 8 + length)) };
};

/** A file with a header of our choice, to break rules one at a time. */
function file(headerText: string, data: Uint8Array, length = headerText.length): Uint8Array {
  const bytes = new Uint8Array(8 + headerText.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(new TextEncoder().encode(headerText), 8);
  bytes.set(data, 8 + headerText.length);
  return bytes;
}

describe("safetensors", () => {
  it("writes the documented layout byte for byte", () => {
    const bytes = encodeSafetensors([["a", { shape: [2], data: new Float32Array([1, -2]) }]]);
    const { length, text } = header(bytes);
    expect(length % 8).toBe(0);
    expect(text.trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    );
    expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  it("returns what was written, every type, odd sizes and empty tensors included", () => {
    const float = fc.array(fc.float(), { maxLength: 5 });
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((k) => k !== "__metadata__" && k !== "__proto__"),
          float,
        ),
        fc.array(fc.double(), { maxLength: 3 }),
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 3 }),
        (floats, doubles, integers) => {
          const written = new Map<string, Tensor>(
            Object.entries(floats).map(([k, v]) => [
              `f/${k}`,
              { shape: [1, v.length], data: new Float32Array(v) },
            ]),
          );
          written.set("d", { shape: [doubles.length], data: new Float64Array(doubles) });
          written.set("i", { shape: [integers.length], data: new BigInt64Array(integers) });
          written.set("scalar", { shape: [], data: new Int32Array([7]) });
          const read = decodeSafetensors(encodeSafetensors(written, { note: "é" }));
          expect(read.metadata).toEqual({ format: "pt", note: "é" });
          expect(new Map([...read.tensors].sort())).toEqual(new Map([...written].sort()));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("aligns every tensor to its element", () => {
    const bytes = encodeSafetensors([
      ["f", { shape: [1], data: new Float32Array([1]) }],
      ["d", { shape: [1], data: new Float64Array([1]) }],
    ]);
    const { d, f } = JSON.parse(header(bytes).text);
    expect([d.data_offsets, f.data_offsets]).toEqual([
      [0, 8],
      [8, 12],
    ]);
  });

  it("reads a view at an odd offset of a larger buffer", () => {
    const bytes = encodeSafetensors([["a", { shape: [1], data: new Float64Array([Math.PI]) }]]);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(decodeSafetensors(shifted.subarray(3)).tensors.get("a")?.data[0]).toBe(Math.PI);
  });

  it("reads a Buffer, whose slices are views", () => {
    const bytes = encodeSafetensors([["a", { shape: [1], data: new Float32Array([2]) }]]);
    const data = decodeSafetensors(Buffer.from(bytes)).tensors.get("a")?.data;
    expect(data).toEqual(new Float32Array([2]));
    expect(data?.buffer.byteLength).toBe(4);
  });

  it("refuses to write a shape that does not fit", () => {
    expect(() => encodeSafetensors([["a", { shape: [3], data: new Float32Array(2) }]])).toThrow(
      /tensor a.*\[3\].*2/,
    );
  });

  const entry = (o: object) =>
    JSON.stringify({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4], ...o } });
  const four = new Uint8Array(4);
  it.each<[string, Uint8Array, RegExp]>([
    ["is empty", new Uint8Array(0), /fewer than 8/],
    ["has a header longer than the file", file("{}", four, 1000), /header of 1000/],
    ["has a huge header length", new Uint8Array(8).fill(255), /header of/],
    ["has no JSON header", file("nonsense", four), /not JSON/],
    ["has a list for a header", file("[]", new Uint8Array(0)), /not an object/],
    ["has an unknown type", file(entry({ dtype: "F8" }), four), /type F8/],
    ["has a negative shape", file(entry({ shape: [-1] }), four), /shape \[-1\]/],
    ["has offsets against its shape", file(entry({ shape: [2] }), four), /does not fit/],
    ["has a hole", file(entry({ data_offsets: [4, 8] }), new Uint8Array(8)), /does not fit/],
    ["is cut off", file(entry({}), new Uint8Array(3)), /after the file/],
    ["has bytes left over", file(entry({}), new Uint8Array(5)), /1 bytes after/],
    ["has null for a tensor", file('{"a":null}', four), /type undefined/],
    ["has no offsets", file('{"a":{"dtype":"F32","shape":[1]}}', four), /does not fit/],
  ])("refuses a file that %s", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(RangeError);
    expect(() => decodeSafetensors(bytes)).toThrow(message);
  });
});
