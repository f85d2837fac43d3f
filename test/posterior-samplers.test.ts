/** SWAG, IVON, SGLD and the learning coefficient against closed forms; ensembles and mixtures; saving. */
import { describe, expect, it } from "vitest";
import { DivergedChainError, LangevinChain } from "../src/curvature/langevin.ts";
import { chainDiagnostics, estimateLearningCoefficient } from "../src/curvature/llc.ts";
import { softmaxRows } from "../src/curvature/model.ts";
import { EmpiricalPosterior } from "../src/posterior/empirical.ts";
import { fitLaplace } from "../src/posterior/laplace/fit.ts";
import { loadPosterior } from "../src/posterior/load.ts";
import { IvonPosterior, ivonPosterior } from "../src/posterior/methods/ivon.ts";
import { fitSgld, type SgldChainOptions } from "../src/posterior/methods/sgld.ts";
import { SwagCollector, SwagPosterior } from "../src/posterior/methods/swag.ts";
import { MixturePosterior } from "../src/posterior/mixture.ts";
import type { Posterior } from "../src/posterior/posterior.ts";
import { normals } from "../src/random.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import { TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import {
  cholesky,
  choleskySolve,
  covarianceScores,
  matVec,
  plusIdentity,
  withSpectrum,
} from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { ReferenceIvon, type ReferenceIvonOptions } from "./reference/ivon.ts";
import { Random } from "./reference/random.ts";

const rng = (step = 0) => testStream(11, step);

function inverse(a: Float64Array, n: number): Float64Array {
  const l = cholesky(a, n);
  const out = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    const unit = new Float64Array(n);
    unit[j] = 1;
    out.set(choleskySolve(l, n, unit), j * n);
  }
  return out;
}

function expectCovariance(draws: readonly ArrayLike<number>[], covariance: Float64Array, n: number) {
  for (const score of Object.values(covarianceScores(draws, inverse(covariance, n), n)))
    expect(Math.abs(score)).toBeLessThan(4);
}

describe("SWAG", () => {
  const n = 6;
  const random = new Random(61);
  const iterates = Array.from({ length: 30 }, () => random.normals(n).map((x, i) => 100 + (i + 1) * x));
  const collect = (maxRank: number) => {
    const collector = new SwagCollector(n, maxRank);
    for (const theta of iterates) collector.collect(theta);
    return collector.posterior();
  };
  const centred = (posterior: SwagPosterior, count: number) => {
    const shared = rng();
    return Array.from({ length: count }, () => posterior.sample(shared).map((x, i) => x - posterior.mean[i]));
  };
  const mean = Float64Array.from({ length: n }, (_, i) => iterates.reduce((s, t) => s + t[i], 0) / 30);
  const variance = mean.map((m, i) => iterates.reduce((s, t) => s + (t[i] - m) ** 2, 0) / 30);

  it("keeps mean, variance and the last K deviations from the mean so far", () => {
    const posterior = collect(4);
    posterior.mean.forEach((x, i) => {
      expect(x).toBeCloseTo(mean[i], 4);
      expect(posterior.variance[i]).toBeCloseTo(variance[i], 10);
    });
    expect(posterior.deviations).toHaveLength(4);
    posterior.deviations.forEach((deviation, k) => {
      const seen = 27 + k;
      deviation.forEach((x, i) => {
        const running = iterates.slice(0, seen).reduce((s, t) => s + t[i], 0) / seen;
        expect(x).toBeCloseTo(iterates[seen - 1][i] - running, 5);
      });
    });
  });

  it("diagonal: draws have the variances of the iterates", () => {
    const covariance = new Float64Array(n * n);
    variance.forEach((v, i) => {
      covariance[i * (n + 1)] = v;
    });
    expectCovariance(centred(collect(0), 10000), covariance, n);
  });

  it("low rank: covariance is half the diagonal plus half the deviations', also across tensors", () => {
    const posterior = collect(4);
    const covariance = new Float64Array(n * n);
    variance.forEach((v, i) => {
      covariance[i * (n + 1)] = v / 2;
    });
    for (const d of posterior.deviations)
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) covariance[i * n + j] += (d[i] * d[j]) / (2 * 3);
    expectCovariance(centred(posterior, 10000), covariance, n);
  });

  it("keeps 20 deviations unless told, and as many as there are iterates before", () => {
    const collector = new SwagCollector(n);
    for (const theta of iterates.slice(0, 3)) collector.collect(theta);
    expect(collector.posterior().deviations).toHaveLength(3);
    for (const theta of iterates) collector.collect(theta);
    expect(collector.posterior().deviations).toHaveLength(20);
  });

  it("names what is wrong", () => {
    const collector = new SwagCollector(n);
    expect(() => collector.posterior()).toThrow(/iterates: got 0/);
    expect(() => collector.collect(new Float64Array(2))).toThrow(/length of parameters: got 2, must be 6/);
    expect(() => new SwagCollector(n, -1)).toThrow(/maxRank: got -1/);
    expect(() => new SwagCollector(n, 1)).toThrow(/maxRank: got 1/);
    expect(() => new SwagCollector(2 ** 45)).toThrow(
      /parameterCount: got 35184372088832, must be an integer from 1 to 1073741824/,
    );
    expect(() => new SwagPosterior(new Float32Array(2), new Float64Array(2), [new Float32Array(2)])).toThrow(
      /deviations: got 1/,
    );
    for (const bad of [-1, Number.NaN])
      expect(() => new SwagPosterior(new Float32Array(1), Float64Array.of(bad), [])).toThrow(
        new RangeError(`variance: got ${bad} at index 0, must be at least 0, and its root finite in float32`),
      );
  });
});

