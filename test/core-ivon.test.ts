/** IVON in the core, both builds: its fixed point on a quadratic, its samples, and 20 steps against float64. */
import { describe, expect, it } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import { createTransformer, type TransformerShape } from "../src/core/index.ts";
import { instantiateCore } from "../src/core/instance.ts";
import type { IvonStepOptions } from "../src/core/ivon.ts";
import { planMemory } from "../src/core/layout.ts";
import type { MathMode } from "../src/core/module.ts";
import { resolveShape } from "../src/core/shape.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { ReferenceIvon } from "./reference/ivon.ts";
import { ivonNoise } from "./reference/philox.ts";
import { Random } from "./reference/random.ts";
import { type ReferenceShape, ReferenceTransformer } from "./reference/transformer.ts";

type Shape = ReferenceShape & TransformerShape;

const builds: MathMode[] = ["strict", "fast"];
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

const shape: Shape = {
  dVocab: 5,
  dModel: 12,
  nHeads: 3,
  nLayers: 2,
  dMlp: 10,
  nCtx: 6,
  actFn: "gelu",
  tiedEmbeddings: false,
  ropeBase: 30,
  roles: 2,
};

const ivon: Omit<IvonStepOptions, "step"> = {
  effectiveSampleSize: 500,
  weightDecay: 0.01,
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.995,
  seed: 11,
  member: 2,
};

async function createModel(math: MathMode) {
  const reference = new ReferenceTransformer(shape);
  const random = new Random(5);
  const parameters = Float64Array.from(Float32Array.from(random.parameters(reference)));
  const model = await createTransformer(shape, { math, optimizer: "ivon" });
  const start = (hessian: number) => {
    model.setParameters(Float32Array.from(parameters));
    const zero = new Float32Array(model.parameterCount);
    model.setMoments({ first: zero, second: zero.map(() => hessian) });
  };
  start(0.5);
  return { reference, random, parameters, model, start };
}

/** The update alone, on a gradient that the test writes. */
async function createOptimizer(math: MathMode) {
  const core = instantiateCore(await loadCoreModule(math));
  const tiny = { dVocab: 3, dModel: 4, nHeads: 1, nLayers: 1, dMlp: 4, nCtx: 2 };
  const shape = resolveShape({ ...tiny, actFn: "relu", tiedEmbeddings: false });
  core.grow(planMemory(core, shape, { optimizer: "ivon" }));
  const count = core.parameterCount();
  const view = (pointer: number) => new Float32Array(core.memory.buffer, pointer, count);
  return {
    core,
    count,
    parameters: view(core.parametersPointer()),
    gradient: view(core.gradientPointer()),
    momentum: view(core.firstMomentPointer()),
    hessian: view(core.secondMomentPointer()),
  };
}

/** Mean and standard error of correlated draws, by 20 batch means, far longer than the correlation. */
function batchMeans(draws: Float64Array) {
  const size = Math.floor(draws.length / 20);
  const means = range(20).map(
    (b) => draws.subarray(b * size, (b + 1) * size).reduce((s, x) => s + x, 0) / size,
  );
  const mean = means.reduce((s, x) => s + x, 0) / 20;
  const variance = means.reduce((s, x) => s + (x - mean) ** 2, 0) / 19;
  return { mean, standardError: Math.sqrt(variance / 20) };
}

