import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompose } from "../src/uncertainty/decompose.ts";

const ROUNDING = 1e-12;

/** Random distributions, from nearly uniform to point masses with exact zeros. */
const shape = fc.record({
  members: fc.integer({ min: 1, max: 9 }),
  prompts: fc.integer({ min: 1, max: 4 }),
  classes: fc.integer({ min: 1, max: 12 }),
});
const ensemble = shape.chain((s) =>
  fc
    .array(fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1, noNaN: true })), {
      minLength: s.members * s.prompts * s.classes,
      maxLength: s.members * s.prompts * s.classes,
    })
    .map((weights) => ({ ...s, probabilities: normalise(Float64Array.from(weights), s.classes) })),
);

function normalise(weights: Float64Array, classes: number): Float64Array {
  const p = weights.slice();
  for (let row = 0; row < p.length; row += classes) {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += p[row + c];
    for (let c = 0; c < classes; c++) p[row + c] = sum > 0 ? p[row + c] / sum : c === 0 ? 1 : 0;
  }
  return p;
}

const entropy = (p: number[]) => p.reduce((h, x) => (x > 0 ? h - x * Math.log(x) : h), 0);

/** The definitions, read off one prompt at a time; mutual information as the mean divergence from the mean. */
function naive(p: ArrayLike<number>, members: number, prompts: number, classes: number, prompt: number) {
  const rows = Array.from({ length: members }, (_, m) =>
    Array.from({ length: classes }, (_, c) => p[(m * prompts + prompt) * classes + c]),
  );
  const mean = rows[0].map((_, c) => rows.reduce((s, row) => s + row[c], 0) / members);
  const divergence = rows.map((row) =>
    row.reduce((s, x, c) => (x > 0 ? s + x * Math.log(x / mean[c]) : s), 0),
  );
  const votes = rows.map((row) => row.indexOf(Math.max(...row)));
  let differing = 0;
  for (let a = 0; a < members; a++) for (let b = 0; b < a; b++) if (votes[a] !== votes[b]) differing++;
  return {
    total: entropy(mean),
    expected: rows.reduce((s, row) => s + entropy(row), 0) / members,
    information: divergence.reduce((s, d) => s + d, 0) / members,
    disagreement: members > 1 ? differing / ((members * (members - 1)) / 2) : 0,
    // Var = E p^2 - (E p)^2
    variance: mean.reduce((s, m, c) => s + rows.reduce((t, row) => t + row[c] ** 2, 0) / members - m * m, 0),
    mean,
  };
}