describe("IVON in float64, which the core is compared with, on a quadratic", () => {
  const n = 4;
  const { matrix } = withSpectrum(new Random(62), [4, 2, 1, 0.5]);
  const optimum = Float64Array.of(1, -2, 0.5, 3);
  const weightDecay = 0.3;
  const options: ReferenceIvonOptions = {
    ...{ learningRate: 0.02, effectiveSampleSize: 2000, weightDecay, beta1: 0.9, beta2: 0.9999 },
    clipRadius: 0,
  };
  const gradient = (theta: Float64Array) =>
    matVec(
      matrix,
      n,
      theta.map((t, i) => t - optimum[i]),
    );
  const noiseOf = (shared: ReturnType<typeof rng>) => {
    const z = new Float64Array(n);
    normals(shared, z);
    return z;
  };

  it("converges to (A + delta I) m = A theta*, h = diag A", () => {
    const ivon = new ReferenceIvon(new Float64Array(n), 1, { ...options });
    const shared = rng();
    const meanOfM = new Float64Array(n);
    const meanOfH = new Float64Array(n);
    for (let step = 0; step < 200_000; step++) {
      ivon.options.learningRate = step < 60_000 ? 0.02 : 0.002;
      ivon.step([noiseOf(shared)], gradient);
      if (step < 100_000) continue;
      for (let i = 0; i < n; i++) {
        meanOfM[i] += ivon.mean[i] / 100_000;
        meanOfH[i] += ivon.hessian[i] / 100_000;
      }
    }
    const expected = choleskySolve(
      cholesky(plusIdentity(matrix, n, weightDecay), n),
      n,
      matVec(matrix, n, optimum),
    );
    // The estimates of h have variance lambda (h + delta) g^2 + ..., averaged over 100 000 steps: below 0.1.
    for (let i = 0; i < n; i++) {
      expect(Math.abs(meanOfM[i] - expected[i])).toBeLessThan(0.01);
      expect(Math.abs(meanOfH[i] / matrix[i * (n + 1)] - 1)).toBeLessThan(0.1);
    }
    const hessian = Float32Array.from(ivon.hessian);
    const { variance } = ivonPosterior(Float32Array.from(ivon.mean), hessian, options);
    variance.forEach((v, i) => {
      expect(v).toBeCloseTo(1 / (2000 * (hessian[i] + weightDecay)), 12);
    });
  });

  it("one step is the published update", () => {
    const start = Float64Array.of(0.2, -0.1, 0.4, 0);
    const ivon = new ReferenceIvon(start, 1, { ...options, beta2: 0.9, learningRate: 0.1 });
    const z = noiseOf(rng());
    ivon.step([z], gradient);
    const sigma = 1 / Math.sqrt(2000 * 1.3);
    const g = gradient(start.map((m, i) => m + sigma * z[i]));
    for (let i = 0; i < n; i++) {
      const estimate = (g[i] * sigma * z[i]) / sigma ** 2;
      const h = 0.9 + 0.1 * estimate + (0.1 ** 2 * (1 - estimate) ** 2) / (2 * 1.3);
      expect(ivon.hessian[i]).toBeCloseTo(h, 10);
      expect(ivon.mean[i]).toBeCloseTo(
        start[i] - (0.1 * (g[i] + weightDecay * start[i])) / (h + weightDecay),
        10,
      );
    }
  });

  it("clips the preconditioned step", () => {
    const ivon = new ReferenceIvon(new Float64Array(n), 1, { ...options, clipRadius: 1e-3, learningRate: 1 });
    ivon.step([noiseOf(rng())], gradient);
    expect(Math.max(...ivon.mean.map(Math.abs))).toBe(1e-3);
  });

  it("draws from the posterior of a stored mean and h", () => {
    const hessian = Float32Array.of(3, 0.1, 1, 0);
    const posterior = ivonPosterior(Float32Array.of(5, 5, 5, 5), hessian, options);
    const covariance = new Float64Array(n * n);
    hessian.forEach((h, i) => {
      covariance[i * (n + 1)] = 1 / (2000 * (h + weightDecay));
    });
    const shared = rng();
    const draws = Array.from({ length: 10000 }, () => posterior.sample(shared).map((x) => x - 5));
    expectCovariance(draws, covariance, n);
  });

  it("names what is wrong", () => {
    expect(() => ivonPosterior(new Float32Array(2), new Float32Array(3), options)).toThrow(
      /length of hessian/,
    );
    expect(() => new IvonPosterior(new Float32Array(1), Float64Array.of(-1))).toThrow(/variance: got -1/);
  });
});

