/** The wide builds give the bytes of the narrow ones, in everything that the core computes and at any shape. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACT_FNS } from "../src/core/activations.ts";
import { supportedMath } from "../src/core/build.ts";
import type { Batch, TransformerShape } from "../src/core/index.ts";
import { instantiateCore } from "../src/core/instance.ts";
import { LinearElbo } from "../src/core/linear-elbo.ts";
import type { CoreModule, MathMode, SimdWidth } from "../src/core/module.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { Random } from "./reference/random.ts";

/** Of both widths; on an engine that does not merge vectors the wide one is correct, only slow. */
function load(math: MathMode, simd: SimdWidth): CoreModule {
  const file = { strict: "core.simd", fast: "core.fma" }[math] + (simd === 256 ? "256.wasm" : ".wasm");
  const bytes = readFileSync(new URL(`../build/${file}`, import.meta.url));
  return { module: new WebAssembly.Module(bytes), math, simd, sha256: "", narrowBecause: null };
}

const bytesOf = (array: Float32Array | Float64Array) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength);

const normals = (random: Random, count: number) => Float32Array.from(random.normals(count));

type Results = Record<string, Float32Array | Float64Array>;

function expectEqualBytes(narrow: Results, wide: Results): void {
  for (const [name, values] of Object.entries(narrow)) {
    if (bytesOf(values).equals(bytesOf(wide[name]))) continue;
    const at = values.findIndex((value, i) => !Object.is(value, wide[name][i]));
    throw new Error(`${name}[${at}]: ${values[at]} narrow, ${wide[name][at]} wide`);
  }
}

interface Product {
  m: number;
  n: number;
  k: number;
  /** Bit 0: A is transposed, bit 1: B is. */
  transposed: number;
  accumulate: boolean;
  /** Of C's rows, beyond n. */
  gap: number;
}

function product(module: CoreModule, { m, n, k, transposed, accumulate, gap }: Product): Results {
  const core = instantiateCore(module);
  const random = new Random(m + n + k);
  const ldc = n + gap;
  let cursor = (core.heapBase() + 63) & ~63;
  const reserve = (floats: number) => {
    const at = cursor;
    cursor = (cursor + 4 * floats + 127) & ~63;
    return at;
  };
  const [A, B, C] = [reserve(m * k), reserve(k * n), reserve(m * ldc)];
  const packed = reserve(k * (n + core.panelColumns()));
  const scratch = reserve(core.packedAFloats());
  core.grow(cursor + 65536);
  const view = (at: number, length: number) => new Float32Array(core.memory.buffer, at, length);
  view(A, m * k).set(normals(random, m * k));
  view(B, k * n).set(normals(random, k * n));
  view(C, m * ldc).set(normals(random, m * ldc));
  core.packB(packed, B, k, n, ...((transposed & 2 ? [1, k] : [n, 1]) as [number, number]));
  const [sm, sk] = transposed & 1 ? [1, m] : [k, 1];
  core.gemm(m, n, k, A, sm, sk, packed, C, ldc, accumulate, scratch);
  return { C: view(C, m * ldc).slice() };
}

interface Model {
  shape: TransformerShape;
  batchSize: number;
  length: number;
  /** Of `length`, which times are predicted. */
  predicted: number;
  seed: number;
}

const model: fc.Arbitrary<Model> = fc
  .record({
    heads: fc.integer({ min: 1, max: 4 }),
    halfHead: fc.integer({ min: 1, max: 9 }),
    dVocab: fc.integer({ min: 2, max: 37 }),
    nLayers: fc.integer({ min: 1, max: 2 }),
    dMlp: fc.integer({ min: 1, max: 70 }),
    nCtx: fc.integer({ min: 1, max: 35 }),
    roles: fc.integer({ min: 0, max: 3 }),
    actFn: fc.constantFrom(...ACT_FNS),
    tiedEmbeddings: fc.boolean(),
    dropout: fc.constantFrom(0, 0.2),
    batchSize: fc.integer({ min: 1, max: 9 }),
    predicted: fc.integer({ min: 1, max: 35 }),
    seed: fc.nat(1000),
  })
  .map(({ heads, halfHead, batchSize, predicted, seed, ...shape }) => ({
    shape: { ...shape, dModel: 2 * halfHead * heads, nHeads: heads },
    batchSize,
    length: shape.nCtx,
    predicted: Math.min(predicted, shape.nCtx),
    seed,
  }));

const adamw = {
  learningRate: 0.01,
  weightDecay: 0.1,
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  gradientClip: 1,
};
const ivon = {
  ...{ learningRate: 0.1, beta1: 0.9, beta2: 0.995, samples: 2, clipRadius: 0.01 },
  ...{ effectiveSampleSize: 500, weightDecay: 0.01, seed: 11, member: 2 },
};

function batchOf({ shape, batchSize, length, predicted, seed }: Model): Batch {
  const random = new Random(seed);
  // Predictions at the end, so that the first of them are not those of the first tokens.
  const positions = Array.from({ length: predicted }, (_, i) => length - predicted + i);
  return random.batch({ ropeBase: 10000, roles: 0, ...shape }, batchSize, length, positions);
}

