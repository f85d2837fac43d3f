import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  accuracy,
  adaptiveCalibrationError,
  brierScore,
  expectedCalibrationError,
  negativeLogLikelihood,
} from "../src/uncertainty/calibration.ts";

const scores = {
  accuracy,
  negativeLogLikelihood,
  brierScore,
  expectedCalibrationError,
  adaptiveCalibrationError,
};

/** Predictions (prompts, classes) with some equal rows and equal entries, so that ties occur. */
const predictions = fc
  .record({ prompts: fc.integer({ min: 1, max: 70 }), classes: fc.integer({ min: 2, max: 6 }) })
  .chain(({ prompts, classes }) =>
    fc.array(
      fc.record({
        weights: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: classes, maxLength: classes }),
        target: fc.integer({ min: 0, max: classes - 1 }),
      }),
      { minLength: prompts, maxLength: prompts },
    ),
  )
  .map((rows) => ({
    rows: rows.map(({ weights }) => {
      const sum = weights.reduce((a, b) => a + b, 0);
      return weights.map((w) => w / sum);
    }),
    targets: rows.map(({ target }) => target),
  }));

const flat = (rows: number[][]) => Float64Array.from(rows.flat());

function naiveEce(rows: number[][], targets: number[]): number {
  const bins = Array.from({ length: 15 }, () => ({ n: 0, hits: 0, confidence: 0 }));
  rows.forEach((row, i) => {
    const confidence = Math.max(...row);
    let b = 0;
    while (b < 14 && confidence > (b + 1) / 15) b++;
    bins[b].n++;
    bins[b].hits += row.indexOf(confidence) === targets[i] ? 1 : 0;
    bins[b].confidence += confidence;
  });
  return bins
    .filter(({ n }) => n > 0)
    .reduce((s, { n, hits, confidence }) => s + (n / rows.length) * Math.abs(hits / n - confidence / n), 0);
}