describe.each(builds)("the %s build", (math) => {
  it("on a quadratic: h -> diag A and (A + delta I) m = A theta*", async () => {
    const { core, count, parameters, gradient, momentum, hessian } = await createOptimizer(math);
    const random = new Random(1);
    const lambda = 20;
    const delta = 0.2;
    const beta2 = 0.999;
    const samples = 6;
    // A tridiagonal and diagonally dominant, so positive definite.
    const diagonal = Float64Array.from(range(count), (i) => 0.5 + (2.5 * ((i * 7) % count)) / count);
    const beside = diagonal.map((d, i) => (i + 1 < count ? 0.3 * Math.min(d, diagonal[i + 1]) : 0));
    const times = (x: ArrayLike<number>) =>
      Float64Array.from(
        range(count),
        (i) =>
          diagonal[i] * x[i] +
          (i > 0 ? beside[i - 1] * x[i - 1] : 0) +
          (i + 1 < count ? beside[i] * x[i + 1] : 0),
      );
    const optimum = random.normals(count);
    parameters.set(random.normals(count));
    momentum.fill(0);
    hessian.fill(1);
    const [burnIn, kept] = [6000, 16000];
    const residuals = range(count).map(() => new Float64Array(kept));
    const hessianSums = new Float64Array(count);
    for (let t = 1; t <= burnIn + kept; t++) {
      core.ivonBegin();
      for (let s = 0; s < samples; s++) {
        core.ivonSample(lambda, delta, 1, 2, t, s);
        gradient.set(times(parameters.map((x, i) => x - optimum[i])));
        core.ivonAccumulate(lambda, delta);
      }
      core.ivonStep(t, 0.05, delta, 0.9, beta2, samples, Number.POSITIVE_INFINITY);
      if (t <= burnIn) continue;
      const at = t - burnIn - 1;
      const pull = times(parameters.map((x, i) => x - optimum[i]));
      for (let i = 0; i < count; i++) {
        residuals[i][at] = pull[i] + delta * parameters[i];
        hessianSums[i] += hessian[i];
      }
    }
    let deviations = 0;
    for (let i = 0; i < count; i++) {
      // Five standard errors from 20 batch means; the draws are fixed by their seeds.
      const residual = batchMeans(residuals[i]);
      expect(Math.abs(residual.mean), `m ${i}`).toBeLessThan(5 * residual.standardError);
      // E[hhat] = A_ii. The square term lifts the fixed point by (1 - b2) Var(hhat) / (2 (h + delta)). With
      // g = A sigma e - delta m (the prior's pull), hhat_i = g_i e_i / sigma_i has the variance, over one sample,
      // 2 A_ii^2 + sum over j of A_ij^2 sigma_j^2 / sigma_i^2 + (delta m_i)^2 / sigma_i^2.
      const precision = (j: number) => diagonal[j] + delta;
      let variance = 2 * diagonal[i] ** 2 + (delta * parameters[i]) ** 2 * lambda * precision(i);
      if (i > 0) variance += (beside[i - 1] ** 2 * precision(i)) / precision(i - 1);
      if (i + 1 < count) variance += (beside[i] ** 2 * precision(i)) / precision(i + 1);
      const lift = ((1 - beta2) * variance) / samples / (2 * precision(i));
      expect(lift).toBeLessThan(0.05 * diagonal[i]);
      // h is a moving average of hhat, so its average over time has the standard error of that of hhat.
      const standardError = Math.sqrt(variance / samples / kept);
      // Left out of the lift, and far smaller: the fluctuations of m and h themselves.
      const error = hessianSums[i] / kept - diagonal[i] - lift;
      expect(Math.abs(error), `h ${i}`).toBeLessThan(5 * standardError + 0.1 * lift);
      deviations += error / diagonal[i];
      expect(standardError).toBeLessThan(0.03 * diagonal[i]);
    }
    // What all h have in common shows more sharply: within 0.3 percent.
    expect(Math.abs(deviations / count)).toBeLessThan(0.003);
  });

  it("samples have mean m and variance 1 / (lambda (h + delta)), and come back by their key", async () => {
    const { core, count, parameters, hessian } = await createOptimizer(math);
    const random = new Random(2);
    const [lambda, delta, draws] = [50, 0.3, 4000];
    const mean = Float32Array.from(random.normals(count));
    parameters.set(mean);
    hessian.set(Float32Array.from(random.normals(count), (x) => x * x));
    core.ivonBegin();
    const sums = new Float64Array(count);
    const squares = new Float64Array(count);
    const noise = ivonNoise(count, { seed: 7, member: 8, step: 9, sample: 1 });
    for (let s = 0; s < draws; s++) {
      core.ivonSample(lambda, delta, 7, 8, 9, s);
      for (let i = 0; i < count; i++) {
        const e = (parameters[i] - mean[i]) * Math.sqrt(lambda * (hessian[i] + delta));
        if (s === 1) expect(e).toBeCloseTo(noise[i], 5);
        sums[i] += e;
        squares[i] += e * e;
      }
    }
    // Averages of `draws` variables of variance 1 and 2.
    for (let i = 0; i < count; i++) {
      expect(Math.abs(sums[i] / draws)).toBeLessThan(5 * Math.sqrt(1 / draws));
      expect(Math.abs(squares[i] / draws - 1)).toBeLessThan(5 * Math.sqrt(2 / draws));
    }
    core.ivonRestore();
    expect(parameters).toEqual(mean);
  });

  it.each([
    [1, 0],
    [3, 0],
    [2, 0.05],
  ])("20 steps of the model, %i samples, clip radius %d, against float64", async (samples, clipRadius) => {
    const { reference, random, parameters, model } = await createModel(math);
    const batches = range(20).map(() => random.batch(shape, 4, 6, Int32Array.of(1, 3, 5)));
    const noises = batches.map((_, t) =>
      range(samples).map((sample) => ivonNoise(parameters.length, { ...ivon, step: t + 1, sample })),
    );
    const run = (start: Float64Array) => {
      const twin = new ReferenceIvon(start, 0.5, { ...ivon, clipRadius });
      batches.forEach((batch, t) => {
        twin.step(noises[t], (theta) => reference.lossAndGradient(theta, batch).gradient);
      });
      const moved = twin.mean.map((x, i) => x - parameters[i]);
      return { moved, hessian: twin.hessian.map((h) => h - 0.5), momentum: twin.momentum };
    };
    for (let t = 1; t <= 20; t++) {
      const { loss } = model.ivonTrainStep(batches[t - 1], { ...ivon, step: t, samples, clipRadius });
      expect(loss).toBeGreaterThan(0);
    }
    const expected = run(parameters);
    const { first, second } = model.getMoments();
    const actual = {
      moved: model.getParameters().map((x, i) => x - parameters[i]),
      hessian: second.map((h) => h - 0.5),
      momentum: first,
    };
    // Every step repeats the roundings of a gradient. How far they reach is what the float64 twin shows when its start
    // moves by one random roundoff.
    const nudge = random.normals(parameters.length);
    const nudged = run(parameters.map((x, i) => x * (1 + 2 ** -24 * nudge[i])));
    for (const part of ["moved", "hessian", "momentum"] as const) {
      const sensitivity = maxRelativeError(nudged[part] as unknown as Float32Array, expected[part]) * 2 ** 24;
      const stages = 20 * Math.max(18 * shape.nLayers + 4, sensitivity ** 2);
      expect(float32Tolerance(24, stages)).toBeLessThan(1e-3);
      expect(maxRelativeError(actual[part], expected[part]), part).toBeLessThan(float32Tolerance(24, stages));
    }
    if (clipRadius > 0) {
      const free = new ReferenceIvon(parameters, 0.5, { ...ivon, clipRadius: 0 });
      free.step(noises[0], (theta) => reference.lossAndGradient(theta, batches[0]).gradient);
      const largest = Math.max(...free.mean.map((x, i) => Math.abs(x - parameters[i])));
      expect(largest).toBeGreaterThan(2 * clipRadius * ivon.learningRate);
    }
  });

  it("learns, and gives the same bytes again", async () => {
    const { random, model, start } = await createModel(math);
    const batch = random.batch(shape, 16, 6, Int32Array.of(1, 3, 5));
    const train = () => {
      start(0.5);
      const before = model.lossAndGradient(batch).loss;
      for (let step = 1; step <= 60; step++) model.ivonTrainStep(batch, { ...ivon, step, samples: 2 });
      expect(model.lossAndGradient(batch).loss).toBeLessThan(0.5 * before);
      return { parameters: model.getParameters(), ...model.getMoments() };
    };
    const first = train();
    expect(train()).toEqual(first);
  });

  it("samples for prediction leave the mean as it was", async () => {
    const { random, model } = await createModel(math);
    const batch = random.batch(shape, 4, 6, Int32Array.of(1, 3, 5));
    const mean = model.getParameters();
    const atMean = model.logits(batch);
    const draw = (sample: number) => {
      model.ivonSample({ ...ivon, step: 3, sample });
      return model.logits(batch);
    };
    const first = draw(0);
    expect(first).not.toEqual(atMean);
    expect(draw(1)).not.toEqual(first);
    expect(draw(0)).toEqual(first);
    model.ivonRestore();
    expect(model.getParameters()).toEqual(mean);
    expect(model.logits(batch)).toEqual(atMean);
    model.ivonRestore();
    expect(model.getParameters()).toEqual(mean);
  });

  it("a non-finite loss changes nothing", async () => {
    const { random, model } = await createModel(math);
    const batch = random.batch(shape, 4, 6, Int32Array.of(1, 3, 5));
    const broken = model.getParameters();
    broken[0] = Number.NaN;
    broken.fill(1e38, 10, 50);
    model.setParameters(broken);
    const moments = model.getMoments();
    expect(model.ivonTrainStep(batch, { ...ivon, step: 1, samples: 2 }).loss).toBeNaN();
    expect(model.getParameters()).toEqual(broken);
    expect(model.getMoments()).toEqual(moments);
  });
});

