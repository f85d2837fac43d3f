/** Files of predictions of other programs, and what is said of those that are none. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { readPredictions } from "../src/diagnosis/files.ts";
import { decodeNpy } from "../src/diagnosis/npy.ts";
import { decodeNpz } from "../src/diagnosis/npz.ts";
import { UsageError } from "../src/errors.ts";
import { encodeSafetensors } from "../src/safetensors.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const numpy = (name: string) => join(import.meta.dirname, "fixtures/numpy", name);
const bytesOf = (name: string) => new Uint8Array(readFileSync(numpy(name)));
const exact = decodeNpy(bytesOf("float64.npy"));

/** As NumPy prints them, to six places. */
const PRINTED = [
  ...[0.395462, 0.593018, 0.01152, 0.00104, 0.252156, 0.746805, 0.158652, 0.177899, 0.663449],
  ...[0.648202, 0.35166, 0.000138, 0.66523, 0.021254, 0.313516, 0.195029, 0.723643, 0.081328],
  ...[0.167241, 0.812608, 0.020151, 0.069755, 0.531009, 0.399236],
];

const directory = temporaryDirectory();
let files = 0;
function saved(bytes: Uint8Array): string {
  const path = join(directory, String(files++));
  writeFileSync(path, bytes);
  return path;
}

