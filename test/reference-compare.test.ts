import { describe, expect, it } from "vitest";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { Random } from "./reference/random.ts";

describe("maxRelativeError", () => {
  it("measures against the largest magnitude of the reference", () => {
    expect(maxRelativeError(Float32Array.of(1.5, -4), Float64Array.of(1, -4))).toBe(0.125);
    expect(maxRelativeError(new Float32Array(2), new Float64Array(2))).toBe(0);
    expect(maxRelativeError(Float32Array.of(1), Float64Array.of(0))).toBe(Number.POSITIVE_INFINITY);
  });

  it("never hides a NaN or a missing element", () => {
    expect(maxRelativeError(Float32Array.of(Number.NaN, 1), Float64Array.of(1, 1))).toBeNaN();
    expect(maxRelativeError(Float32Array.of(1, 1), Float64Array.of(1, Number.NaN))).toBeNaN();
    expect(() => maxRelativeError(new Float32Array(1), new Float64Array(2))).toThrow(/length 1/);
  });
});

describe("float32Tolerance", () => {
  const round = Math.fround;

  /** `count` sums of n products, `stages` times over, each vector feeding the next, in float32 and float64. */
  function chainedProducts(n: number, stages: number, sample: (length: number) => Float64Array) {
    let single = Float32Array.from(sample(n));
    let double = Float64Array.from(single);
    for (let stage = 0; stage < stages; stage++) {
      const w = Float32Array.from(sample(n * n));
      const nextSingle = new Float32Array(n);
      const nextDouble = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          nextSingle[i] = round(nextSingle[i] + round(w[i * n + j] * single[j]));
          nextDouble[i] += w[i * n + j] * double[j];
        }
      }
      single = nextSingle;
      double = nextDouble;
    }
    return maxRelativeError(single, double);
  }

  it.each([
    [16, 1],
    [64, 1],
    [512, 1],
    [64, 8],
    [256, 4],
  ])("holds for sequential sums with n = %i in %i stages, and is not loose by more than 100", (n, stages) => {
    const random = new Random(n + stages);
    const signed = chainedProducts(n, stages, (length) => random.normals(length));
    const positive = chainedProducts(n, stages, (length) => random.normals(length).map(Math.abs));
    for (const error of [signed, positive]) {
      expect(error).toBeLessThan(float32Tolerance(n, stages));
      expect(error).toBeGreaterThan(float32Tolerance(n, stages) / 100);
    }
  });
});
