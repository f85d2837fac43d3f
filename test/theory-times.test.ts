import { describe, expect, it } from "vitest";
import * as theory from "../src/theory/index.ts";
import { firstCrossing, maximise } from "../src/theory/solve.ts";

function expectRelative(actual: number, expected: number, tolerance: number, what = ""): void {
  if (!Number.isFinite(expected)) {
    expect(actual, what).toBe(expected);
    return;
  }
  const error = Math.abs(actual - expected) / Math.abs(expected);
  expect(error, `${what}: ${actual} against ${expected}`).toBeLessThan(tolerance);
}

const inf = Infinity;

/** Level 0.01, u0 = 0.01, no label noise: lambda, t_train, t_gen, then t_peak, V_peak, t_U for either noise. */
const table: (number | null)[][] = [
  [0.2, 2.952, 3.695, 0.49, 0.0752, 3.006, 0.5532, 0.0835, 3.514],
  [0.5, 4.036, 8.574, 0.5346, 0.1735, 8.063, 0.7935, 0.2329, 12.56],
  [0.8, 4.754, 35.2, 0.5738, 0.2622, 34.9, 1.642, 0.4641, 95.31],
  [0.9, 4.735, 89.9, 0.5878, 0.2897, 90.03, 3.01, 0.5976, 401.5],
  [0.95, 4.668, 203.8, 0.5951, 0.3031, 205.1, 5.68, 0.7025, 1645],
  [0.99, 4.591, 769.1, 0.6011, 0.3136, 779.6, 26.32, 0.861, 41900],
  [1, 4.569, 1591.5, 0.6027, 0.3162, 1623, inf, null, inf],
  [1.005, 4.557, 3011.8, 0.6034, 0.3175, 3098.7, inf, null, inf],
  [1.5, 3.031, inf, 0.6939, 0.435, inf, inf, null, inf],
  [3, 1.143, inf, 1.541, 0.6738, inf, inf, null, inf],
];

