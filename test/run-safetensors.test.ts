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

  describe("with 16 bits", () => {
    const read = (dtype: string, ...bits: number[]) => {
      const header = { a: { dtype, shape: [bits.length], data_offsets: [0, 2 * bits.length] } };
      const data = new Uint8Array(Uint16Array.from(bits).buffer);
      return decodeSafetensors(file(JSON.stringify(header), data)).tensors.get("a")!.data;
    };

    it("reads F16 as float32, exactly", () => {
      const values = read(
        "F16",
        0x0000,
        0x8000,
        0x3c00,
        0xc000,
        0x3555,
        0x7bff,
        0x0400,
        0x03ff,
        0x0001,
        0x7c00,
        0xfc00,
      );
      expect(values).toEqual(
        Float32Array.of(
          0,
          -0,
          1,
          -2,
          0.333251953125,
          65504,
          2 ** -14,
          1023 * 2 ** -24,
          2 ** -24,
          Infinity,
          -Infinity,
        ),
      );
      expect(read("F16", 0x7e00)[0]).toBeNaN();
    });

    it("reads BF16 as float32, exactly: the upper half of its bits", () => {
      const bits = [0x0000, 0x8000, 0x3f80, 0xc000, 0x4049, 0x7f7f, 0x0080, 0x0001, 0x7f80, 0xff80];
      expect(new Uint32Array((read("BF16", ...bits) as Float32Array).buffer)).toEqual(
        Uint32Array.from(bits, (half) => half * 2 ** 16),
      );
      expect(read("BF16", 0x7fc0)[0]).toBeNaN();
    });

    it("agrees with an encoder for every number of either type", () => {
      const all = Array.from({ length: 2 ** 16 }, (_, bits) => bits);
      const bfloat = read("BF16", ...all);
      const half = read("F16", ...all);
      const view = new DataView(new ArrayBuffer(4));
      for (const bits of all) {
        view.setUint32(0, bits * 2 ** 16);
        expect(Object.is(bfloat[bits], view.getFloat32(0)) || Number.isNaN(bfloat[bits])).toBe(true);
        // The same fraction and sign with an exponent of 8 bits; 2^112 is the difference of the biases.
        view.setUint32(0, (bits >> 15) * 2 ** 31 + (bits & 0x7fff) * 2 ** 13);
        const scaled = view.getFloat32(0) * 2 ** 112;
        if ((bits & 0x7c00) !== 0x7c00) expect(Object.is(half[bits], Math.fround(scaled))).toBe(true);
      }
    });
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
    ["has an unknown type", file(entry({ dtype: "F8" }), four), /type "F8"/],
    ["has a negative shape", file(entry({ shape: [-1] }), four), /shape \[-1\]/],
    ["has offsets against its shape", file(entry({ shape: [2] }), four), /does not fit/],
    ["has a hole", file(entry({ data_offsets: [4, 8] }), new Uint8Array(8)), /does not fit/],
    ["is cut off", file(entry({}), new Uint8Array(3)), /after the file/],
    ["has bytes left over", file(entry({}), new Uint8Array(5)), /1 bytes after/],
    ["has null for a tensor", file('{"a":null}', four), /type undefined/],
    ["has offsets that are texts", file(entry({ data_offsets: [0, "4"] }), four), /does not fit/],
    ["has a type that objects have", file(entry({ dtype: "constructor" }), four), /type "constructor"/],
    ["has metadata of null", file('{"__metadata__":null}', new Uint8Array(0)), /metadata/],
    ["has metadata that are numbers", file('{"__metadata__":{"step":3}}', new Uint8Array(0)), /metadata/],
    ["has no offsets", file('{"a":{"dtype":"F32","shape":[1]}}', four), /does not fit/],
  ])("refuses a file that %s", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(RangeError);
    expect(() => decodeSafetensors(bytes)).toThrow(message);
  });
});
