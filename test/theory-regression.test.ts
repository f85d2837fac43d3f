/** Bayesian regression trained in the core against naive twins, exact discrete dynamics and the closed forms. */
import { describe, expect, it } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import { LinearElbo } from "../src/core/linear-elbo.ts";
import type { MathMode } from "../src/core/module.ts";
import * as theory from "../src/theory/index.ts";
import { fixedModes, learnedModes, type ModeSystem } from "../src/theory/modes.ts";
import { drawData, type RegressionInput } from "../src/theory/regression.ts";
import { eigenbasis } from "./fixtures/regression-draw.ts";
import {
  denseMeasures,
  descendModes,
  type ElboProblem,
  type ElboState,
  elboGradient,
  negativeElbo,
} from "./reference/linear-elbo.ts";
import { Random } from "./reference/random.ts";

const noiseModels = ["fixed", "residual", "elbo"] as const;
const fields = ["G", "T", "R", "V", "VS"] as const;

function problemOf(d: number, N: number, seed: number) {
  const random = new Random(seed);
  const float = (values: Float64Array) => Float32Array.from(values);
  const inputs = float(random.normals(N * d));
  const labels = float(random.normals(N));
  const mean = float(random.normals(d));
  // Neither symmetric nor near the identity, but regular.
  const factor = float(
    random.normals(d * d).map((value, at) => 0.1 * value + (at % (d + 1) === 0 ? 0.5 : 0)),
  );
  return { d, N, inputs, labels, teacher: float(random.normals(d)), mean, factor };
}

function stateOf({ mean, factor }: { mean: Float32Array; factor: Float32Array }): ElboState {
  return { mean: Float64Array.from(mean), factor: Float64Array.from(factor) };
}

function largest(values: ArrayLike<number>): number {
  return Math.max(...Array.from(values, Math.abs));
}

describe("the twin's gradient", () => {
  it("is the slope of the negative ELBO along random directions", () => {
    const problem: ElboProblem = problemOf(5, 8, 1);
    const state = stateOf(problemOf(5, 8, 1));
    const random = new Random(2);
    for (let trial = 0; trial < 5; trial++) {
      const along = { mean: random.direction(5), factor: random.direction(25) };
      const at = (h: number) =>
        negativeElbo(
          problem,
          {
            mean: state.mean.map((value, i) => value + h * along.mean[i]),
            factor: state.factor.map((value, i) => value + h * along.factor[i]),
          },
          0.7,
          0.9,
        );
      const h = 1e-4;
      const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      const gradient = elboGradient(problem, state, 0.7, 0.9);
      const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
      const expected = dot(gradient.mean, along.mean) + dot(gradient.factor, along.factor);
      expect(slope).toBeCloseTo(expected, 9);
    }
  });
});

