import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompose } from "../src/uncertainty/decompose.ts";
import { checkObservation, type UncertaintyObservation } from "../src/uncertainty/observation.ts";
import {
  RECORD_VERSION,
  STATISTIC_NAMES,
  STATISTICS,
  statisticsOf,
  UNLABELLED_STATISTICS,
} from "../src/uncertainty/statistics.ts";

const statistics = (rows: number[][][], targets: number[]) => {
  const [members, prompts, classes] = [rows.length, rows[0].length, rows[0][0].length];
  const parts = decompose(Float64Array.from(rows.flat(2)), { members, prompts, classes });
  return statisticsOf({ ...parts, members, classes, targets: Int32Array.from(targets) });
};

/** Certain of this class, of three. */
const vote = (c: number) => [0, 1, 2].map((k) => (k === c ? 0.8 : 0.1));

describe("the table of statistics", () => {
  it("gives every statistic, from 0 to its bound", () => {
    const row = fc
      .array(fc.double({ min: 1e-9, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 })
      .map((values) => {
        const sum = values.reduce((a, b) => a + b, 0);
        return values.map((value) => value / sum);
      });
    const ensemble = fc
      .integer({ min: 1, max: 6 })
      .chain((members) =>
        fc.array(fc.array(row, { minLength: 3, maxLength: 3 }), { minLength: members, maxLength: members }),
      );
    fc.assert(
      fc.property(ensemble, (rows) => {
        const values = statistics(rows, [0, 1, 3]);
        expect(Object.keys(values)).toEqual(STATISTIC_NAMES);
        for (const name of STATISTIC_NAMES) {
          expect(values[name]).toBeGreaterThanOrEqual(-1e-12);
          expect(values[name]).toBeLessThanOrEqual(STATISTICS[name].bound(rows.length, 4) + 1e-12);
        }
      }),
    );
  });

  it("says since which version of the records it holds each", () => {
    const versions = STATISTIC_NAMES.map((name) => STATISTICS[name].since);
    expect(RECORD_VERSION).toBe(Math.max(...versions));
    expect([...versions].sort((a, b) => a - b)).toEqual(versions);
  });

  it("lets the detector check every statistic that it may see", () => {
    const good: UncertaintyObservation = {
      ...{ step: 0, members: 4, classes: 23, disagreement: 0.5 },
      ...{ mutualInformation: 0.5, expectedEntropy: 0.5, totalEntropy: 1 },
    };
    for (const name of UNLABELLED_STATISTICS) {
      const bound = STATISTICS[name].bound(4, 23);
      for (const value of [bound + 0.01, -0.01, Number.NaN])
        expect(() => checkObservation({ ...good, [name]: value }, undefined)).toThrow(name);
    }
    expect(() => checkObservation(good, undefined)).not.toThrow();
  });
});

describe("vote entropy", () => {
  const of = (...prompts: number[][]) =>
    statistics(
      prompts[0].map((_, member) => prompts.map((votes) => vote(votes[member]))),
      prompts.map(() => 0),
    ).voteEntropy;

  it("is the mean entropy of the histogram of top-1 classes, nats", () => {
    expect(of([1, 1, 1, 1])).toBe(0);
    expect(of([0, 1, 2])).toBeCloseTo(Math.log(3), 14);
    expect(of([0, 0, 1, 2])).toBeCloseTo(1.5 * Math.log(2), 14);
    expect(of([0, 0, 1, 1], [2, 2, 2, 2])).toBeCloseTo(Math.log(2) / 2, 14);
  });
});
