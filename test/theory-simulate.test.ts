import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { describe, expect, it } from "vitest";
import { normals, stream } from "../src/random.ts";
import * as theory from "../src/theory/index.ts";
import { type Deviation, fixedDeviation, residualDeviation } from "./reference/fluctuations.ts";

const times = Array.from({ length: 25 }, (_, i) => 0.05 * 2000 ** (i / 24));
const noiseModes = ["fixed", "residual", "elbo"] as const;

function limit(noise: (typeof noiseModes)[number], lambda: number) {
  if (noise === "fixed") return theory.fixedNoise({ t: times, lambda, sn2: 0.01, sig2: 0.01 });
  const curves = noise === "residual" ? theory.residualNoise : theory.elboNoise;
  return curves({ t: times, lambda, sn2: 0.01, u0: 0.01 });
}

function rmsRelative(values: number[], expected: number[]): number {
  return Math.sqrt(values.reduce((sum, v, i) => sum + (v / expected[i] - 1) ** 2, 0) / values.length);
}

/** Stated rms relative deviations of a draw from the limit at (lambda, d): G, T, V fixed, V residual, V elbo. */
const stated: [number, number, number[]][] = [
  [0.5, 100, [0.214, 0.102, 0.029, 0.075, 0.072]],
  [0.9, 100, [0.24, 0.122, 0.023, 0.1, 0.075]],
  [1.5, 100, [0.149, 0.169, 0.0076, 0.119, 0.111]],
  [0.5, 400, [0.062, 0.039, 0.01, 0.029, 0.028]],
  [0.9, 400, [0.101, 0.045, 0.01, 0.052, 0.041]],
  [1.5, 400, [0.034, 0.074, 0.0013, 0.035, 0.034]],
];