describe("Langevin chains on quadratics", () => {
  const curvature = Float64Array.of(4, 1, 0.25, 0);
  const [trainingTerms, priorPrecision, stepSize] = [50, 2, 0.004];
  const gradient = (theta: Float64Array) => theta.map((t, i) => curvature[i] * t);
  const options = (overrides: Partial<SgldChainOptions> = {}): SgldChainOptions => ({
    ...{ stepSize, trainingTerms, priorPrecision, burnIn: 2000, thinning: 1, draws: 400_000, rng: rng() },
    ...overrides,
  });

  /** Compare second moments with the stationary variance, in units of their error under autocorrelation 1 - e k / 2. */
  function expectStationary(
    states: readonly Float32Array[],
    k: (i: number) => number,
    step: (i: number) => number,
  ) {
    curvature.forEach((_, i) => {
      const second = states.reduce((sum, s) => sum + s[i] ** 2, 0) / states.length;
      const expected = 1 / (k(i) * (1 - (step(i) * k(i)) / 4));
      const rho = (1 - (step(i) * k(i)) / 2) ** 2;
      const error = expected * Math.sqrt((2 * (1 + rho)) / (1 - rho) / states.length);
      expect(Math.abs(second - expected) / error).toBeLessThan(4);
      expect(error / expected).toBeLessThan(0.1);
    });
  }

  it("plain: variance 1 / [k (1 - e k / 4)], at temperature 1 and others", () => {
    for (const temperature of [1, 4]) {
      const { states } = fitSgld(new Float64Array(4), gradient, options({ temperature }));
      expectStationary(
        states,
        (i) => (trainingTerms / temperature) * curvature[i] + priorPrecision,
        () => stepSize,
      );
    }
  });

  it("preconditioned: the same law with a step size for each parameter", () => {
    const chain = new LangevinChain(Float64Array.of(1, 1, 1, 1), {
      ...{ stepSize: 0.002, lossWeight: trainingTerms, precision: priorPrecision },
      preconditioner: { epsilon: 0.1 },
    });
    const shared = rng();
    const shown = Float64Array.of(1, 0.5, 0.2, 0.1);
    chain.step(shown, shared);
    chain.freeze();
    const states: Float32Array[] = [];
    for (let step = 0; step < 402_000; step++) {
      chain.step(gradient(chain.position), shared);
      if (step >= 2000) states.push(Float32Array.from(chain.position));
    }
    expectStationary(
      states,
      (i) => trainingTerms * curvature[i] + priorPrecision,
      (i) => 0.002 / (shown[i] + 0.1),
    );
  });

  it("the preconditioner is the debiased running mean of squares, until it is frozen", () => {
    const [e, weight, precision] = [0.01, 3, 0.5];
    const centre = Float64Array.of(1, 0);
    const chain = new LangevinChain(Float64Array.of(0.3, -2), {
      ...{ stepSize: e, lossWeight: weight, precision, centre, preconditioner: {} },
    });
    const [shared, again] = [rng(), rng()];
    const theta = Float64Array.of(0.3, -2);
    const z = new Float64Array(2);
    const shown = [
      [0.5, 0],
      [-2, 1e-3],
      [7, 7],
    ];
    // Decay 0.99, epsilon 1e-5: squares of the first two gradients, the second the fresher; then frozen.
    const mean = (i: number, count: number) =>
      count === 1
        ? shown[0][i] ** 2
        : (0.99 * shown[0][i] ** 2 + shown[1][i] ** 2) * ((1 - 0.99) / (1 - 0.99 ** 2));
    shown.forEach((gradient, step) => {
      if (step === 2) chain.freeze();
      chain.step(Float64Array.from(gradient), shared);
      normals(again, z);
      for (let i = 0; i < 2; i++) {
        const G = 1 / (Math.sqrt(mean(i, Math.min(step + 1, 2))) + 1e-5);
        const force = weight * gradient[i] + precision * (theta[i] - centre[i]);
        theta[i] += -(e / 2) * G * force + Math.sqrt(e * G) * z[i];
        expect(chain.position[i] / theta[i]).toBeCloseTo(1, 10);
      }
    });
  });

  it("a preconditioned posterior adapts during the burn-in only", () => {
    const settings = options({ burnIn: 3, thinning: 2, draws: 4, preconditioned: true, stepSize: 1e-4 });
    const { states } = fitSgld(Float64Array.of(1, 2, 3, 4), gradient, settings);
    const chain = new LangevinChain(Float64Array.of(1, 2, 3, 4), {
      ...{ stepSize: 1e-4, lossWeight: trainingTerms, precision: priorPrecision, preconditioner: {} },
    });
    const shared = rng();
    const expected: Float32Array[] = [];
    for (let step = 0; step < 11; step++) {
      if (step === 3) chain.freeze();
      chain.step(gradient(chain.position), shared);
      if ([4, 6, 8, 10].includes(step)) expected.push(Float32Array.from(chain.position));
    }
    expect(states).toEqual(expected);
  });

  it("keeps the asked number of states, thinned after the burn-in, and repeats bit for bit", () => {
    const seen: number[] = [];
    const run = () =>
      fitSgld(
        Float64Array.of(1, 1, 1, 1),
        (theta, step) => {
          seen.push(step);
          return gradient(theta);
        },
        options({ burnIn: 10, thinning: 5, draws: 3, preconditioned: true, stepSize: 1e-4, rng: rng() }),
      );
    const first = run();
    expect(first.states).toHaveLength(3);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(run().states).toEqual(first.states);
  });

  it("names what is wrong", () => {
    const start = new Float64Array(4).fill(1);
    expect(() => fitSgld(start, gradient, options({ stepSize: -1 }))).toThrow(/stepSize: got -1/);
    expect(() => fitSgld(start, gradient, options({ priorPrecision: -1 }))).toThrow(
      /^priorPrecision: got -1/,
    );
    expect(() => fitSgld(start, gradient, options({ temperature: 0 }))).toThrow(/temperature: got 0/);
    expect(() => fitSgld(start, gradient, options({ trainingTerms: 0 }))).toThrow(/trainingTerms: got 0/);
    const preconditioned = (preconditioner: { decay?: number; epsilon?: number }) => () =>
      new LangevinChain(start, { stepSize: 1, lossWeight: 1, precision: 0, preconditioner });
    expect(preconditioned({ decay: 1 })).toThrow(/preconditioner.decay: got 1/);
    expect(preconditioned({ epsilon: 0 })).toThrow(/preconditioner.epsilon: got 0/);
    expect(() => fitSgld(start, gradient, options({ burnIn: 10.5 }))).toThrow(/burnIn: got 10.5/);
    expect(() => fitSgld(start, gradient, options({ draws: 0 }))).toThrow(/draws: got 0/);
    expect(() => fitSgld(start, gradient, options({ stepSize: 1, burnIn: 5000 }))).toThrow(/diverged/);
    expect(() => fitSgld(start, gradient, options({ preconditioned: true, burnIn: 0 }))).toThrow(/burnIn/);
  });
});