/** An array of float32 zeros whose header says what it likes. */
function npy(header: string, values = 24, type = Float32Array): Uint8Array {
  const text = new TextEncoder().encode(`${header}\n`);
  const bytes = new Uint8Array(10 + text.length + values * type.BYTES_PER_ELEMENT);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(text, 10);
  return bytes;
}
const header = (shape: string, descr = "<f4", order = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }`;

describe("npy", () => {
  it("has the values that NumPy wrote", () => {
    expect(exact.shape).toEqual([2, 2, 2, 3]);
    exact.data.forEach((value, i) => {
      expect(value).toBeCloseTo(PRINTED[i], 6);
    });
  });

  it.each([
    ["float16.npy", 2 ** -11],
    ["fortran.npy", 2 ** -24],
    ["big-endian.npy", 2 ** -24],
  ])("%s: the same in another type and order", (name, rounding) => {
    const { shape, data } = decodeNpy(bytesOf(name));
    expect(shape).toEqual(exact.shape);
    data.forEach((value, i) => {
      expect(Math.abs(value - exact.data[i])).toBeLessThanOrEqual(rounding * exact.data[i]);
    });
  });

  it.each([
    ["another file", new TextEncoder().encode("step,loss\n1,2\n"), /it does not begin as one/],
    [
      "a header that is cut off",
      bytesOf("float64.npy").subarray(0, 60),
      /header of 118 bytes in a file of 60/,
    ],
    ["values that are cut off", bytesOf("float64.npy").subarray(0, 300), /172 bytes of values, .* takes 192/],
    [
      "a shape of more values",
      npy(header("2, 2, 2, 4")),
      /96 bytes of values, .*\(2,2,2,4\) of <f4 takes 128/,
    ],
    ["a huge shape", npy(header("9007199254740993, 9007199254740993")), /96 bytes of values/],
    ["Python objects", npy(header("24,", "|O")), /values of type \|O, must be float or integer/],
    ["complex numbers", npy(header("3,", "<c8")), /values of type <c8/],
    ["a header of another kind", npy("{'shape': 3}"), /its header is "\{'shape': 3\}"/],
    ["a negative shape", npy(header("-2, 2")), /its header is/],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => decodeNpy(bytes)).toThrow(message);
  });

  it("of any bytes is an array or a RangeError", () => {
    const original = bytesOf("fortran.npy");
    const damaged = fc
      .tuple(fc.nat(original.length), fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255))))
      .map(([length, changes]) => {
        const bytes = original.slice(0, length);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(damaged, (bytes) => {
        try {
          decodeNpy(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});

describe("npz", () => {
  it("gives the arrays that are asked for, compressed or not", () => {
    const { arrays, others } = decodeNpz(bytesOf("compressed.npz"), ["predictions", "steps"]);
    expect([...arrays.keys()]).toEqual(["predictions", "steps"]);
    expect(others).toEqual(["seen", "seenLabels", "unseenLabels", "other"]);
    expect(arrays.get("predictions")).toEqual(decodeNpy(bytesOf("float16.npy")));
    expect(Array.from(arrays.get("steps")!.data)).toEqual([0, 50]);
    const stored = decodeNpz(bytesOf("stored.npz"), ["predictions"]).arrays.get("predictions");
    expect(stored).toEqual(decodeNpy(bytesOf("fortran.npy")));
  });

  it.each(["compressed.npz", "stored.npz"])("%s cut off anywhere is refused", (name) => {
    const whole = bytesOf(name);
    for (let length = 2; length < whole.length; length += 7)
      expect(() => decodeNpz(whole.subarray(0, length), ["predictions", "steps"])).toThrow(RangeError);
  });

  it.each(["compressed.npz", "stored.npz"])("%s with a changed byte gives the same, or nothing", (name) => {
    const bytes = bytesOf(name);
    const whole = decodeNpz(bytes, ["predictions"]).arrays.get("predictions");
    const messages: string[] = [];
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = bytes.slice();
      changed[at] ^= 3;
      try {
        const { arrays } = decodeNpz(changed, ["predictions"]);
        if (arrays.has("predictions")) expect(arrays.get("predictions")).toEqual(whole);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        messages.push((error as Error).message);
      }
    }
    expect(messages.filter((message) => /checksum/.test(message)).length).toBeGreaterThan(10);
  });

  it("refuses two arrays of one name", () => {
    const archive = zipSync({ "predictions.npy": npy(header("24,")), "predictionx.npy": npy(header("24,")) });
    const text = Buffer.from(archive).toString("latin1").replaceAll("predictionx", "predictions");
    expect(() => decodeNpz(Buffer.from(text, "latin1"), ["predictions"])).toThrow(
      /predictions is there twice/,
    );
  });

  it("refuses an archive that says more than it can hold", () => {
    const archive = zipSync({ "predictions.npy": npy(header("24,")) });
    const view = new DataView(archive.buffer);
    const entry = archive.findLastIndex(
      (_, i) => i + 4 <= archive.length && view.getUint32(i, true) === 0x02014b50,
    );
    view.setUint32(entry + 24, 0xf0000000, true);
    expect(() => decodeNpz(archive, ["predictions"])).toThrow(
      /predictions of 4026531840 bytes in \d+ of \d+/,
    );
  });

  it("says which array of it is damaged", () => {
    const archive = zipSync({ "predictions.npy": npy(header("25,")) });
    expect(() => decodeNpz(archive, ["predictions"])).toThrow(/^predictions: not a valid npy array/);
  });
});

describe("files of predictions", () => {
  it("of all kinds give what diagnose takes", async () => {
    expect(await readPredictions(numpy("float64.npy"))).toMatchObject({ predictions: exact });
    const archive = await readPredictions(numpy("compressed.npz"));
    expect(Array.from(archive.steps!)).toEqual([0, 50]);
    expect(Array.from(archive.seen!.labels)).toEqual([0, 2]);
    expect(Array.from(archive.labels!)).toEqual([1, 2]);
    const tensors = saved(
      encodeSafetensors([
        ["predictions", exact],
        ["steps", { shape: [2], data: BigInt64Array.of(10n, 20n) }],
        ["weights", { shape: [1], data: Float32Array.of(1) }],
      ]),
    );
    expect(await readPredictions(tensors)).toEqual({ predictions: exact, steps: Float64Array.of(10, 20) });
  });

  it("may be one for seen tasks and one for the steps", async () => {
    const seen = zipSync({
      "predictions.npy": bytesOf("float64.npy"),
      "labels.npy": npy(header("2,", "<i4"), 2),
    });
    const read = await readPredictions(numpy("float16.npy"), {
      seen: saved(seen),
      cycle: saved(seen),
      steps: saved(npy(header("2,"), 2)),
    });
    const labelled = { predictions: exact, labels: Float64Array.of(0, 0) };
    expect(read).toMatchObject({ seen: labelled, cycle: labelled });
    expect(read.steps).toEqual(Float32Array.of(0, 0));
  });

  it.each([
    ["nothing", new Uint8Array(), /not a valid safetensors file: 0 bytes/],
    ["text", new TextEncoder().encode("predictions"), /not a valid safetensors file/],
    [
      "an archive of other arrays",
      zipSync({ "p.npy": bytesOf("float64.npy") }),
      /arrays: got p, must be some of/,
    ],
    [
      "an archive without predictions",
      zipSync({ "steps.npy": npy(header("24,")) }),
      /it has no array predictions/,
    ],
    [
      "seen tasks without their labels",
      zipSync({ "predictions.npy": bytesOf("float64.npy"), "seen.npy": bytesOf("float64.npy") }),
      /seen, go with their labels, seenLabels/,
    ],
    [
      "labels of prompts asked back without predictions",
      zipSync({ "predictions.npy": bytesOf("float64.npy"), "cycleLabels.npy": npy(header("2,", "<i4"), 2) }),
      /on prompts asked back, cycle, go with their labels, cycleLabels/,
    ],
  ])("of %s are refused by name", async (_, bytes, message) => {
    const path = saved(bytes);
    const reading = readPredictions(path);
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(path);
  });

  it("that are not there are refused", async () => {
    await expect(readPredictions(join(directory, "none.npz"))).rejects.toThrow(/none\.npz: ENOENT/);
  });
});