describe("simulation", () => {
  it.each(stated)(
    "deviates from the limit by its finite-size errors, lambda %d, d %i",
    (ratio, d, errors) => {
      const N = Math.round(d / ratio);
      const lambda = d / N;
      // At d = 400 each spectrum meets several teachers: the eigen-decompositions dominate the cost.
      const [spectrumCount, counts] =
        d === 100 ? [100, { fixed: 100, residual: 100, elbo: 40 }] : [4, { fixed: 40, residual: 8, elbo: 8 }];
      const spectra = theory.sampleSpectra({ d, N, draws: spectrumCount, seed: 3 });
      const run = (noise: (typeof noiseModes)[number]) =>
        theory.simulate({
          d,
          N,
          t: times,
          noise,
          sn2: 0.01,
          draws: counts[noise],
          seed: 3,
          spectra: Array.from({ length: counts[noise] }, (_, draw) => spectra[draw % spectrumCount]),
          tolerance: 1e-6,
        });
      const runs = { fixed: run("fixed"), residual: run("residual"), elbo: run("elbo") };

      const check = (
        field: "G" | "T" | "V",
        noise: "fixed" | "residual",
        expected: (t: number) => Deviation,
        sampled: boolean,
      ) => {
        const { mean, sd } = runs[noise];
        const exact = limit(noise, lambda)[field];
        times.forEach((t, i) => {
          const deviation = expected(t);
          const what = `${field} ${noise} t=${t.toPrecision(3)}`;
          const error = deviation.sd / Math.sqrt(spectrumCount);
          const z = (mean[field][i] - exact[i] - deviation.bias) / error;
          expect(Math.abs(z), what).toBeLessThan(4);
          // Of n Gaussian draws the sample deviation scatters by 1/sqrt(2n).
          if (!sampled) return;
          const scatter = 4 / Math.sqrt(2 * counts[noise]);
          expect(Math.abs(sd[field][i] / deviation.sd - 1), what).toBeLessThan(scatter);
        });
      };
      const fixed = (field: "G" | "T" | "V") => (t: number) => fixedDeviation(d, lambda, t, 0.01)[field];
      check("G", "fixed", fixed("G"), true);
      check("T", "fixed", fixed("T"), true);
      check("V", "fixed", fixed("V"), d === 100);
      check("V", "residual", (t) => residualDeviation(d, lambda, t, 0.01, 0.01), d === 100);

      // What is stated for single draws holds for the mean of several all the more.
      const [G, T, ...variances] = errors;
      noiseModes.forEach((noise, i) => {
        const rms = rmsRelative(runs[noise].mean.V, limit(noise, lambda).V);
        expect(rms, `V ${noise}`).toBeLessThan(variances[i]);
      });
      expect(rmsRelative(runs.fixed.mean.G, limit("fixed", lambda).G), "G").toBeLessThan(G);
      expect(rmsRelative(runs.fixed.mean.T, limit("fixed", lambda).T), "T").toBeLessThan(T);
    },
  );

  it("has a spread that falls as d^(-1/2) or faster", () => {
    const spread = (d: number) => {
      const { mean, sd } = theory.simulate({
        d,
        N: 2 * d,
        t: [2],
        noise: "fixed",
        sn2: 0.01,
        draws: 30,
        seed: 5,
      });
      return { G: sd.G[0] / mean.G[0], V: sd.V[0] / mean.V[0] };
    };
    const small = spread(20);
    const large = spread(80);
    expect(small.G / large.G).toBeGreaterThan(1.4);
    expect(small.V / large.V).toBeGreaterThan(2);
  });

  it("agrees with literal gradient flow on drawn data", () => {
    for (const [d, N] of [
      [6, 10],
      [9, 5],
    ]) {
      const [w2, k2, sn2, sig2, wp2, t] = [1.3, 0.4, 0.2, 0.3, 0.9, 1.5];
      const draws = 600;
      const rows = Array.from({ length: draws }, (_, draw) =>
        literal({ d, N, w2, k2, sn2, sig2, wp2, t }, draw),
      );
      const ours = theory.simulate({
        d,
        N,
        t: [t],
        noise: "fixed",
        w2,
        k2,
        sn2,
        sig2,
        wp2,
        u0: 1,
        draws,
        seed: 8,
      });
      for (const field of ["G", "T", "R"] as const) {
        const values = rows.map((row) => row[field]);
        const mean = values.reduce((a, b) => a + b, 0) / draws;
        const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (draws - 1);
        const error = Math.sqrt((variance + ours.sd[field][0] ** 2) / draws);
        expect(Math.abs(mean - ours.mean[field][0]) / error, `${field} d=${d}`).toBeLessThan(3.5);
      }
    }
  });

  it("keeps G = V in the mean when calibrated (Theorem 1), for any size", () => {
    const { draws } = theory.simulate({
      d: 5,
      N: 4,
      t: [1, 10],
      noise: "fixed",
      sn2: 0.5,
      draws: 2000,
      seed: 2,
    });
    for (const i of [0, 1]) {
      const gaps = draws.map((draw) => draw.G[i] - draw.V[i]);
      const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
      const sd = Math.sqrt(gaps.reduce((a, b) => a + (b - mean) ** 2, 0) / (gaps.length - 1));
      expect(Math.abs(mean)).toBeLessThan((3.5 * sd) / Math.sqrt(gaps.length));
      expect(sd / Math.sqrt(gaps.length)).toBeLessThan(0.02);
    }
  });

  it("integrates a learned noise like the closed forms at the limit's moments", () => {
    // At t -> 0 everything follows from tr S and tr S^2: V = u0 + 2 (lambda sig2(0) - u0 tr S/d) t.
    const run = theory.simulate({
      d: 30,
      N: 40,
      t: [0, 1e-6],
      noise: "elbo",
      sn2: 0.1,
      draws: 1,
      seed: 1,
      u0: 0.2,
    });
    const [spectrum] = theory.sampleSpectra({ d: 30, N: 40, draws: 1, seed: 1 });
    const trace = spectrum.reduce((a, b) => a + b, 0) / 30;
    const slope = (run.mean.V[1] - run.mean.V[0]) / 1e-6;
    expect(slope).toBeCloseTo(2 * (0.75 * run.mean.sig2[0] - 0.2 * trace), 4);
    expect(run.mean.sig2[0]).toBeCloseTo(run.mean.R[0] + 0.2 * trace, 12);
  });

  it("is reproducible, and draws depend on the seed", () => {
    const input = { d: 8, N: 12, t: [1], noise: "residual", sn2: 0.1, draws: 3, seed: 4 } as const;
    const run = theory.simulate(input);
    expect(theory.simulate(input)).toEqual(run);
    const more = theory.simulate({ ...input, draws: 4 });
    expect(more.draws.slice(0, 3)).toEqual(run.draws);
    expect(theory.simulate({ ...input, seed: 5 }).mean.G).not.toEqual(run.mean.G);
    expect(theory.simulate({ ...input, draws: 1 }).sd.G).toEqual([0]);
  });

  it("names invalid input", () => {
    const base = { d: 4, N: 4, t: [1], noise: "fixed", sn2: 0.1 } as const;
    expect(() => theory.simulate({ ...base, d: 2.5 })).toThrow(/d: got 2.5, must be an integer /);
    expect(() => theory.simulate({ ...base, N: 0 })).toThrow(/N: got .*, must be/);
    expect(() => theory.simulate({ ...base, t: [-1] })).toThrow(/t: got .*, must be/);
    expect(() => theory.simulate({ ...base, draws: 0 })).toThrow(/draws: got .*, must be/);
    expect(() => theory.simulate({ ...base, noise: "none" as never })).toThrow(
      /noise: got .*, must be one of/,
    );
    expect(() => theory.simulate({ ...base, spectra: [Float64Array.of(1)] })).toThrow(/spectra/);
  });
});

