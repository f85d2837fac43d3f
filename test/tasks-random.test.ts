import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, it } from "vitest";
import {
  generatorOf,
  IVON_SAMPLES,
  MASK_STREAMS,
  normals,
  type Purpose,
  RUN_PURPOSES,
  sampleWithoutReplacement,
  stream,
  THEORY_PURPOSES,
  uniform,
  uniformInt,
} from "../src/random.ts";

/** Pearson's statistic against equal expected counts, in standard deviations above its mean. */
function chiSquareExcess(counts: number[]): number {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length;
  const statistic = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  const df = counts.length - 1;
  return (statistic - df) / Math.sqrt(2 * df);
}

const firstWords = (seed: number, member: number, purpose: Purpose, step: number) => {
  const rng = stream(seed, member, purpose, step);
  return [rng.next(), rng.next(), rng.next(), rng.next()].join();
};

function popCount(word: number): number {
  let bits = 0;
  for (let w = word >>> 0; w; w &= w - 1) bits++;
  return bits;
}

describe("stream", () => {
  it("is a function of its keys", () => {
    expect(firstWords(1, 2, "data", 3)).toBe(firstWords(1, 2, "data", 3));
  });

  it("pins the streams: recorded runs depend on them", () => {
    const rng = stream(1, 2, "data", 3);
    expect([rng.next(), rng.next(), rng.next()]).toEqual([2086972108, -873848426, 858483007]);
  });

  it("differs for different keys, also beyond 32 bits of step", () => {
    const seen = new Set<string>();
    const purposes: Purpose[] = ["probe", "data", "dropout", "evaluation", "learningCoefficient"];
    let count = 0;
    for (const seed of [0, 1, 2, 0xffffffff]) {
      for (const member of [0, 1, 2, 63]) {
        for (const purpose of purposes) {
          for (const step of [0, 1, 2, 1000, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
            seen.add(firstWords(seed, member, purpose, step));
            count++;
          }
        }
      }
    }
    expect(seen.size).toBe(count);
  });

  it("flips half of the state bits for every flipped key bit", () => {
    const state = (seed: number, member: number, step: number) =>
      stream(seed, member, "data", step).getState();
    for (let key = 0; key < 3; key++) {
      for (let bit = 0; bit < 32; bit++) {
        let flips = 0;
        const samples = 64;
        for (let i = 0; i < samples; i++) {
          const keys: [number, number, number] = [i, 3 * i, 7 * i];
          const before = state(...keys);
          keys[key] = (keys[key] ^ (1 << bit)) >>> 0;
          const after = state(...keys);
          for (let w = 0; w < 4; w++) flips += popCount(before[w] ^ after[w]);
        }
        // 8192 fair coins: standard deviation 45.
        expect(Math.abs(flips - samples * 64)).toBeLessThan(6 * 45);
      }
    }
  });

  it("refuses keys outside their range, by name", () => {
    expect(() => stream(-1, 0, "data", 0)).toThrow(/seed.*-1/);
    expect(() => stream(2 ** 32, 0, "data", 0)).toThrow(/seed/);
    expect(() => stream(0, 1.5, "data", 0)).toThrow(/member.*1\.5/);
    expect(() => stream(0, 0, "data", Number.NaN)).toThrow(/counter of data.*NaN/);
    expect(() => stream(0, 0, "posteriorFit", 1_000_000)).toThrow(/counter of posteriorFit: got 1000000/);
  });
});

describe("purposes", () => {
  type Range = { first: number; count: number };
  /** Names of ranges of counters, in order, each of which ends before the next begins. */
  const disjoint = (ranges: Record<string, Range>) => {
    const sorted = Object.entries(ranges).sort(([, a], [, b]) => a.first - b.first);
    sorted.slice(1).forEach(([name, { first }], i) => {
      const [before, range] = sorted[i];
      expect(range.first + range.count, `${before} before ${name}`).toBeLessThanOrEqual(first);
    });
    return sorted.map(([name]) => name);
  };
  /** Key ranges by the third word. */
  const byNumber = (table: Record<string, { number: number; first?: number; count?: number }>) => {
    const numbers: Record<number, Record<string, Range>> = {};
    for (const [name, { number, first = 0, count = 2 ** 53 - first }] of Object.entries(table)) {
      numbers[number] ??= {};
      numbers[number][name] = { first, count };
    }
    return Object.fromEntries(Object.entries(numbers).map(([number, ranges]) => [number, disjoint(ranges)]));
  };

  it("have no key in common, whatever the member and the counter", () => {
    expect(byNumber(RUN_PURPOSES)).toEqual({
      1: ["taskSplit"],
      2: ["inputSplit"],
      3: ["probe"],
      4: ["init"],
      5: ["data"],
      6: ["dropout"],
      7: [
        ...["matrixFreeTrace", "matrixFreeDiagonal", "lowRankCurvature", "heldOutChoice"],
        ...["posteriorPredictions", "posteriorFit", "spectrum"],
      ],
      8: ["evaluation"],
      9: ["learningCoefficient"],
      10: ["promptPool"],
      11: ["poolOrder"],
      12: ["bootstrap"],
      13: ["answerTable"],
    });
    expect(byNumber(THEORY_PURPOSES)).toEqual({ 5: ["theoryInputs", "theorySystem", "theoryTeacher"] });
  });

  it("of what the core draws itself have no key in common either, within 32 bits", () => {
    expect(disjoint(MASK_STREAMS)).toEqual(["training", "memberPredictions", "posteriorPredictions"]);
    expect(disjoint(IVON_SAMPLES)).toEqual(["training", "memberPredictions"]);
    for (const { first, count } of [...Object.values(MASK_STREAMS), ...Object.values(IVON_SAMPLES)])
      expect(first + count).toBeLessThanOrEqual(2 ** 32);
  });

  it("keep the streams they have always had", () => {
    const state = (purpose: Purpose, counter?: number) => stream(3, 1, purpose, counter).getState();
    const words = (number: number, step: number) => generatorOf([3, 1, number, step, 0]).getState();
    expect(state("matrixFreeDiagonal")).toEqual(words(7, 1));
    expect(state("posteriorPredictions")).toEqual(words(7, 1_000_000));
    expect(state("posteriorFit", 2)).toEqual(words(7, 2_000_002));
    expect(state("spectrum", 500)).toEqual(words(7, 3_000_500));
    expect(state("theorySystem")).toEqual(words(5, 1));
  });

  it("the chains of a learning coefficient and the probes of a curvature are apart", () => {
    const probes = (
      ["matrixFreeTrace", "matrixFreeDiagonal", "lowRankCurvature", "heldOutChoice"] as const
    ).map((purpose) => stream(1, 0, purpose).getState().join());
    const chains = [0, 1, 2, 3, 4].map((c) => stream(1, 0, "learningCoefficient", c).getState().join());
    expect(new Set([...probes, ...chains]).size).toBe(9);
  });
});

describe("uniformInt", () => {
  it.each([1, 2, 3, 7, 23, 100, 841])("is uniform over %i values, also in pairs", (n) => {
    const rng = stream(5, 0, "data", n);
    const draws = 200 * Math.max(n, 50);
    const counts = new Array<number>(n).fill(0);
    const pairs = new Array<number>(n * n).fill(0);
    let last = 0;
    for (let i = 0; i < draws; i++) {
      const value = uniformInt(rng, n);
      counts[value]++;
      if (n <= 23) pairs[last * n + value]++;
      last = value;
    }
    expect(counts.reduce((a, b) => a + b)).toBe(draws);
    if (n > 1) expect(Math.abs(chiSquareExcess(counts))).toBeLessThan(5);
    if (n > 1 && n <= 23) expect(Math.abs(chiSquareExcess(pairs))).toBeLessThan(5);
  });

  it("is unbiased where a remainder would show: n = 3 2^30", () => {
    const n = 3 * 2 ** 30;
    const rng = stream(6, 0, "data", 0);
    const thirds = [0, 0, 0];
    for (let i = 0; i < 60000; i++) thirds[Math.floor(uniformInt(rng, n) / 2 ** 30)]++;
    expect(Math.abs(chiSquareExcess(thirds))).toBeLessThan(5);
  });

  it("covers all 2^32 values", () => {
    const words = [-1, 0, 5];
    const rng = { ...xoroshiro128plusFromState([1, 2, 3, 4]), next: () => words.shift() as number };
    expect([0, 0, 0].map(() => uniformInt(rng as never, 2 ** 32))).toEqual([2 ** 32 - 1, 0, 5]);
  });
});

describe("uniform and normals", () => {
  it("uniform has the mean and variance of [0, 1)", () => {
    const rng = stream(7, 0, "data", 0);
    const n = 100000;
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      const u = uniform(rng);
      expect(u >= 0 && u < 1).toBe(true);
      sum += u;
      squares += (u - 0.5) ** 2;
    }
    expect(Math.abs(sum / n - 0.5)).toBeLessThan(5 / Math.sqrt(12 * n));
    expect(Math.abs(squares / n - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
  });

  it("normals have moments 0, 1, 0, 3 and the right tail, odd lengths too", () => {
    const n = 200001;
    const out = new Float64Array(n);
    normals(stream(8, 0, "init", 0), out);
    const moment = (k: number) => out.reduce((sum, x) => sum + x ** k, 0) / n;
    expect(Math.abs(moment(1))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    const beyond2 = out.filter((x) => Math.abs(x) > 2).length / n;
    expect(Math.abs(beyond2 - 0.0455)).toBeLessThan(5 * Math.sqrt(0.0455 / n));
    const pairs = out.reduce((sum, x, i) => (i % 2 ? sum + x * out[i - 1] : sum), 0) / (n / 2);
    expect(Math.abs(pairs)).toBeLessThan(5 / Math.sqrt(n / 2));
  });

  it("normals are the polar method with an accurate logarithm", () => {
    const out = new Float64Array(5000);
    normals(stream(9, 0, "init", 0), out);
    const rng = stream(9, 0, "init", 0);
    for (let i = 0; i < out.length; i += 2) {
      let x: number;
      let y: number;
      do {
        x = (rng.next() + 0.5) / 2 ** 31;
        y = (rng.next() + 0.5) / 2 ** 31;
      } while (x * x + y * y >= 1);
      const r2 = x * x + y * y;
      const scale = Math.sqrt((-2 * Math.log(r2)) / r2);
      expect(Math.abs(out[i] - x * scale)).toBeLessThanOrEqual(4e-15 * Math.abs(x * scale));
      expect(Math.abs(out[i + 1] - y * scale)).toBeLessThanOrEqual(4e-15 * Math.abs(y * scale));
    }
  });
});

describe("sampleWithoutReplacement", () => {
  it("gives every order of all equally often", () => {
    const rng = stream(10, 0, "data", 0);
    const counts = new Map<string, number>();
    for (let i = 0; i < 24000; i++) {
      const values = sampleWithoutReplacement(rng, 4, 4);
      counts.set(values.join(), (counts.get(values.join()) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(Math.abs(chiSquareExcess([...counts.values()]))).toBeLessThan(5);
  });

  it("samples ordered selections uniformly and without repeats", () => {
    const rng = stream(11, 0, "data", 0);
    const counts = new Map<string, number>();
    for (let i = 0; i < 20000; i++) {
      const picked = sampleWithoutReplacement(rng, 5, 2);
      expect(picked[0]).not.toBe(picked[1]);
      counts.set(picked.join(), (counts.get(picked.join()) ?? 0) + 1);
    }
    expect(counts.size).toBe(20);
    expect(Math.abs(chiSquareExcess([...counts.values()]))).toBeLessThan(5);
    expect(Array.from(sampleWithoutReplacement(rng, 7, 7)).sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(() => sampleWithoutReplacement(rng, 5, 6)).toThrow(/count: got 6, must be .* 0 to 5/);
  });
});