describe.each<MathMode>(["strict", "fast"])("descent in the core, %s build", (math) => {
  it.each([
    [1, 3],
    [7, 11],
    [9, 5],
    [13, 40],
  ])("takes the steps of the twin from a general factor, d = %i, N = %i", async (d, N) => {
    const problem = problemOf(d, N, 3);
    for (const noise of noiseModels) {
      const core = new LinearElbo(await loadCoreModule(math), problem);
      const state = stateOf(problem);
      for (let k = 0; k < 6; k++) {
        const measures = denseMeasures(problem, state);
        const sig2 = { fixed: 0.3, residual: measures.R, elbo: measures.R + measures.VS }[noise];
        for (const field of ["R", "V", "VS"] as const)
          expect(Math.abs(core.measure()[field] / measures[field] - 1), field).toBeLessThan(1e-5);
        const gradient = elboGradient(problem, state, sig2, 0.4);
        const before = { mean: core.mean, factor: core.factor };
        core.step({ eta: 0.05, noise, sig2: 0.3, prior: 0.4 });
        const after = { mean: core.mean, factor: core.factor };
        for (const part of ["mean", "factor"] as const) {
          const moved = before[part].map((value, i) => (value - after[part][i]) / 0.05);
          const error = moved.map((value, i) => value - gradient[part][i]);
          expect(largest(error), `${noise} ${part}`).toBeLessThan(
            2e-5 * (largest(gradient[part]) + largest(before[part])),
          );
          const size = largest(before[part]) + 0.05 * largest(gradient[part]);
          state[part] = state[part].map((value, i) => value - 0.05 * gradient[part][i]);
          const off = largest(after[part].map((value, i) => value - state[part][i]));
          expect(off / size, `${noise} ${part} after`).toBeLessThan(3e-6);
        }
      }
    }
  });

  it("updates standard deviations like a diagonal factor", async () => {
    const problem = problemOf(6, 9, 4);
    const deviations = Float32Array.from([0.5, 1, 0.2, 0.7, 1.5, 0.9]);
    const core = new LinearElbo(await loadCoreModule(math), { ...problem, factor: deviations });
    let expected = Array.from(deviations);
    const mean = problem.mean.slice();
    for (let k = 0; k < 5; k++) {
      core.step({ eta: 0.1, noise: "fixed", sig2: 0.3, prior: 0.4 });
      expected = expected.map((value, j) => {
        let s = 0;
        for (let n = 0; n < 9; n++) s += problem.inputs[n * 6 + j] ** 2 / 9;
        return value - 0.1 * ((s + 0.12) * value - 0.3 / 9 / value);
      });
    }
    for (let j = 0; j < 6; j++) expect(core.factor[j]).toBeCloseTo(expected[j], 5);
    expect(core.measure().V).toBeCloseTo(
      expected.reduce((sum, value) => sum + value ** 2, 0),
      5,
    );
    expect(core.mean).not.toEqual(mean);
  });

  it("refuses a singular factor and arrays of the wrong length", async () => {
    const problem = problemOf(6, 9, 5);
    const module = await loadCoreModule(math);
    const flat = problem.factor.slice();
    flat.copyWithin(0, 6, 12);
    const core = new LinearElbo(module, { ...problem, factor: flat });
    const before = core.factor;
    expect(() => core.step({ eta: 0.01, noise: "fixed", sig2: 0.3, prior: 0 })).toThrow(/singular/);
    expect(core.factor).toEqual(before);
    // Without noise no inverse is needed.
    core.step({ eta: 0.01, noise: "fixed", sig2: 0, prior: 0 });
    expect(core.factor).not.toEqual(before);
    expect(() => new LinearElbo(module, { ...problem, labels: new Float32Array(8) })).toThrow(
      /length of labels: got 8, must be 9/,
    );
    expect(() => new LinearElbo(module, { ...problem, factor: new Float32Array(12) })).toThrow(/factor/);
  });
});