describe("data-set ensembles", () => {
  it("give the reference value, start at 0 and have their limits", () => {
    expect(theory.dataSetEnsemble({ t: 2, lambda: 0.9, w2: 1 }).V).toBeCloseTo(0.1157448084, 10);
    expect(theory.dataSetEnsemble({ t: 0, lambda: 0.9, w2: 1 }).V).toBe(0);
    // <s^2> - <s>^2 = lambda.
    expect(theory.dataSetEnsemble({ t: 1e-5, lambda: 0.7, w2: 1 }).V / 0.7e-10).toBeCloseTo(1, 4);
    expect(theory.dataSetEnsemble({ t: 1e4, lambda: 2, w2: 3 }).V).toBeCloseTo(0.75, 10);
    const { V } = theory.dataSetEnsemble({ t: [0.2, 1, 1.5, 2.2, 20], lambda: 0.9, w2: 1 });
    expect(Math.max(...V)).toBe(Math.max(V[1], V[2], V[3]));
    expect(theory.initEnsemble({ t: 3, lambda: 1.5, k2: 2 }).V).toBeCloseTo(
      2 * theory.spectral(3, 1.5).f0,
      14,
    );
  });

  it("agree with members trained on independent data", () => {
    const [d, N, members] = [100, 111, 12];
    const t = 2;
    const teacher = new Float64Array(d);
    normals(stream(1, 0, "data", 9), teacher);
    const norm = Math.sqrt(teacher.reduce((a, b) => a + b * b, 0));
    const means = Array.from({ length: members }, (_, member) => {
      const x = new Float64Array(d * N);
      normals(stream(1, member + 1, "data", 9), x);
      const X = Matrix.from1DArray(d, N, x);
      const { eigenvectorMatrix: U, realEigenvalues } = new EigenvalueDecomposition(
        X.mmul(X.transpose()).div(N),
        {
          assumeSymmetric: true,
        },
      );
      const inBasis = U.transpose().mmul(Matrix.columnVector(teacher.map((value) => value / norm)));
      realEigenvalues.forEach((s, i) => {
        inBasis.set(i, 0, inBasis.get(i, 0) * -Math.expm1(-s * t));
      });
      return U.mmul(inBasis).to1DArray();
    });
    let V = 0;
    for (let i = 0; i < d; i++) {
      const column = means.map((mean) => mean[i]);
      const centre = column.reduce((a, b) => a + b, 0) / members;
      V += column.reduce((a, b) => a + (b - centre) ** 2, 0) / (members - 1);
    }
    const expected = theory.dataSetEnsemble({ t, lambda: d / N, w2: 1 }).V;
    expect(Math.abs(V / expected - 1)).toBeLessThan(0.1);
  });
});

interface Setting {
  d: number;
  N: number;
  w2: number;
  k2: number;
  sn2: number;
  sig2: number;
  wp2: number;
  t: number;
}

/** Gradient descent with small steps, halved and extrapolated, on one explicit data set. */
function literal({ d, N, w2, k2, sn2, sig2, wp2, t }: Setting, draw: number) {
  const rng = stream(77, draw, "data", 0);
  const draw1 = (count: number) => {
    const values = new Float64Array(count);
    normals(rng, values);
    return values;
  };
  const x = draw1(N * d);
  const direction = draw1(d);
  const length = Math.sqrt(direction.reduce((a, b) => a + b * b, 0));
  const teacher = direction.map((value) => (value * Math.sqrt(w2)) / length);
  const initial = draw1(d).map((value) => value * Math.sqrt(k2 / d));
  const y = draw1(N).map((value, n) => {
    let label = value * Math.sqrt(sn2);
    for (let i = 0; i < d; i++) label += x[n * d + i] * teacher[i];
    return label;
  });
  const gam = ((d / N) * sig2) / wp2;
  const residuals = (m: Float64Array) =>
    y.map((label, n) => {
      let r = label;
      for (let i = 0; i < d; i++) r -= x[n * d + i] * m[i];
      return r;
    });
  const descend = (steps: number) => {
    let m = initial.slice();
    for (let k = 0; k < steps; k++) {
      const r = residuals(m);
      m = m.map((value, i) => {
        let force = -gam * value;
        for (let n = 0; n < N; n++) force += (x[n * d + i] * r[n]) / N;
        return value + (t / steps) * force;
      });
    }
    return m;
  };
  const coarse = descend(100);
  const m = descend(200).map((value, i) => 2 * value - coarse[i]);
  let [G, T] = [0, 0];
  for (let i = 0; i < d; i++) G += (m[i] - teacher[i]) ** 2;
  for (let n = 0; n < N; n++) {
    let error = 0;
    for (let i = 0; i < d; i++) error += x[n * d + i] * (m[i] - teacher[i]);
    T += (error * error) / N;
  }
  const R = residuals(m).reduce((a, b) => a + b * b, 0) / N;
  return { G, T, R };
}
