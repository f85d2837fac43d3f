/** Trained regressions of the sizes that finite-size errors are stated for, from t = 0.05 to 100, the largest to 10. */
import { describe, expect, it } from "vitest";
import * as theory from "../src/theory/index.ts";
import { eigenbasis } from "./fixtures/regression-draw.ts";
import { fixedDeviation, residualDeviation } from "./reference/fluctuations.ts";
import { descendModes } from "./reference/linear-elbo.ts";

const noiseModels = ["fixed", "residual", "elbo"] as const;
type NoiseModel = (typeof noiseModels)[number];

const limits = { fixed: theory.fixedNoise, residual: theory.residualNoise, elbo: theory.elboNoise };
const initialVariance = { fixed: 1, residual: 0.01, elbo: 0.01 };
const sn2 = 0.01;
const seed = 3;
const TIMES = Array.from({ length: 25 }, (_, i) => 0.05 * 2000 ** (i / 24));

/** Rms relative deviations of V from the limit: fixed, residual, ELBO noise; of G; of T. */
const stated: [number, [number, number, number], number, number][] = [
  [0.5, [0.029, 0.075, 0.072], 0.214, 0.102],
  [0.9, [0.023, 0.1, 0.075], 0.24, 0.122],
  [1.5, [0.0076, 0.119, 0.111], 0.149, 0.169],
];

interface Size {
  d: number;
  lambda: number;
  noiseModel: NoiseModel;
  draws: number;
  /** Largest step, and largest share of the time. */
  steps: [number, number];
  /** Last time; all by default. */
  until?: number;
}

/** Train, and check the first draw against the exact dynamics of its own data and all against the limit. */
async function train({
  d,
  lambda: ratio,
  noiseModel,
  draws,
  steps: [largest, share],
  until = Infinity,
}: Size) {
  const times = TIMES.filter((t) => t <= until);
  const u0 = initialVariance[noiseModel];
  const first = u0 / 10;
  const eta = times.map((t, i) => Math.min(largest, share * t, i === 0 ? first : Infinity));
  const input = { d, lambda: ratio, noiseModel, sn2, times, eta, draws, seed };
  const run = await theory.trainRegression(input);
  const { lambda } = run;
  const limit = limits[noiseModel]({ t: times, lambda, sn2, u0 });

  const segments = times.map((t, i) => {
    const span = t - (times[i - 1] ?? 0);
    const steps = Math.ceil(span / eta[i] - 1e-9);
    return { steps, eta: span / steps };
  });
  const N = Math.round(d / ratio);
  const prior = noiseModel === "fixed" ? lambda : 0;
  const modes = eigenbasis(input, d, N);
  const exact = descendModes({ ...modes, N, u0, noise: noiseModel, sig2: sn2, prior }, segments);
  const [draw] = run.draws;
  exact.forEach((sums, i) => {
    const what = `t=${times[i].toPrecision(3)}`;
    for (const field of ["G", "T", "V"] as const) {
      expect(Math.abs(draw[field][i] / sums[field] - 1), `${field} ${what}`).toBeLessThan(1e-4);
    }
    // The residual of a label of order 1, and <SR, R> with S R cancelling in the null space, have an absolute accuracy.
    expect(Math.abs(draw.R[i] - sums.R), `R ${what}`).toBeLessThan(1e-4 * sums.R + 1e-10);
    expect(Math.abs(draw.VS[i] - sums.VS), `VS ${what}`).toBeLessThan(1e-4 * sums.VS + 1e-7 * sums.V);
  });

  times.forEach((t, i) => {
    const deviations = {
      ...(noiseModel === "elbo" ? {} : fixedDeviation(d, lambda, t, sn2)),
      ...(noiseModel === "residual" ? { V: residualDeviation(d, lambda, t, sn2, u0) } : {}),
    };
    for (const [field, { bias, sd }] of Object.entries(deviations)) {
      const value = limit[field as "G" | "T" | "V"][i];
      const off = Math.abs(run.mean[field as "G" | "T" | "V"][i] - value - bias);
      // Discretisation: a relative eta/2t for the modes that are alive at t.
      const allowed = (4 * sd) / Math.sqrt(draws) + (eta[i] / (2 * t)) * value;
      expect(off / allowed, `${field} t=${t.toPrecision(3)}`).toBeLessThan(1);
    }
  });
  return { run, limit };
}

const rms = (values: number[], expected: number[]) =>
  Math.sqrt(values.reduce((sum, v, i) => sum + (v / expected[i] - 1) ** 2, 0) / values.length);

describe("regressions trained on the ELBO follow the closed forms", () => {
  it.each(
    stated.flatMap(([lambda, V, G, T]) =>
      noiseModels.map((noise, i) => [lambda, noise, V[i], G, T] as const),
    ),
  )("within the finite-size errors at d = 100: lambda %d, %s", async (lambda, noiseModel, V, G, T) => {
    const { run, limit } = await train({ d: 100, lambda, noiseModel, draws: 6, steps: [0.1, 0.02] });
    expect(rms(run.mean.V, limit.V), "V").toBeLessThan(V);
    expect(rms(run.mean.G, limit.G), "G").toBeLessThan(G);
    expect(rms(run.mean.T, limit.T), "T").toBeLessThan(T);
  });

  it.each([
    [0.5, "fixed", 0.24],
    [0.9, "residual", 0.18],
    [1.5, "elbo", 0.14],
  ] as const)(
    "at d = 400, to t = 10: lambda %d, %s",
    async (lambda, noiseModel, largest) => {
      await train({ d: 400, lambda, noiseModel, draws: 1, steps: [largest, 0.06], until: 10 });
    },
    300_000,
  );
});
