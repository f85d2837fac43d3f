/** The core's counter-based generator, both builds: known answers, uniformity, normality, independence of keys. */
import { describe, expect, it } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateCore } from "../src/core/instance.ts";
import type { MathMode } from "../src/core/module.ts";
import { philox4x32 } from "./reference/philox.ts";

const builds: MathMode[] = ["strict", "fast"];

/** Known answers of the authors' Random123 library: counter, key, output. */
const known = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const;

async function generator(math: MathMode) {
  const core = instantiateCore(await loadCoreModule(math));
  const at = (core.heapBase() + 63) & ~63;
  core.grow(at + 64);
  const words = new Uint32Array(core.memory.buffer, at, 16);
  const floats = new Float32Array(core.memory.buffer, at, 16);
  /** Four counters from c0 on, word-major: word w of counter c0 + l is at 4 w + l. */
  const blocks = (counter: readonly number[], key: readonly number[]) => {
    const [c0, c1, c2, c3] = counter;
    core.philox(at, c0, c1, c2, c3, key[0], key[1]);
    return Array.from(words);
  };
  const normals = (count: number, key: readonly number[], counter: readonly number[] = [0, 0, 0]) => {
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 16) {
      blocks([i / 4, ...counter], key);
      core.normals16(at);
      out.set(floats.subarray(0, Math.min(16, count - i)), i);
    }
    return out;
  };
  return { blocks, normals };
}

const mean = (x: ArrayLike<number>, f: (x: number) => number = (y) => y) =>
  Array.from(x).reduce((sum, xi) => sum + f(xi), 0) / x.length;

describe.each(builds)("the %s build", (math) => {
  it("gives Philox4x32-10's known answers", async () => {
    const { blocks } = await generator(math);
    for (const [counter, key, output] of known) {
      expect(philox4x32(counter, key)).toEqual(output);
      const words = blocks(counter, key);
      expect([0, 4, 8, 12].map((i) => words[i])).toEqual(output);
    }
  });

  it("equals the big-integer twin in all lanes", async () => {
    const { blocks } = await generator(math);
    for (let i = 0; i < 50; i++) {
      const counter = philox4x32([i, 1, 2, 3], [4, 5]);
      const key = philox4x32([i, 6, 7, 8], [9, 10]).slice(0, 2);
      const words = blocks(counter, key);
      for (let lane = 0; lane < 4; lane++) {
        const c0 = (counter[0] + lane) % 2 ** 32;
        expect([0, 1, 2, 3].map((w) => words[4 * w + lane])).toEqual(
          philox4x32([c0, ...counter.slice(1)], key),
        );
      }
    }
  });

  it("bytes of the words are uniform", async () => {
    const { blocks } = await generator(math);
    const counts = new Float64Array(256);
    const draws = 4096;
    for (let i = 0; i < draws; i++) {
      for (const word of blocks([4 * i, 0, 0, 0], [1, 2])) {
        for (const shift of [0, 8, 16, 24]) counts[(word >>> shift) & 255]++;
      }
    }
    const expected = (draws * 64) / 256;
    const chiSquare = counts.reduce((sum, c) => sum + (c - expected) ** 2 / expected, 0);
    // 255 degrees of freedom: mean 255, standard deviation sqrt(510); five of them either way.
    expect(Math.abs(chiSquare - 255)).toBeLessThan(5 * Math.sqrt(510));
  });

  it("normals have the moments, the tails and the independence of standard normals", async () => {
    const { normals } = await generator(math);
    const n = 200_000;
    const x = normals(n, [3, 4]);
    const five = (variance: number) => 5 * Math.sqrt(variance / n);
    // Var of x, x^2, x^3, x^4 are 1, 2, 15, 96.
    expect(Math.abs(mean(x))).toBeLessThan(five(1));
    expect(Math.abs(mean(x, (v) => v * v) - 1)).toBeLessThan(five(2));
    expect(Math.abs(mean(x, (v) => v ** 3))).toBeLessThan(five(15));
    expect(Math.abs(mean(x, (v) => v ** 4) - 3)).toBeLessThan(five(96));
    for (const [limit, probability] of [
      [1, 0.31731],
      [2, 0.0455],
      [3, 0.0027],
    ]) {
      const tail = mean(x, (v) => (Math.abs(v) > limit ? 1 : 0));
      expect(Math.abs(tail - probability)).toBeLessThan(five(probability));
    }
    const others: [string, Float32Array][] = [
      ["next element", Float32Array.of(...x.slice(1, 50_001))],
      ["other seed", normals(50_000, [5, 4])],
      ["other stream", normals(50_000, [3, 5])],
      ["other c1", normals(50_000, [3, 4], [1, 0, 0])],
      ["other c3", normals(50_000, [3, 4], [0, 0, 1])],
    ];
    for (const [name, y] of others) {
      const correlation = mean(y.map((v, i) => v * x[i]));
      expect(Math.abs(correlation), name).toBeLessThan(5 / Math.sqrt(y.length));
    }
  });
});

it("both builds draw the same bytes", async () => {
  const [strict, fast] = await Promise.all(builds.map(generator));
  expect(fast.normals(1000, [1, 2])).toEqual(strict.normals(1000, [1, 2]));
});
