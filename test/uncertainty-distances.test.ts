import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jensenShannon, regret, relativeDistance, totalVariation } from "../src/uncertainty/distances.ts";

/** Distributions over 5 classes, with zeros. */
const distribution = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1, noNaN: true })), {
    minLength: 5,
    maxLength: 5,
  })
  .filter((weights) => weights.some((w) => w > 0))
  .map((weights) => weights.map((w) => w / weights.reduce((a, b) => a + b)));

const entropy = (p: number[]) => p.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0);

describe("jensenShannon", () => {
  it("is H((p + q)/2) - (H(p) + H(q))/2, symmetric, within 0 and ln 2", () => {
    fc.assert(
      fc.property(distribution, distribution, (p, q) => {
        const js = jensenShannon(p, q);
        const mixture = p.map((x, c) => (x + q[c]) / 2);
        expect(Math.abs(js - (entropy(mixture) - (entropy(p) + entropy(q)) / 2))).toBeLessThan(1e-12);
        expect(jensenShannon(q, p)).toBeCloseTo(js, 14);
        expect(js).toBeGreaterThanOrEqual(0);
        expect(js).toBeLessThanOrEqual(Math.LN2 + 1e-12);
      }),
    );
  });

  it("is 0 for equal and ln 2 for disjoint distributions, finite for denormal masses", () => {
    expect(jensenShannon([0.3, 0.7], [0.3, 0.7])).toBe(0);
    expect(jensenShannon([1, 0], [0, 1])).toBeCloseTo(Math.LN2, 15);
    expect(jensenShannon([1, 0], [1, 5e-324])).toBe(0);
  });

  it("its square root obeys the triangle inequality", () => {
    fc.assert(
      fc.property(distribution, distribution, distribution, (p, q, r) => {
        const d = (a: number[], b: number[]) => Math.sqrt(jensenShannon(a, b));
        expect(d(p, r)).toBeLessThanOrEqual(d(p, q) + d(q, r) + 1e-7);
      }),
    );
  });
});

describe("totalVariation", () => {
  it("is the largest difference of an event's probability, and bounds Jensen-Shannon", () => {
    fc.assert(
      fc.property(distribution, distribution, (p, q) => {
        const tv = totalVariation(p, q);
        const bestEvent = p.reduce((sum, x, c) => sum + Math.max(0, x - q[c]), 0);
        expect(Math.abs(tv - bestEvent)).toBeLessThan(1e-12);
        expect(jensenShannon(p, q)).toBeLessThanOrEqual(tv * Math.LN2 + 1e-12);
        expect(jensenShannon(p, q)).toBeGreaterThanOrEqual((tv * tv) / 2 - 1e-12);
      }),
    );
    expect(totalVariation([1, 0], [0, 1])).toBe(1);
  });
});

describe("relativeDistance", () => {
  it("is 0 at G, 1 at M, 1/2 half-way and null where G and M coincide", () => {
    const G = [0.8, 0.2, 0];
    const M = [0.1, 0.3, 0.6];
    const at = (q: number[]) =>
      relativeDistance(totalVariation(q, G), totalVariation(q, M), totalVariation(G, M)) as number;
    expect(at(G)).toBeCloseTo(0, 15);
    expect(at(M)).toBeCloseTo(1, 15);
    expect(at(G.map((g, c) => (g + M[c]) / 2))).toBeCloseTo(0.5, 15);
    expect(relativeDistance(0.1, 0.1, 0)).toBeNull();
  });
});

describe("regret", () => {
  it("is the cross entropy minus the entropy, never negative, zero only at the reference", () => {
    fc.assert(
      fc.property(distribution, distribution, (p, q) => {
        const positive = q.map((x) => (x + 0.01) / 1.05);
        const cross = p.reduce((sum, x, c) => sum - x * Math.log(positive[c]), 0);
        expect(Math.abs(regret(p, positive) - (cross - entropy(p)))).toBeLessThan(1e-12);
        expect(regret(p, positive)).toBeGreaterThanOrEqual(2 * totalVariation(p, positive) ** 2 - 1e-12);
        expect(regret(p, p)).toBe(0);
      }),
    );
  });

  it("is infinite where q excludes what the reference allows", () => {
    expect(regret([0.5, 0.5], [1, 0])).toBe(Number.POSITIVE_INFINITY);
    expect(regret([1, 0], [0.5, 0.5])).toBeCloseTo(Math.LN2, 15);
  });
});

it("all refuse distributions over different classes", () => {
  for (const distance of [jensenShannon, totalVariation, regret]) {
    expect(() => distance([1], [0.5, 0.5])).toThrow(
      /length of distribution: got 2, must be 1, the classes of the other one/,
    );
  }
});

describe("what is no distribution", () => {
  const good = [0.5, 0.5];
  it.each<[number[], number[], RegExp]>([
    [[Number.NaN, 0], good, /^first distribution, class 0: got NaN, must be a probability/],
    [good, [-1, 2], /^second distribution, class 0: got -1, must be a probability/],
    [[5, 5], good, /^first distribution, sum of probabilities: got 10, must be 1 within/],
    [good, [0.5, Infinity], /^second distribution, sum of probabilities: got Infinity, must be 1/],
    [good, [1], /^length of distribution: got 1, must be 2/],
    [[], [], /^length of distribution: got 0, must be at least 1/],
    [["1", "0"] as unknown as number[], good, /^first distribution, class 0: got/],
  ])("is refused: %j, %j", (p, q, message) => {
    for (const distance of [jensenShannon, totalVariation, regret])
      expect(() => distance(p, q)).toThrow(message);
  });
});