describe("what is refused", () => {
  it.each([
    [{ effectiveSampleSize: 0 }, /effectiveSampleSize: got 0, must be a finite number above 0/],
    [{ weightDecay: -1 }, /weightDecay: got -1/],
    [{ samples: 1.5 }, /samples: got 1.5/],
    [{ clipRadius: -1 }, /clipRadius: got -1/],
    [{ seed: -1 }, /seed: got -1, must be an integer from 0 to 4294967295/],
    [{ member: 0.5 }, /member: got 0.5/],
    [{ step: 2 ** 32 }, /step: got 4294967296/],
  ])("%o", async (change, message) => {
    const { random, model } = await createModel("strict");
    const batch = random.batch(shape, 4, 6, Int32Array.of(1, 3, 5));
    expect(() => model.ivonTrainStep(batch, { ...ivon, step: 1, ...change })).toThrow(RangeError);
    expect(() => model.ivonTrainStep(batch, { ...ivon, step: 1, ...change })).toThrow(message);
  });

  it("a transformer made for another optimiser", async () => {
    const { model } = await createModel("strict");
    const adamw = await createTransformer(shape, { math: "strict" });
    // @ts-expect-error: it has no posterior to take a step of.
    expect(adamw.ivonTrainStep).toBeUndefined();
    // @ts-expect-error: it has no posterior to sample.
    expect(adamw.ivonSample).toBeUndefined();
    // @ts-expect-error: its second moment is no square of gradients.
    expect(model.trainStep).toBeUndefined();
  });
});