describe("times", () => {
  it("reproduce the table of times and peaks", () => {
    for (const [lambda, tTrain, tGen, peakR, heightR, collapseR, peakE, heightE, collapseE] of table) {
      const what = `lambda=${lambda}`;
      const times = theory.times({ lambda: lambda!, level: 0.01 });
      const peaks = theory.peakTimes({ lambda: lambda!, u0: 0.01 });
      const collapse = theory.collapseTimes({ lambda: lambda!, level: 0.01, u0: 0.01 });
      // Half a unit in the fourth digit is at most 5e-4.
      expectRelative(times.tTrain, tTrain!, 5e-4, what);
      expectRelative(times.tGen, tGen!, 5e-4, what);
      expectRelative(peaks.residual, peakR!, 5e-4, what);
      expectRelative(peaks.elbo, peakE!, 5e-4, what);
      expectRelative(collapse.residual, collapseR!, 5e-4, what);
      expectRelative(collapse.elbo, collapseE!, 5e-4, what);
      const height = theory.residualNoise({ t: peaks.residual, lambda: lambda!, u0: 0.01 }).V;
      expectRelative(height, heightR!, 1e-3, what);
      if (heightE !== null) {
        expectRelative(theory.elboNoise({ t: peaks.elbo, lambda: lambda!, u0: 0.01 }).V, heightE, 1e-3, what);
      }
    }
  });

  it("give the reference values", () => {
    const times = theory.times({ lambda: 0.9, level: 0.01 });
    expectRelative(times.tGen, 89.89654374, 1e-9);
    expectRelative(times.tTrain, 4.735205095, 1e-9);
    const peaks = theory.peakTimes({ lambda: 0.9, u0: 0.01 });
    expectRelative(peaks.residual, 0.5878188937, 1e-9);
    expectRelative(peaks.elbo, 3.010360609, 1e-9);
    expectRelative(theory.residualNoise({ t: peaks.residual, lambda: 0.9, u0: 0.01 }).V, 0.2896913951, 1e-9);
    expectRelative(theory.elboNoise({ t: peaks.elbo, lambda: 0.9, u0: 0.01 }).V, 0.5975955415, 1e-9);
    expectRelative(theory.lossThreshold(0.1, 0.95), 0.002603177716, 1e-9);
    expectRelative(theory.accuracy(0.1, 0.01), 0.6826894921, 1e-9);
    expectRelative(theory.delayAsymptote(0.9), 1127.71877, 1e-9);
  });

  it("are 0 when already below, Infinity when never", () => {
    expect(theory.times({ lambda: 0.5, level: 1 })).toEqual({ tGen: 0, tTrain: 0 });
    const [inside, outside] = theory.times({ lambda: [1 / 0.99 - 1e-6, 1 / 0.99 + 1e-6], level: 0.01 }).tGen;
    expect(inside).toBeLessThan(inf);
    expect(outside).toBe(inf);
    expect(theory.collapseTimes({ lambda: 0.5, level: 0.01, sn2: 0.1, u0: 0.01 })).toEqual({
      residual: inf,
      elbo: inf,
    });
  });

  it("solve for levels far below the smallest double", () => {
    // log f0 is linear with slope -2 s_- at late times.
    const { tGen } = theory.times({ lambda: 0.5, level: 1e-300 });
    expectRelative(theory.spectral(tGen, 0.5).f0, 1e-300, 1e-10);
  });

  it("bracket the peaks", () => {
    // The conditions for a peak: s_- < c < start value.
    expect(theory.peakTimes({ lambda: 0.5, u0: 0.6 }).residual).toBe(0);
    expect(theory.peakTimes({ lambda: 0.5, sn2: 3, u0: 0 }).residual).toBe(inf);
    expect(theory.peakTimes({ lambda: 0.5, u0: 1.1 }).elbo).toBe(0);
    expect(theory.peakTimes({ lambda: 0.5, sn2: 1, u0: 0 }).elbo).toBe(inf);
    for (const parameters of [
      { lambda: 0.3, sn2: 0.2, u0: 0.05 },
      { lambda: 0.9, w: 2, sn2: 0.01, u0: 0.1 },
    ]) {
      const peaks = theory.peakTimes(parameters);
      const best = (curve: typeof theory.residualNoise) =>
        Math.exp(maximise((x) => curve({ ...parameters, t: Math.exp(x) }).V, Math.log(0.01), Math.log(100)));
      expectRelative(peaks.residual, best(theory.residualNoise), 1e-6);
      expectRelative(peaks.elbo, best(theory.elboNoise), 1e-6);
    }
  });

  it("agree between G and V in the calibrated model", () => {
    for (const lambda of [0.3, 0.9, 1.2]) {
      const times = theory.fixedNoiseTimes({ lambda, threshold: 0.3, sn2: 0.01 });
      expectRelative(times.tU, times.tGen, 1e-12);
      expectRelative(times.tUTrain, times.tTrain, 1e-12);
    }
  });

  it("differ when the floors differ: noise-free labels, sig2 = 1e-3", () => {
    // 0.0163; the floor at lambda = 1 lies so close below it that the digits matter.
    const threshold = theory.lossThreshold(0.25, 0.95);
    const expected: [number, number][] = [
      [0.2, 1.004],
      [0.5, 1.02],
      [0.8, 1.11],
      [0.9, 1.33],
      [0.95, 2.5],
    ];
    for (const [lambda, ratio] of expected) {
      const times = theory.fixedNoiseTimes({ lambda, threshold, sn2: 0, sig2: 1e-3 });
      expectRelative(times.tU / times.tGen, ratio, 0.01, `lambda=${lambda}`);
    }
    const critical = theory.fixedNoiseTimes({ lambda: 1, threshold, sn2: 0, sig2: 1e-3 });
    expect(critical.tU).toBe(inf);
    expectRelative(critical.tGen, 1851, 1e-3);
  });

  it("find the first crossing of a curve that rises again", () => {
    const threshold = 0.15;
    const { tGen } = theory.learnedNoiseTimes({ lambda: 0.9, threshold, sn2: 0.03, u0: 0 });
    const G = (t: number) => theory.residualNoise({ t, lambda: 0.9, sn2: 0.03, u0: 0 }).G;
    expectRelative(G(tGen), threshold, 1e-10);
    expect(G(1e4)).toBeGreaterThan(threshold);
    expect(firstCrossing((t) => Math.cos(t) + 0.5)).toBeCloseTo((2 * Math.PI) / 3, 12);
  });

  it("follow the weight decay of the null modes for lambda > 1", () => {
    const [w2, k2, gam, lambda] = [1, 100, 1e-3, 1.5];
    const threshold = 0.4;
    const { tGen } = theory.fixedNoiseTimes({
      lambda,
      threshold,
      w2,
      k2,
      sn2: 0,
      sig2: gam / lambda,
      wp2: 1,
      u0: 1,
    });
    const predicted = Math.log((k2 * (1 - 1 / lambda)) / (threshold - w2 * (1 - 1 / lambda))) / (2 * gam);
    expectRelative(tGen, predicted, 1e-3);
  });

  it("name invalid input", () => {
    expect(() => theory.times({ lambda: 0.5, level: 0 })).toThrow(/level: got 0, must be/);
    expect(() => theory.lossThreshold(0, 0.5)).toThrow(/eps: got .*, must be/);
    expect(() => theory.lossThreshold(0.1, 1)).toThrow(/theta: got 1, must be/);
    expect(() => theory.peakTimes({ lambda: -1, u0: 0 })).toThrow(/lambda: got .*, must be/);
    expect(() => theory.fixedNoiseTimes({ lambda: 0.5, threshold: -1 })).toThrow(/threshold/);
  });
});