describe("decompose", () => {
  it("equals the definitions", () => {
    fc.assert(
      fc.property(ensemble, ({ probabilities, members, prompts, classes }) => {
        const got = decompose(probabilities, { members, prompts, classes });
        for (let i = 0; i < prompts; i++) {
          const want = naive(probabilities, members, prompts, classes, i);
          expect(Math.abs(got.totalEntropy[i] - want.total)).toBeLessThan(ROUNDING);
          expect(Math.abs(got.expectedEntropy[i] - want.expected)).toBeLessThan(ROUNDING);
          expect(Math.abs(got.mutualInformation[i] - want.information)).toBeLessThan(ROUNDING);
          expect(Math.abs(got.disagreement[i] - want.disagreement)).toBeLessThan(ROUNDING);
          expect(Math.abs(got.variance[i] - want.variance)).toBeLessThan(ROUNDING);
          want.mean.forEach((m, c) => {
            expect(Math.abs(got.mean[i * classes + c] - m)).toBeLessThan(ROUNDING);
          });
        }
      }),
    );
  });

  it("keeps its bounds and adds up, for float64 and float32 rows", () => {
    fc.assert(
      fc.property(ensemble, fc.boolean(), ({ probabilities, members, prompts, classes }, single) => {
        const p = single ? Float32Array.from(probabilities) : probabilities;
        const d = decompose(p, { members, prompts, classes });
        for (let i = 0; i < prompts; i++) {
          expect(d.mutualInformation[i]).toBeGreaterThanOrEqual(0);
          expect(d.mutualInformation[i]).toBeLessThanOrEqual(Math.log(Math.min(members, classes)));
          expect(d.totalEntropy[i]).toBeLessThanOrEqual(Math.log(classes) + ROUNDING);
          expect(Math.abs(d.totalEntropy[i] - d.expectedEntropy[i] - d.mutualInformation[i])).toBeLessThan(
            ROUNDING,
          );
          expect(d.variance[i]).toBeLessThanOrEqual(1 - 1 / members + ROUNDING);
          expect(d.disagreement[i]).toBeGreaterThanOrEqual(0);
          expect(d.disagreement[i]).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("does not depend on the order of the members, and permutes with classes and prompts", () => {
    fc.assert(
      fc.property(ensemble, ({ probabilities, members, prompts, classes }) => {
        const reversed = new Float64Array(probabilities.length);
        const at = (m: number, i: number, c: number) => (m * prompts + i) * classes + c;
        for (let m = 0; m < members; m++)
          for (let i = 0; i < prompts; i++)
            for (let c = 0; c < classes; c++)
              reversed[at(members - 1 - m, prompts - 1 - i, classes - 1 - c)] = probabilities[at(m, i, c)];
        const a = decompose(probabilities, { members, prompts, classes });
        const b = decompose(reversed, { members, prompts, classes });
        for (let i = 0; i < prompts; i++) {
          const j = prompts - 1 - i;
          expect(Math.abs(a.mutualInformation[i] - b.mutualInformation[j])).toBeLessThan(ROUNDING);
          expect(Math.abs(a.totalEntropy[i] - b.totalEntropy[j])).toBeLessThan(ROUNDING);
          expect(Math.abs(a.variance[i] - b.variance[j])).toBeLessThan(ROUNDING);
        }
      }),
    );
  });

  it("finds no mutual information in one member or in equal members", () => {
    const row = [0.1, 0.2, 0.7];
    const one = decompose(Float64Array.from(row), { members: 1, prompts: 1, classes: 3 });
    expect(one.mutualInformation[0]).toBe(0);
    expect(one.disagreement[0]).toBe(0);
    expect(one.variance[0]).toBe(0);
    expect(one.totalEntropy[0]).toBeCloseTo(entropy(row), 14);
    const five = decompose(Float64Array.from(Array(5).fill(row).flat()), {
      members: 5,
      prompts: 1,
      classes: 3,
    });
    expect(five.mutualInformation[0]).toBeLessThan(1e-15);
    expect(five.disagreement[0]).toBe(0);
    expect(five.variance[0]).toBeLessThan(1e-30);
  });

  it("finds log M in members certain of M different classes", () => {
    const members = 4;
    const p = new Float64Array(members * 6);
    for (let m = 0; m < members; m++) p[m * 6 + m + 1] = 1;
    const d = decompose(p, { members, prompts: 1, classes: 6 });
    expect(d.mutualInformation[0]).toBeCloseTo(Math.log(4), 14);
    expect(d.expectedEntropy[0]).toBe(0);
    expect(d.disagreement[0]).toBe(1);
    expect(d.variance[0]).toBeCloseTo(1 - 1 / members, 14);
  });

  it("works a split vote by hand: three members against one", () => {
    const p = Float64Array.from([1, 0, 1, 0, 1, 0, 0, 1]);
    const d = decompose(p, { members: 4, prompts: 1, classes: 2 });
    // 3 of the 6 pairs differ; MI = H(3/4, 1/4); variance = 2 * (3/4 * 1/4).
    expect(d.disagreement[0]).toBeCloseTo(0.5, 14);
    expect(d.mutualInformation[0]).toBeCloseTo(Math.log(4) - 0.75 * Math.log(3), 14);
    expect(d.variance[0]).toBeCloseTo(0.375, 14);
  });

  it("reads (members, prompts, classes) row-major", () => {
    // Prompt 0: the members agree; prompt 1: they are certain of different classes.
    const p = Float64Array.from([1, 0, 1, 0, /* member 1 */ 1, 0, 0, 1]);
    const d = decompose(p, { members: 2, prompts: 2, classes: 2 });
    expect(Array.from(d.mutualInformation)).toEqual([0, Math.log(2)]);
    expect(Array.from(d.mean)).toEqual([1, 0, 0.5, 0.5]);
  });

  it("gives votes of equal probability to the lowest class", () => {
    const d = decompose(Float64Array.from([0.5, 0.5, 0.6, 0.4]), { members: 2, prompts: 1, classes: 2 });
    expect(d.disagreement[0]).toBe(0);
  });

  it("gives nearly the same for float32 as for float64, with rows renormalised", () => {
    fc.assert(
      fc.property(ensemble, ({ probabilities, members, prompts, classes }) => {
        const a = decompose(probabilities, { members, prompts, classes });
        const b = decompose(Float32Array.from(probabilities), { members, prompts, classes });
        for (let i = 0; i < prompts; i++) {
          // Relative rounding 2^-24 of p moves -p log p by at most 2^-24 (p |log p| + p); summed: H + 1 <= log 12 + 1.
          expect(Math.abs(a.mutualInformation[i] - b.mutualInformation[i])).toBeLessThan(8 * 2 ** -24 * 3.5);
          let sum = 0;
          for (let c = 0; c < classes; c++) sum += b.mean[i * classes + c];
          expect(Math.abs(sum - 1)).toBeLessThan(1e-14);
        }
      }),
    );
  });

  it("names member, prompt and value of a row that is not a distribution", () => {
    const good = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    const broken = (index: number, value: number) => {
      const p = Float64Array.from(good);
      p[index] = value;
      return () => decompose(p, { members: 2, prompts: 2, classes: 2 });
    };
    expect(broken(7, Number.NaN)).toThrow(/member 1, prompt 1, class 1: got NaN/);
    expect(broken(2, -0.5)).toThrow(/member 0, prompt 1, class 0: got -0.5/);
    expect(broken(4, Number.POSITIVE_INFINITY)).toThrow(RangeError);
    expect(broken(4, 0.4998)).toThrow(/member 1, prompt 0, sum of probabilities: got .*, must be 1/);
    expect(broken(4, 0.49995)).not.toThrow();
  });

  it("rejects shapes that do not fit", () => {
    const p = new Float64Array(8).fill(0.5);
    expect(() => decompose(p, { members: 2, prompts: 3, classes: 2 })).toThrow(
      /length of probabilities: got 8, must be 12, members/,
    );
    expect(() => decompose(p, { members: 0, prompts: 4, classes: 2 })).toThrow(/members/);
    expect(() => decompose(p, { members: 1.5, prompts: 4, classes: 2 })).toThrow(/members/);
    expect(() => decompose(p, { members: 2, prompts: 0, classes: 2 })).toThrow(/prompts/);
    expect(() => decompose(p, { members: 2, prompts: 2, classes: Number.NaN })).toThrow(/classes/);
  });
});