describe("local learning coefficient", () => {
  const mu = Float64Array.of(3, 1, 0.2, 0);
  const centre = Float64Array.of(1, -1, 2, 0.5);
  const quadratic = (theta: Float64Array) => {
    const d = theta.map((t, i) => t - centre[i]);
    return {
      loss: 0.7 + d.reduce((sum, x, i) => sum + (mu[i] * x * x) / 2, 0),
      gradient: d.map((x, i) => mu[i] * x),
    };
  };
  const options = {
    trainingTerms: 1000,
    localisation: 5,
    stepSize: 2e-3,
    chains: 6,
    burnIn: 2000,
    draws: 60_000,
    seed: 1,
  };

  it("is sum of n beta mu / (2 k (1 - e k / 4)) on a quadratic", () => {
    const { llc, standardError, perChain, nBeta, losses, diagnostics, baseLoss } =
      estimateLearningCoefficient(centre, 0.7, quadratic, options);
    expect(nBeta).toBeCloseTo(1000 / Math.log(1000), 10);
    const exact = mu.reduce((sum, m) => {
      const k = nBeta * m + 5;
      return sum + (nBeta * m) / (2 * k * (1 - (2e-3 * k) / 4));
    }, 0);
    expect(Math.abs(llc - exact)).toBeLessThan(4 * standardError);
    expect(standardError).toBeLessThan(0.02 * exact);
    expect(perChain).toHaveLength(6);
    expect(losses[0]).toHaveLength(60_000);
    expect(baseLoss).toBe(0.7);
    expect(diagnostics.rHat).toBeLessThan(1.01);
    expect(Math.abs(diagnostics.drift)).toBeLessThan(0.1);
    expect(diagnostics.belowBase).toBe(0);
  });

  it("has one estimate a chain, their mean and its standard error; four chains, other ones for another member", () => {
    const short = { ...options, chains: undefined, burnIn: 5, draws: 40 };
    const { llc, standardError, perChain, losses, nBeta } = estimateLearningCoefficient(
      ...([centre, 0.7, quadratic, short] as const),
    );
    expect(perChain).toHaveLength(4);
    losses.forEach((kept, c) => {
      expect(perChain[c]).toBeCloseTo(nBeta * (kept.reduce((a, b) => a + b, 0) / 40 - 0.7), 10);
    });
    const mean = perChain.reduce((a, b) => a + b, 0) / 4;
    expect(llc).toBeCloseTo(mean, 12);
    const variance = perChain.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 3;
    expect(standardError).toBeCloseTo(Math.sqrt(variance / 4), 12);
    const other = estimateLearningCoefficient(centre, 0.7, quadratic, { ...short, member: 1 });
    expect(other.losses[0]).not.toEqual(losses[0]);
    const single = estimateLearningCoefficient(centre, 0.7, quadratic, { ...short, chains: 1 });
    expect(single.standardError).toBeNaN();
    expect(single.losses).toEqual(losses.slice(0, 1));
  });

  it("counts a quartic minimum as a quarter", () => {
    const quartic = estimateLearningCoefficient(
      Float64Array.of(0),
      0,
      (theta) => ({ loss: theta[0] ** 4, gradient: theta.map((t) => 4 * t ** 3) }),
      // Curvature along the chain is about 3000: e k / 4 is 0.015, below the noise.
      { ...options, trainingTerms: 1e6, localisation: 0, stepSize: 2e-5, draws: 100_000, burnIn: 20_000 },
    );
    expect(Math.abs(quartic.llc - 0.25)).toBeLessThan(4 * quartic.standardError);
    expect(quartic.standardError).toBeLessThan(0.03);
  });

  it("refuses a chain that steep surroundings throw out, although its loss stays finite", () => {
    // Flat at the centre, steep from |theta| = 1 on, bounded gradient: an unstable chain goes on for ever.
    const walls = (theta: Float64Array) => ({
      loss: theta.reduce((sum, t) => sum + 50 * Math.max(0, Math.abs(t) - 1), 0),
      gradient: theta.map((t) => (Math.abs(t) > 1 ? 50 * Math.sign(t) : 0)),
    });
    const start = new Float64Array(20);
    const run = (stepSize: number) =>
      estimateLearningCoefficient(start, 0, walls, {
        ...{ ...options, localisation: 1, stepSize, burnIn: 100, draws: 500 },
      });
    expect(() => run(1)).toThrow(DivergedChainError);
    expect(run(1e-4).llc).toBeGreaterThanOrEqual(0);
  });

  it("diagnostics are those worked out by hand", () => {
    const chains = [Float64Array.of(1, 3, 2, 6), Float64Array.of(2, 2, 4, 8)];
    const { rHat, drift, belowBase } = chainDiagnostics(chains, 2);
    // Halves of means 2, 2, 4, 6 (variance 11/3) and variances 2, 0, 8, 8; all eight have the variance 40/7.
    expect(rHat).toBeCloseTo(Math.sqrt(1 / 2 + 11 / 3 / 4.5), 12);
    expect(drift).toBeCloseTo((5 - 2) / Math.sqrt(40 / 7), 12);
    expect(belowBase).toBe(1 / 8);
  });

  it("the effective sample size of an antithetic chain is at most its length, of a constant one unknown", () => {
    const chain = new Random(65).normals(500).slice();
    for (let t = 1; t < 500; t++) chain[t] -= 0.99 * chain[t - 1];
    expect(chainDiagnostics([chain], 0).effectiveSampleSize).toBe(500);
    const alternating = Float64Array.from({ length: 500 }, (_, t) => (-1) ** t);
    expect(chainDiagnostics([alternating], 0).effectiveSampleSize).toBe(500);
    expect(chainDiagnostics([new Float64Array(500).fill(0.5)], 0).effectiveSampleSize).toBeNaN();
  });

  it("diagnoses chains that drift, disagree or go below the base loss", () => {
    const random = new Random(63);
    const white = Array.from({ length: 4 }, () => random.normals(2000));
    const good = chainDiagnostics(white, -10);
    expect(good.rHat).toBeLessThan(1.01);
    expect(good.effectiveSampleSize).toBeGreaterThan(6000);
    const apart = chainDiagnostics(
      white.map((c, i) => c.map((x) => x + i)),
      -10,
    );
    expect(apart.rHat).toBeGreaterThan(1.3);
    const drifting = chainDiagnostics(
      white.map((c) => c.map((x, t) => x + t / 500)),
      -10,
    );
    expect(drifting.drift).toBeGreaterThan(1);
    expect(chainDiagnostics(white, 0).belowBase).toBeCloseTo(0.5, 1);
    // x_t = 0.9 x_{t-1} + z: the effective sample size is n (1 - 0.9) / (1 + 0.9).
    const walk = random.normals(200_000).slice();
    for (let t = 1; t < walk.length; t++) walk[t] += 0.9 * walk[t - 1];
    const { effectiveSampleSize } = chainDiagnostics([walk.subarray(0, 20_000)], 0);
    expect(Math.abs(effectiveSampleSize / (20_000 / 19) - 1)).toBeLessThan(0.25);
  });

  it("names what is wrong", () => {
    const run = (bad: object) => () =>
      estimateLearningCoefficient(centre, 0.7, quadratic, { ...options, ...bad });
    expect(run({ trainingTerms: 1 })).toThrow(/trainingTerms: got 1/);
    expect(run({ localisation: -1 })).toThrow(/localisation: got -1/);
    expect(run({ draws: 0 })).toThrow(/draws: got 0/);
    expect(run({ nBeta: -2 })).toThrow(/nBeta: got -2/);
    expect(run({ burnIn: 0.5 })).toThrow(/burnIn: got 0.5, must be an integer/);
  });
});