describe("asymptotics", () => {
  it("of the delay are approached slowly as the level falls", () => {
    const asymptote = theory.delayAsymptote(0.9);
    const expected: [number, number][] = [
      [1e-2, 0.08],
      [1e-4, 0.44],
      [1e-6, 0.71],
      [1e-9, 0.85],
    ];
    for (const [level, ratio] of expected) {
      const { tGen, tTrain } = theory.times({ lambda: 0.9, level });
      expect(Math.abs((tGen - tTrain) / asymptote - ratio)).toBeLessThan(0.006);
    }
    expectRelative(theory.informationPlateau(0.9) / (1 - Math.sqrt(0.9)) ** 2, asymptote, 1e-12);
    expect(theory.delayAsymptote(1)).toBeNaN();
  });

  it("describe f0 near lambda = 1", () => {
    for (const [lambda, side] of [
      [0.99, "below"],
      [0.9999, "below"],
      [1.0001, "above"],
    ] as const) {
      const edge = (1 - Math.sqrt(lambda)) ** 2;
      for (const x of [0.01, 0.1, 0.5]) {
        const f0 = theory.spectral(x / edge, lambda).f0;
        expectRelative(f0, Math.sqrt(edge) * theory.criticalPhi(x, side), 3 * Math.abs(1 - lambda) + 1e-4);
      }
    }
  });

  it("describe V with ELBO noise near lambda = 1", () => {
    expectRelative(theory.criticalHalfTime(), 0.041054, 1e-5);
    const lambda = 0.99999;
    const edge = (1 - Math.sqrt(lambda)) ** 2;
    for (const x of [0.01, 0.1, 1]) {
      const V = theory.elboNoise({ t: x / edge, lambda, u0: 0.5 }).V;
      expectRelative(V, 1.5 * theory.criticalPsi(x), 1e-3);
    }
    expectRelative(theory.elboPeakAsymptote(0.99, 1, 0.01), 24.75, 1e-3);
    const near = theory.peakTimes({ lambda: 0.9999, u0: 0.01 }).elbo;
    expectRelative(near, theory.elboPeakAsymptote(0.9999, 1, 0.01), 0.01);
  });

  it("give finite times at lambda = 1", () => {
    const level = 1e-4;
    const exact = theory.times({ lambda: 1, level });
    const leading = theory.thresholdTimes(level);
    expectRelative(exact.tGen, leading.tGen, 1e-6);
    expectRelative(exact.tTrain, leading.tTrain, 0.01);
  });

  it("tie the uncertainty time of residual noise to t_gen", () => {
    // t_U - t_gen tends to log(W/w - s_-)/(2 s_-) for lambda < 1.
    const [lambda, u0] = [0.5, 0.3];
    const edge = (1 - Math.sqrt(lambda)) ** 2;
    const { tGen } = theory.times({ lambda, level: 1e-100 });
    const { residual } = theory.collapseTimes({ lambda, level: 1e-100, u0 });
    expect(Math.abs(residual - tGen - Math.log(1 + u0 - edge) / (2 * edge))).toBeLessThan(0.05);
    expect(residual / tGen).toBeCloseTo(1, 2);
  });
});

describe("second view over lambda", () => {
  it("has the label-noise peak move to 1 and grow", () => {
    const expected: [number, number][] = [
      [3, 1.37],
      [10, 1.11],
      [30, 1.04],
      [100, 1.01],
    ];
    for (const [t, lambda] of expected) {
      expect(Math.abs(theory.labelNoisePeak(t).lambda - lambda)).toBeLessThan(0.006);
    }
    // At lambda = 1 the density is sqrt(1 - s/4)/(pi sqrt(s)), so g = 2 (2 - sqrt 2) sqrt(t/pi) - 1/2 + ...
    const late = theory.labelNoiseVariance({ t: 1e5, lambda: 1, sn2: 2 }).V / 2;
    expect(Math.abs(late - 2 * (2 - Math.SQRT2) * Math.sqrt(1e5 / Math.PI) + 0.5)).toBeLessThan(1e-3);
    expect(theory.labelNoisePeak(0.1).lambda).toBeGreaterThan(2);
  });

  it("has a posterior trace without a peak, whose row-space part peaks", () => {
    const lambda = Array.from({ length: 141 }, (_, i) => 0.2 + i * 0.02);
    const { total, rowSpace } = theory.posteriorTrace({ lambda, sig2: 0.01, wp2: 1 });
    for (let i = 1; i < total.length; i++) expect(total[i]).toBeGreaterThan(total[i - 1]);
    const top = rowSpace.indexOf(Math.max(...rowSpace));
    expect(Math.abs(lambda[top] - 1)).toBeLessThan(0.1);
    // The exact posterior is the late limit of the fixed-noise dynamics.
    expectRelative(total[40], theory.fixedNoiseLimit({ lambda: lambda[40], sig2: 0.01, wp2: 1 }).V, 1e-12);
  });
});