describe("scores against independent code", () => {
  it("accuracy, likelihood, Brier and calibration error", () => {
    fc.assert(
      fc.property(predictions, ({ rows, targets }) => {
        const p = flat(rows);
        const n = rows.length;
        const hits = rows.filter((row, i) => row.indexOf(Math.max(...row)) === targets[i]).length;
        expect(accuracy(p, targets)).toBeCloseTo(hits / n, 14);
        expect(negativeLogLikelihood(p, targets)).toBeCloseTo(
          rows.map((row, i) => -Math.log(row[targets[i]])).reduce((a, b) => a + b) / n,
          12,
        );
        // sum_c (p_c - y_c)^2 = sum_c p_c^2 - 2 p_y + 1
        expect(brierScore(p, targets)).toBeCloseTo(
          rows
            .map((row, i) => row.reduce((s, x) => s + x * x, 0) - 2 * row[targets[i]] + 1)
            .reduce((a, b) => a + b) / n,
          12,
        );
        expect(expectedCalibrationError(p, targets)).toBeCloseTo(naiveEce(rows, targets), 12);
      }),
    );
  });

  it("no score depends on the order of the prompts", () => {
    fc.assert(
      fc.property(predictions, ({ rows, targets }) => {
        for (const score of Object.values(scores)) {
          const forward = score(flat(rows), targets);
          const backward = score(flat(rows.toReversed()), targets.toReversed());
          expect(Math.abs(forward - backward)).toBeLessThan(1e-12);
        }
      }),
    );
  });

  it("calibration errors lie between |accuracy - mean confidence| and 1", () => {
    fc.assert(
      fc.property(predictions, ({ rows, targets }) => {
        const p = flat(rows);
        const confidence = rows.reduce((s, row) => s + Math.max(...row), 0) / rows.length;
        const overall = Math.abs(accuracy(p, targets) - confidence);
        for (const score of [expectedCalibrationError, adaptiveCalibrationError]) {
          expect(score(p, targets)).toBeGreaterThanOrEqual(overall - 1e-12);
          expect(score(p, targets)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

describe("scores by hand", () => {
  const p = Float64Array.from([0.8, 0.2, 0.3, 0.7, 0.9, 0.1]);
  const targets = [0, 1, 1];

  it("accuracy", () => expect(accuracy(p, targets)).toBeCloseTo(2 / 3, 15));
  it("accuracy of a tie is that of the lowest class", () => {
    expect(accuracy(Float64Array.from([0.5, 0.5, 0.5, 0.5]), [0, 1])).toBe(0.5);
  });
  it("negative log-likelihood", () => {
    expect(negativeLogLikelihood(p, targets)).toBeCloseTo(-Math.log(0.8 * 0.7 * 0.1) / 3, 14);
  });
  it("Brier score", () => {
    expect(brierScore(p, targets)).toBeCloseTo((2 * 0.04 + 2 * 0.09 + 2 * 0.81) / 3, 14);
    expect(brierScore(Float64Array.from([0, 1]), [0])).toBe(2);
  });
  it("expected calibration error", () => {
    // Bins of width 1/15: 0.8 in (11/15, 12/15], 0.7 in (10/15, 11/15], 0.9 in (13/15, 14/15].
    expect(expectedCalibrationError(p, targets)).toBeCloseTo((0.2 + 0.3 + 0.9) / 3, 14);
    // 0.68 and 0.70 share the bin (10/15, 11/15]: one right, one wrong.
    const shared = Float64Array.from([0.68, 0.32, 0.7, 0.3]);
    expect(expectedCalibrationError(shared, [0, 1])).toBeCloseTo(Math.abs(1 - 1.38) / 2, 14);
  });
  it("bins are closed on the right", () => {
    // 0.8 = 12/15 belongs with 0.75, not with 0.85.
    const edge = Float64Array.from([0.8, 0.2, 0.75, 0.25, 0.85, 0.15]);
    expect(expectedCalibrationError(edge, [0, 1, 1])).toBeCloseTo((Math.abs(1 - 1.55) + 0.85) / 3, 14);
  });
  it("adaptive error pools neighbours in confidence, equal numbers to a bin", () => {
    // 30 prompts, so two to a bin: confidences 0.51..0.80, every second one right.
    const confidences = Array.from({ length: 30 }, (_, i) => 0.51 + i / 100);
    const probabilities = flat(confidences.map((c) => [c, 1 - c]));
    const labels = confidences.map((_, i) => i % 2);
    let expected = 0;
    for (let b = 0; b < 15; b++) expected += Math.abs(1 - confidences[2 * b] - confidences[2 * b + 1]) / 30;
    expect(adaptiveCalibrationError(probabilities, labels)).toBeCloseTo(expected, 13);
  });
  it("adaptive error of fewer prompts than bins takes each prompt alone", () => {
    expect(adaptiveCalibrationError(p, targets)).toBeCloseTo((0.2 + 0.3 + 0.9) / 3, 14);
  });
  it("a perfectly calibrated, equally confident set has no adaptive error", () => {
    const rows = Array.from({ length: 20 }, () => [0.75, 0.25]);
    const labels = rows.map((_, i) => (i < 15 ? 0 : 1));
    expect(adaptiveCalibrationError(flat(rows), labels)).toBeLessThan(1e-15);
    expect(expectedCalibrationError(flat(rows), labels)).toBeLessThan(1e-15);
  });
  it("counts an underflowed probability as 2^-126", () => {
    expect(negativeLogLikelihood(Float32Array.from([0, 1]), [0])).toBeCloseTo(126 * Math.LN2, 10);
  });
});

describe("bad input", () => {
  for (const [name, score] of Object.entries(scores)) {
    it(name, () => {
      expect(() => score(new Float64Array(0), [])).toThrow(/length of targets: got 0, must be at least 1/);
      expect(() => score(new Float64Array(5).fill(0.5), [0, 1])).toThrow(/length.*got 5/);
      expect(() => score(new Float64Array(4).fill(0.5), [0, 2])).toThrow(
        /targets\[1\]: got 2, must be a class from 0 to 1/,
      );
      expect(() => score(new Float64Array(4).fill(0.5), [-1, 0])).toThrow(/targets\[0\]/);
      expect(() => score(Float64Array.from([0.5, Number.NaN]), [0])).toThrow(/prompt 0, class 1: got NaN/);
      expect(() => score(Float64Array.from([2, 1]), [0])).toThrow(
        /prompt 0, sum of probabilities: got 3, must be 1/,
      );
    });
  }
});