/** Everything that a transformer computes. */
function everything(core: CoreModule, given: Model, steps = 2): Results {
  const { shape, seed } = given;
  const batch = batchOf(given);
  const random = new Random(seed + 1);
  const key = (step: number) => ({ seed, stream: 1, step });

  const trained = instantiateTransformer(core, shape, { curvature: true });
  const parameters = normals(random, trained.parameterCount).map((x) => 0.3 * x);
  const zero = new Float32Array(trained.parameterCount);
  trained.setParameters(parameters);
  trained.setMoments({ first: zero, second: zero });
  const results: Results = {
    probabilities: trained.probabilities(batch, key(0)),
    gradient: trained.lossAndGradient(batch, key(0)).gradient,
  };
  for (let step = 1; step <= steps; step++) trained.trainStep(batch, { ...adamw, step, dropout: key(step) });
  results.adamw = trained.getParameters();
  const direction = normals(random, trained.parameterCount);
  results.jacobian = trained.jacobianVectorProduct(batch, direction, key(3));
  results.transpose = trained.jacobianTransposeProduct(batch, results.jacobian as Float32Array, key(3));
  results.hessian = trained.hessianVectorProduct(batch, direction, key(3));
  results.hessianShared = trained.hessianVectorProduct(batch, direction);
  results.gaussNewton = trained.ggnVectorProduct(batch, direction);
  results.diagonal = trained.ggnDiagonal(batch, { probes: 2, seed, stream: 3 }, 2);

  const sampled = instantiateTransformer(core, shape, { optimizer: "ivon" });
  sampled.setParameters(parameters);
  sampled.setMoments({ first: zero, second: zero.map(() => 0.5) });
  for (let step = 1; step <= steps; step++)
    sampled.ivonTrainStep(batch, { ...ivon, step, dropout: key(step) });
  results.ivon = sampled.getParameters();
  results.ivonHessian = sampled.getMoments().second;

  const factored = instantiateTransformer(core, shape, { optimizer: "none", kronecker: true });
  factored.setParameters(parameters);
  for (const sums of factored.kroneckerFactors(batch, { probes: 2, seed, stream: 3 })) {
    if ("squares" in sums) results[sums.name] = sums.squares;
    else Object.assign(results, { [`${sums.name} left`]: sums.left, [`${sums.name} right`]: sums.right });
  }
  return results;
}

interface Regression {
  d: number;
  N: number;
  full: boolean;
  seed: number;
}

function regression(core: CoreModule, { d, N, full, seed }: Regression): Results {
  const random = new Random(seed);
  const factor = normals(random, full ? d * d : d).map((x) => 0.1 * x);
  for (let i = 0; i < d; i++) factor[full ? i * d + i : i] += 1;
  const problem = {
    ...{ d, N, factor },
    ...{
      inputs: normals(random, N * d),
      labels: normals(random, N),
      teacher: normals(random, d),
      mean: normals(random, d),
    },
  };
  const elbo = new LinearElbo(core, problem);
  for (let step = 0; step < 3; step++) elbo.step({ eta: 0.05, noise: "elbo", sig2: 1, prior: 0.1 });
  return { mean: elbo.mean, factor: elbo.factor, measures: Float64Array.from(Object.values(elbo.measure())) };
}

const maths: MathMode[] = supportedMath().relaxedSimd ? ["strict", "fast"] : ["strict"];

describe.each(maths)("%s: the wide build and the narrow one", (math) => {
  const narrow = load(math, 128);
  const wide = load(math, 256);

  it("are laid out for registers of their own width", () => {
    const columns = [narrow, wide].map((core) => instantiateCore(core).panelColumns());
    expect(columns).toEqual([8, 16]);
  });

  it("agree in matrix products of any shape", () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 300 }));
    const shapes = fc.record({
      ...{ m: size, n: size, k: size, gap: fc.nat(5) },
      ...{ transposed: fc.nat(3), accumulate: fc.boolean() },
    });
    fc.assert(
      fc.property(shapes, (shape) => expectEqualBytes(product(narrow, shape), product(wide, shape))),
      { numRuns: 150 },
    );
  });

  it("agree in everything about a transformer of any shape", () => {
    fc.assert(
      fc.property(model, (given) => expectEqualBytes(everything(narrow, given), everything(wide, given))),
      { numRuns: 60 },
    );
  });

  it("agree after steps enough for the engine to optimise all of it", () => {
    const shape: TransformerShape = {
      ...{ dVocab: 29, dModel: 48, nHeads: 3, nLayers: 2, dMlp: 136, nCtx: 23, roles: 3 },
      ...{ actFn: "gelu", tiedEmbeddings: false },
    };
    const given = { shape, batchSize: 19, length: 23, predicted: 15, seed: 1 };
    expectEqualBytes(everything(narrow, given, 30), everything(wide, given, 30));
  });

  it("agree in Bayesian linear regression of any size", () => {
    const sizes = fc.record({
      ...{ d: fc.integer({ min: 1, max: 40 }), N: fc.integer({ min: 1, max: 60 }) },
      ...{ full: fc.boolean(), seed: fc.nat(1000) },
    });
    fc.assert(
      fc.property(sizes, (given) => expectEqualBytes(regression(narrow, given), regression(wide, given))),
      { numRuns: 60 },
    );
  });
});