describe("ensembles, mixtures and saving", () => {
  const { model, parameters, batches, random } = tinyTwin(64);
  const others = [parameters, parameters.map((x) => x + 0.1), parameters.map((x) => 0.9 * x)];
  const ensemble = new EmpiricalPosterior("ensemble", others);
  const laplace = others.map((state) => fitLaplace(model, state, batches, { priorPrecision: 3 }));
  const swag = new SwagCollector(parameters.length, 3);
  for (let i = 0; i < 6; i++) swag.collect(random.normals(parameters.length));
  const probe = batches[1];

  it("an ensemble predicts with each member once", () => {
    const predictions = ensemble.predict(model, probe, { nSamples: 32, rng: rng() });
    expect(predictions).toHaveLength(3);
    predictions.forEach((p, m) => {
      model.setParameters(others[m]);
      expect(p).toEqual(Float32Array.from(softmaxRows(model.logits(probe), TINY.dVocab)));
    });
    const chain = new EmpiricalPosterior(
      "sgld",
      Array.from({ length: 10 }, (_, i) => parameters.map((x) => x * (1 + i))),
    );
    const two = chain.predict(model, probe, { nSamples: 2, rng: rng() });
    model.setParameters(chain.states[9]);
    expect(two[1]).toEqual(Float32Array.from(softmaxRows(model.logits(probe), TINY.dVocab)));
  });

  it("an ensemble of Laplace approximations takes the same number of draws from each", () => {
    const mixture = new MixturePosterior(laplace);
    const shared = rng();
    const separate = laplace.flatMap((part) => part.predict(model, probe, { nSamples: 2, rng: shared }));
    expect(mixture.predict(model, probe, { nSamples: 6, rng: rng() })).toEqual(separate);
    expect(() => mixture.predict(model, probe, { nSamples: 7, rng: rng() })).toThrow(/nSamples: got 7/);
  });

  it("ensembles and mixtures draw each state or component as often as the others", () => {
    const at = (mean: number) => new IvonPosterior(Float32Array.of(mean), Float64Array.of(1e-6));
    const states = [0, 1, 2].map((mean) => Float32Array.of(mean));
    for (const posterior of [
      new MixturePosterior([at(0), at(1), at(2)]),
      new EmpiricalPosterior("ensemble", states),
    ]) {
      const shared = rng();
      const counts = [0, 0, 0];
      for (let i = 0; i < 3000; i++) counts[Math.round(posterior.sample(shared)[0])]++;
      // Chi-square of two degrees of freedom: above 14 once in a thousand.
      expect(counts.reduce((sum, x) => sum + (x - 1000) ** 2 / 1000, 0)).toBeLessThan(14);
    }
  });

  const all: [string, Posterior][] = [
    ["ensemble", ensemble],
    ["laplace", laplace[0]],
    ["swag", swag.posterior()],
    ["ivon", new IvonPosterior(parameters, new Float64Array(parameters.length).fill(0.1))],
    ["sgld", new EmpiricalPosterior("sgld", others)],
    ["mixture", new MixturePosterior([laplace[0], ensemble, new MixturePosterior([laplace[1]])])],
  ];
  for (const [name, posterior] of all) {
    it(`${name} comes back from a file with the same draws and predictions`, () => {
      const { metadata, tensors } = posterior.save();
      const loaded = loadPosterior(decodeSafetensors(encodeSafetensors(tensors, metadata)));
      expect(loaded.method).toBe(posterior.method);
      for (let i = 0; i < 5; i++) expect(loaded.sample(rng(i))).toEqual(posterior.sample(rng(i)));
      const options = () => ({ nSamples: 3, rng: rng() });
      expect(loaded.predict(model, probe, options())).toEqual(posterior.predict(model, probe, options()));
    });

    it(`${name} refuses a model of another shape`, () => {
      const other = tinyTwin(1, { ...TINY, dMlp: 6 }).model;
      expect(() => posterior.predict(other, probe, { nSamples: 3, rng: rng() })).toThrow(/model: got/);
    });
  }

  it("names what is wrong", () => {
    expect(() => new EmpiricalPosterior("ensemble", [])).toThrow(/number of states: got 0/);
    expect(() => new EmpiricalPosterior("ensemble", [parameters, parameters.slice(1)])).toThrow(
      /length of state/,
    );
    expect(() => new MixturePosterior([])).toThrow(/number of components: got 0/);
    expect(() => loadPosterior({ metadata: { method: "vi" }, tensors: new Map() })).toThrow(/got vi/);
    expect(() => loadPosterior({ metadata: { method: "swag" }, tensors: new Map() })).toThrow(/tensor mean/);
    const load = (metadata: Record<string, string>) => () => loadPosterior({ metadata, tensors: new Map() });
    expect(load({})).toThrow(/without metadata method/);
    expect(load({ method: "mixture" })).toThrow(/without metadata components/);
    expect(load({ method: "mixture", components: "[" })).toThrow(
      new RangeError("metadata components of a saved posterior: got [, must be JSON"),
    );
    expect(load({ method: "mixture", components: "[]" })).toThrow(/number of components: got 0/);
    expect(load({ method: "dropout" })).toThrow(/without float32 tensor parameters/);
    expect(load({ method: "ivon" })).toThrow(/without float32 tensor mean/);
    expect(load({ method: "ensemble" })).toThrow(/number of states: got 0/);
    const short = new IvonPosterior(parameters, new Float64Array(parameters.length).fill(1)).save();
    short.tensors.set("variance", { shape: [1], data: Float64Array.of(1) });
    expect(() => loadPosterior(short)).toThrow(/length of variance: got 1, must be/);
    const swagged = swag.posterior().save();
    swagged.tensors.delete("deviation.0");
    expect(() => loadPosterior(swagged)).toThrow(/without float32 tensor deviation.0/);
  });
});