describe("trainRegression", () => {
  const times = [0.05, 0.2, 1, 5, 20];

  it.each(
    [0.5, 0.9, 1.5].flatMap((lambda) =>
      noiseModels.flatMap((noiseModel) => [Infinity, 1].map((wp2) => [noiseModel, lambda, wp2] as const)),
    ),
  )(
    "follows the exact discrete dynamics of its own draw: %s, lambda %d, wp2 %d",
    async (noiseModel, lambda, wp2) => {
      const eta = [0.0025, 0.005, 0.02, 0.1, 0.1];
      const d = 60;
      const input = {
        d,
        lambda,
        noiseModel,
        sn2: 0.01,
        u0: 0.1,
        wp2,
        eta,
        times,
        draws: 1,
        seed: 6,
      } as const;
      const run = await theory.trainRegression(input);
      const N = Math.round(d / lambda);
      const segments = times.map((t, i) => {
        const span = t - (times[i - 1] ?? 0);
        const steps = Math.ceil(span / eta[i] - 1e-9);
        return { steps, eta: span / steps };
      });
      const exact = descendModes(
        {
          ...eigenbasis(input, d, N),
          N,
          u0: 0.1,
          noise: noiseModel,
          sig2: 0.01,
          prior: d / N / wp2,
        },
        segments,
      );
      exact.forEach((sums, i) => {
        for (const field of fields) {
          expect(Math.abs(run.mean[field][i] / sums[field] - 1), `${field} t=${times[i]}`).toBeLessThan(1e-4);
        }
      });
    },
  );

  it("loses the mean to float32 where eta s nears its resolution, but not the covariance", async () => {
    const [d, N, eta] = [40, 80, 0.02];
    const input = { d, lambda: 0.5, noiseModel: "fixed", sn2: 0, times: [40, 200], eta, draws: 1 } as const;
    const run = await theory.trainRegression(input);
    const modes = eigenbasis(input, d, N);
    const segments = [2000, 8000].map((steps) => ({ steps, eta }));
    const exact = descendModes({ ...modes, N, u0: 1, noise: "fixed", sig2: 0, prior: 0 }, segments);
    expect(exact[1].V).toBeLessThan(1e-15);
    exact.forEach(({ V }, i) => {
      expect(Math.abs(run.mean.V[i] / V - 1)).toBeLessThan(2e-3);
    });
    const floor = (2 ** -24 / (eta * Math.min(...modes.s))) ** 2;
    expect(exact[1].G).toBeLessThan(floor / 1e3);
    expect(run.mean.G[1]).toBeLessThan(4 * floor);
    expect(run.mean.G[1]).toBeGreaterThan(floor / 1e3);
  });

  it.each(noiseModels)(
    "tends to the continuous dynamics of its draw as eta falls: %s",
    async (noiseModel) => {
      const [d, lambda] = [60, 0.8];
      const N = Math.round(d / lambda);
      const times = [0.2, 1, 5];
      const base = { d, lambda, noiseModel, sn2: 0.01, u0: 0.3, wp2: 1, times, draws: 1, seed: 9 } as const;
      const { s, target, teacher, labelPower } = eigenbasis(base, d, N);
      const noiseOf = target.map((h, i) => h - s[i] * teacher[i]);
      const system: ModeSystem = {
        lambda: d / N,
        s,
        u0: 0.3,
        wp2: 1,
        observe: ({ b, z, u }) => {
          const sums = { G: 0, T: 0, R: labelPower, V: 0, VS: 0 };
          for (let i = 0; i < d; i++) {
            const error = -b[i] * teacher[i] + z[i] * noiseOf[i];
            const m = error + teacher[i];
            sums.G += error ** 2;
            sums.T += s[i] * error ** 2;
            sums.R += m * (s[i] * m - 2 * target[i]);
            sums.V += u[i] / d;
            sums.VS += (s[i] * u[i]) / d;
          }
          return sums;
        },
      };
      const exact =
        noiseModel === "fixed"
          ? fixedModes(system, times, 0.01)
          : learnedModes(system, times, noiseModel, 1e-10);
      const coarse = await theory.trainRegression({ ...base, eta: 0.01 });
      const fine = await theory.trainRegression({ ...base, eta: 0.005 });
      exact.forEach((sums, i) => {
        for (const field of [...fields, "MI", "sig2"] as const) {
          const what = `${field} t=${times[i]}`;
          const [a, b] = [coarse, fine].map((run) => run.mean[field][i] / sums[field] - 1);
          // First order in eta, so that the extrapolated value is second order.
          expect(Math.abs(b), what).toBeLessThan(0.02);
          expect(Math.abs(2 * b - a), what).toBeLessThan(0.002);
        }
      });
    },
  );

  const base = { sn2: 0.01, seed: 3 };

  it("gives a mean-field covariance that does not see the spectrum", async () => {
    const times = [0.1, 0.35, 1];
    const [d, u0] = [200, 1];
    for (const lambda of [0.5, 0.99, 1.5]) {
      const run = await theory.trainRegression({
        ...base,
        d,
        lambda,
        noiseModel: "fixed",
        covariance: "meanField",
        times,
        eta: 0.0005,
        draws: 1,
      });
      const N = Math.round(d / lambda);
      const { inputs } = drawData(d, N, { w2: 1, k2: 0, sn2: 0.01 }, base.seed, 0);
      const gam = run.lambda * 0.01;
      const limit = theory.covarianceFlow({
        t: times,
        lambda: run.lambda,
        parametrisation: "std",
        basis: "original",
        sig2: 0.01,
        wp2: 1,
        u0,
        d,
      });
      times.forEach((t, i) => {
        let V = 0;
        for (let j = 0; j < d; j++) {
          let a = gam;
          for (let n = 0; n < N; n++) a += inputs[n * d + j] ** 2 / N;
          const end = 0.01 / N / a;
          V += end + (u0 / d - end) * Math.exp(-2 * a * t);
        }
        expect(Math.abs(run.mean.V[i] / V - 1)).toBeLessThan(0.002);
        // The spread of the diagonal of S, sqrt(2/N), adds a relative 4 t^2/N.
        expect(Math.abs(run.mean.V[i] / limit.V[i] - 1)).toBeLessThan(0.01 + (8 * t * t) / N);
      });
      expect(Math.abs(run.mean.V[1] / 0.5 - 1)).toBeLessThan(0.05);
    }
  });

  it("is reproducible, and equal in both builds up to rounding", async () => {
    const input = { ...base, d: 20, lambda: 0.8, noiseModel: "elbo", times: [0, 1], eta: 0.01 } as const;
    const run = await theory.trainRegression({ ...input, draws: 2 });
    expect(await theory.trainRegression({ ...input, draws: 2 })).toEqual(run);
    const more = await theory.trainRegression({ ...input, draws: 3 });
    expect(more.draws.slice(0, 2)).toEqual(run.draws);
    expect(more.sd.G[1]).toBeGreaterThan(0);
    const strict = await theory.trainRegression({ ...input, draws: 2, math: "strict" });
    for (const field of fields) expect(strict.mean[field][1] / run.mean[field][1]).toBeCloseTo(1, 5);
    expect(run.mean.G[0]).toBeCloseTo(1, 6);
    expect(run.mean.V[0]).toBeCloseTo(0.01, 8);
    expect(run.mean.sig2[0]).toBeCloseTo(run.mean.R[0] + run.mean.VS[0], 12);
    expect(run.mean.MI[1]).toBeGreaterThan(0);
  });

  it("trains on the inputs that `simulate` decomposes", async () => {
    const [d, lambda] = [40, 0.8];
    const times = [1];
    const trained = await theory.trainRegression({
      ...base,
      d,
      lambda,
      noiseModel: "fixed",
      times,
      eta: 0.0005,
      draws: 2,
    });
    const simulated = theory.simulate({ d, N: 50, t: times, noise: "fixed", sn2: 0.01, draws: 2, seed: 3 });
    for (const draw of [0, 1])
      expect(trained.draws[draw].V[0] / simulated.draws[draw].V[0]).toBeCloseTo(1, 3);
  });

  it("names invalid input", async () => {
    const input = { ...base, d: 8, lambda: 0.8, noiseModel: "residual", times: [1], eta: 0.01 } as const;
    const failure = (change: object) => theory.trainRegression({ ...input, ...change } as RegressionInput);
    await expect(failure({ lambda: 0 })).rejects.toThrow(/lambda: got 0, must be/);
    await expect(failure({ lambda: 20 })).rejects.toThrow(/N = d\/lambda: got .*, must be an integer/);
    await expect(failure({ u0: 0 })).rejects.toThrow(/u0: got .*, must be .* above 0/);
    await expect(failure({ eta: 0.5 })).rejects.toThrow(/eta: got 0.5, must be below .*/);
    await expect(failure({ eta: [0.1, 0.1] })).rejects.toThrow(
      /length of eta: got 2, must be 1, that of times/,
    );
    await expect(failure({ times: [2, 1] })).rejects.toThrow(
      /times: got 1 after 2, must be in an order that does not decrease/,
    );
    await expect(failure({ times: [-1] })).rejects.toThrow(/times: got .*, must be/);
    await expect(failure({ noiseModel: "none" })).rejects.toThrow(/noiseModel: got .*, must be one of/);
    await expect(failure({ covariance: "none" })).rejects.toThrow(/covariance: got .*, must be one of/);
    await expect(failure({ draws: 0 })).rejects.toThrow(/draws/);
  });
});
