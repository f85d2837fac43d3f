/** The whole model in the core, both builds, against the float64 reference: logits, every named gradient, AdamW. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACT_FNS, type ActFn } from "../src/core/activations.ts";
import {
  createTransformer,
  type MathMode,
  type TransformerOptions,
  type TransformerShape,
} from "../src/core/index.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { ReferenceAdamW } from "./reference/adamw.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { Random } from "./reference/random.ts";
import { type ReferenceBatch, type ReferenceShape, ReferenceTransformer } from "./reference/transformer.ts";

type Shape = ReferenceShape & TransformerShape;

const builds: MathMode[] = ["strict", "fast"];

/** Chained reductions of a forward and a backward pass: nine a block each way, and the loss. */
function tolerance(shape: Shape, batch: ReferenceBatch): number {
  const longest = Math.max(shape.dModel, shape.dMlp, shape.dVocab, batch.batchSize * batch.length);
  return float32Tolerance(longest, 18 * shape.nLayers + 4);
}

function setUp(shape: Shape, batchSize: number, length: number, positions: number[], seed: number) {
  const reference = new ReferenceTransformer(shape);
  const random = new Random(seed);
  // Rounded to float32 first, so that both models have exactly the same parameters.
  const parameters = Float64Array.from(Float32Array.from(random.parameters(reference)));
  const batch = random.batch(shape, batchSize, length, Int32Array.from(positions));
  return { reference, random, parameters, batch };
}

/** Loss and whole gradient of the core are those of the reference. */
async function expectGradient(
  shape: Shape,
  math: MathMode,
  reference: ReferenceTransformer,
  parameters: Float64Array,
  batch: ReferenceBatch,
) {
  const model = await createTransformer(shape, { math });
  model.setParameters(Float32Array.from(parameters));
  const expected = reference.lossAndGradient(parameters, batch);
  const { loss, gradient } = model.lossAndGradient(batch);
  const bound = tolerance(shape, batch);
  expect(Math.abs(loss - expected.loss) / expected.loss).toBeLessThan(bound);
  expect(maxRelativeError(gradient, expected.gradient)).toBeLessThan(bound);
  return { model, gradient, expected, bound };
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

const base: Shape = { ...TINY_SHAPE, actFn: "relu" };

type Case = [string, Shape, number, number, number[]];

const cases: Case[] = [
  ["one block, predictions at some positions", { ...base, nLayers: 1 }, 3, 6, [1, 3, 5]],
  ...ACT_FNS.map((actFn): Case => [actFn, { ...base, actFn }, 3, 6, [1, 3, 5]]),
  ["one block, predictions everywhere", { ...base, nLayers: 1 }, 3, 6, range(6)],
  ["tied embeddings", { ...base, tiedEmbeddings: true }, 4, 5, [0, 2, 4]],
  [
    "roles and gelu, odd sizes",
    { ...base, dVocab: 5, dModel: 6, nHeads: 3, nLayers: 3, dMlp: 7, nCtx: 9, actFn: "gelu", roles: 3 },
    5,
    8,
    [1, 4, 7],
  ],
  ["one head of dimension 10, narrow MLP", { ...base, dModel: 10, nHeads: 1, dMlp: 3, roles: 2 }, 2, 4, [3]],
  ["sequences of one token", { ...base, nCtx: 1 }, 5, 1, [0]],
  ["head dimension 2", { ...base, nHeads: 4 }, 3, 6, range(6)],
  [
    "the quick preset's shape, several micro-batches",
    { ...base, dVocab: 23, dModel: 64, nHeads: 4, dMlp: 256, nCtx: 8 },
    61,
    8,
    [0, 2, 4, 6],
  ],
  [
    "head dimension 18, long context",
    { ...base, dVocab: 11, dModel: 36, nHeads: 2, dMlp: 50, nCtx: 47, roles: 3 },
    3,
    47,
    [1, 4, 40, 46],
  ],
];

describe.each(builds)("the %s build", (math) => {
  it.each(cases)("%s", async (_, shape, batchSize, length, positions) => {
    const { reference, parameters, batch } = setUp(shape, batchSize, length, positions, 1);
    const model = await createTransformer(shape, { math });
    model.setParameters(Float32Array.from(parameters));
    expect(model.parameters).toEqual(reference.parameters);

    const bound = tolerance(shape, batch);
    expect(maxRelativeError(model.logits(batch), reference.logits(parameters, batch))).toBeLessThan(bound);
    const expected = reference.lossAndGradient(parameters, batch);
    const { loss, gradient } = model.lossAndGradient(batch);
    expect(Math.abs(loss - expected.loss) / expected.loss).toBeLessThan(bound);
    for (const { name, offset, length: size } of model.parameters) {
      const error = maxRelativeError(
        gradient.subarray(offset, offset + size),
        expected.gradient.subarray(offset, offset + size),
      );
      expect(error, name).toBeLessThan(bound);
    }
  });

  it("any shape: loss, gradient and directional derivatives", async () => {
    const shapes = fc.record({
      dVocab: fc.integer({ min: 3, max: 19 }),
      nHeads: fc.integer({ min: 1, max: 3 }),
      pairs: fc.integer({ min: 1, max: 5 }),
      nLayers: fc.integer({ min: 1, max: 3 }),
      dMlp: fc.integer({ min: 1, max: 21 }),
      nCtx: fc.integer({ min: 1, max: 11 }),
      actFn: fc.constantFrom(...ACT_FNS),
      tiedEmbeddings: fc.boolean(),
      ropeBase: fc.constantFrom(10, 10000),
      roles: fc.integer({ min: 0, max: 3 }),
      batchSize: fc.integer({ min: 1, max: 9 }),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ pairs, batchSize, seed, ...rest }) => {
        const shape: Shape = { ...rest, dModel: 2 * pairs * rest.nHeads };
        // A LayerNorm over two features amplifies rounding without bound; see compare.ts.
        fc.pre(shape.dModel >= 6);
        const some = range(shape.nCtx).filter((t) => t % 2 === seed % 2);
        const { reference, random, parameters, batch } = setUp(
          shape,
          batchSize,
          shape.nCtx,
          some.length > 0 ? some : [0],
          seed,
        );
        const { model, gradient, expected, bound } = await expectGradient(
          shape,
          math,
          reference,
          parameters,
          batch,
        );
        const v = random.direction(model.parameterCount);
        const along = (g: ArrayLike<number>) => v.reduce((sum, x, i) => sum + x * g[i], 0);
        const norm = Math.sqrt(expected.gradient.reduce((sum, x) => sum + x * x, 0));
        expect(Math.abs(along(gradient) - along(expected.gradient))).toBeLessThan(bound * norm);
      }),
      { numRuns: 40, seed: 7 },
    );
  });

  it("sequences with common beginnings, whole ones included, whose shared rows are computed once", async () => {
    const settings = fc.record({
      nLayers: fc.integer({ min: 1, max: 3 }),
      length: fc.integer({ min: 2, max: 13 }),
      batchSize: fc.integer({ min: 2, max: 40 }),
      beyond: fc.boolean(),
      roles: fc.constantFrom(0, 2),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(settings, async ({ nLayers, length, batchSize, beyond, roles, seed }) => {
        const shape: Shape = { ...base, nLayers, roles, nCtx: length };
        // With `beyond` the last tokens come after every prediction.
        const positions = range(length - (beyond && length > 2 ? 2 : 0)).filter((t) => t % 2 === 0);
        const { reference, random, parameters, batch } = setUp(shape, batchSize, length, positions, seed);
        random.shareBeginnings(batch);
        const { model, bound } = await expectGradient(shape, math, reference, parameters, batch);
        expect(maxRelativeError(model.logits(batch), reference.logits(parameters, batch))).toBeLessThan(
          bound,
        );
      }),
      { numRuns: 60, seed: 11 },
    );
  });

  it("central differences of its own loss", async () => {
    const { random, parameters, batch } = setUp(base, 5, 6, [1, 3, 5], 3);
    const model = await createTransformer({ ...base, actFn: "gelu" }, { math });
    const at = (theta: Float64Array) => {
      model.setParameters(Float32Array.from(theta));
      return model.lossAndGradient(batch);
    };
    const { gradient } = at(parameters);
    const v = random.direction(model.parameterCount);
    const slope = v.reduce((sum, x, i) => sum + x * gradient[i], 0);
    // Loss errs by about 2^-24 x a few units: with h = 2^-7 the quotient errs by 1e-4, the h^2 term by less.
    const h = 2 ** -7;
    const moved = (sign: number) => at(parameters.map((x, i) => x + sign * h * v[i])).loss;
    expect((moved(1) - moved(-1)) / (2 * h)).toBeCloseTo(slope, 3);
  });

  it.each([
    ["plain", 0, []],
    ["clipped, LayerNorm and embeddings without decay", 0.5, ["layerNorm", "embeddings"]],
  ] as const)("ten AdamW steps, %s", async (_, gradientClip, weightDecayExclude) => {
    const shape: Shape = { ...base, dModel: 12, dVocab: 5, nHeads: 3, roles: 2 };
    const { reference, random, parameters } = setUp(shape, 4, 6, [1, 3, 5], 5);
    const model = await createTransformer(shape, { math });
    model.setParameters(Float32Array.from(parameters));
    const excluded = (name: string) => weightDecayExclude.length > 0 && /\.ln_|wte|wre|lm_head/.test(name);
    const options = { weightDecay: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, gradientClip };
    const adamw = new ReferenceAdamW(
      reference.parameters.map(({ name, offset, length }) => ({
        offset,
        length,
        weightDecay: excluded(name) ? 0 : 0.1,
      })),
      options,
    );
    const start = parameters.slice();
    for (let step = 1; step <= 10; step++) {
      const batch = random.batch(shape, 4, 6, Int32Array.of(1, 3, 5));
      const expected = reference.lossAndGradient(parameters, batch);
      const norm = adamw.step(parameters, expected.gradient, 1e-2);
      const result = model.trainStep(batch, { ...options, step, learningRate: 1e-2, weightDecayExclude });
      expect(result.loss / expected.loss).toBeCloseTo(1, 4);
      expect(result.gradientNorm / norm).toBeCloseTo(1, 4);
    }
    // AdamW divides by sqrt(v): where a gradient is nearly 0, its rounding error turns into a step of full size. The
    // total displacement bounds that; typical parameters agree far better.
    const displacement = Math.max(...parameters.map((x, i) => Math.abs(x - start[i])));
    const errors = model
      .getParameters()
      .map((x, i) => Math.abs(x - parameters[i]))
      .sort();
    expect(errors[Math.floor(errors.length / 2)]).toBeLessThan(2e-6 * displacement);
    expect(errors[Math.floor(errors.length * 0.99)]).toBeLessThan(1e-3 * displacement);
    expect(model.getMoments().first.length).toBe(model.parameterCount);
  });

  it("gives the same bytes again, and the same in one batch or in several", async () => {
    const { parameters, batch } = setUp({ ...base, dModel: 64, dMlp: 256 }, 70, 6, [1, 3, 5], 9);
    const shape = { ...base, dModel: 64, dMlp: 256 };
    const model = await createTransformer(shape, { math });
    model.setParameters(Float32Array.from(parameters));
    const first = model.lossAndGradient(batch);
    const other = await createTransformer(shape, { math });
    other.setParameters(Float32Array.from(parameters));
    other.lossAndGradient({
      ...batch,
      batchSize: 1,
      tokens: batch.tokens.slice(0, 6),
      targets: batch.targets.slice(0, 3),
    });
    expect(other.lossAndGradient(batch)).toEqual(first);

    const one = model.logits({
      ...batch,
      batchSize: 1,
      tokens: batch.tokens.slice(-6),
      targets: batch.targets.slice(-3),
    });
    expect(model.logits(batch).slice(-one.length)).toEqual(one);
  });

  it("copies parameters and moments into arrays that are given, of their length only", async () => {
    const { parameters } = setUp(base, 4, 6, [1, 3, 5], 2);
    const model = await createTransformer(base, { math });
    model.setParameters(Float32Array.from(parameters));
    const vector = (value: number) => new Float32Array(model.parameterCount).fill(value);
    model.setMoments({ first: vector(2), second: vector(3) });
    const into = vector(0);
    expect(model.getParameters(into)).toBe(into);
    expect(into).toEqual(model.getParameters());
    const moments = { first: vector(0), second: vector(0) };
    expect(model.getMoments(moments)).toEqual({ first: vector(2), second: vector(3) });
    expect(moments).toEqual(model.getMoments());
    expect(() => model.getParameters(new Float32Array(3))).toThrow(
      /length of into: got 3, must be \d+, the parameters of this model/,
    );
  });

  it("probabilities are the softmax of the logits", async () => {
    const { parameters, batch } = setUp(base, 4, 6, [1, 3, 5], 2);
    const model = await createTransformer(base, { math, optimizer: "none" });
    model.setParameters(Float32Array.from(parameters));
    const logits = model.logits(batch);
    const probabilities = model.probabilities(batch);
    for (let row = 0; row < probabilities.length; row += 7) {
      const z = Float64Array.from(logits.subarray(row, row + 7), Math.exp);
      const sum = z.reduce((a, b) => a + b);
      z.forEach((e, c) => {
        expect(probabilities[row + c]).toBeCloseTo(e / sum, 6);
      });
    }
  });

  it.each(ACT_FNS)("NaN anywhere behind the embeddings reaches the loss, %s", async (actFn) => {
    const shape = { ...base, actFn, roles: 0 };
    const { parameters, batch } = setUp(shape, 4, 6, [1, 3, 5], 2);
    const model = await createTransformer(shape, { math });
    for (let i = shape.dVocab * shape.dModel; i < model.parameterCount; i += 13) {
      const broken = Float32Array.from(parameters);
      broken[i] = Number.NaN;
      model.setParameters(broken);
      expect(model.lossAndGradient(batch).loss, `parameter ${i}`).toBeNaN();
    }
  });

  it("a non-finite loss changes nothing", async () => {
    const { parameters, batch } = setUp(base, 4, 6, [1, 3, 5], 2);
    const model = await createTransformer(base, { math });
    const broken = Float32Array.from(parameters);
    broken[0] = Number.NaN;
    broken.fill(1e38, 10, 50);
    model.setParameters(broken);
    const options = { step: 1, learningRate: 0.1, weightDecay: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
    expect(model.trainStep(batch, options).loss).toBeNaN();
    expect(model.getParameters()).toEqual(broken);
  });
});

describe("methods are those that memory was reserved for", () => {
  const create = <const Options extends TransformerOptions>(options: Options) =>
    createTransformer(base, { math: "strict", ...options });
  const methods = (model: object) =>
    Object.keys(model).filter((key) => typeof model[key as keyof typeof model] === "function");

  const predictions = ["getParameters", "setParameters", "logits", "probabilities", "features"];
  const gradients = ["lossAndGradient", "jacobianTransposeProduct", "assist"];
  const moments = ["getMoments", "setMoments", "setTeam"];
  const products = ["jacobianVectorProduct", "hessianVectorProduct", "ggnVectorProduct", "ggnDiagonal"];

  it.each([
    [{ optimizer: "none" }, predictions],
    [{}, [...predictions, ...gradients, ...moments, "trainStep"]],
    [
      { optimizer: "ivon" },
      [...predictions, ...gradients, ...moments, "ivonSample", "ivonRestore", "ivonTrainStep"],
    ],
    [{ optimizer: "none", curvature: true }, [...predictions, ...gradients, ...products]],
    [{ optimizer: "none", kronecker: true }, [...predictions, ...gradients, "kroneckerFactors"]],
    [
      { curvature: true, kronecker: true },
      [...predictions, ...gradients, ...moments, "trainStep", ...products, "kroneckerFactors"],
    ],
  ] as const)("%o", async (options, expected) => {
    expect(methods(await create(options)).sort()).toEqual([...expected].sort());
  });

  it("for the compiler too, and of what is known at run time only, what all cases have", async () => {
    const optimizer = "ivon" as "adamw" | "ivon";
    const model = await create({ optimizer, curvature: optimizer === "adamw" });
    expect(model.getMoments().first).toHaveLength(model.parameterCount);
    // @ts-expect-error: it may be an IVON model.
    expect(model.trainStep).toBeUndefined();
    // @ts-expect-error: it may have no curvature.
    expect(model.hessianVectorProduct).toBeUndefined();
    if ("ivonRestore" in model) model.ivonRestore();
    const options: TransformerOptions = {};
    // @ts-expect-error: options of that type may say anything.
    expect((await create(options)).trainStep).toBeDefined();
  });
});

describe("what is refused", () => {
  const options = { math: "strict" } as const;

  it.each([
    [{ dModel: 0 }, /dModel: got 0/],
    [{ dModel: 9 }, /dModel: got 9, must be an even multiple of nHeads = 2/],
    [{ dModel: 6, nHeads: 2 }, /even/],
    [{ nLayers: 1.5 }, /nLayers: got 1.5/],
    [{ ropeBase: 1 }, /ropeBase: got 1/],
    [{ roles: -1 }, /roles: got -1/],
    [{ actFn: "toString" as ActFn }, /actFn: got toString, must be one of relu, gelu, silu/],
  ])("shape %o", async (change, message) => {
    await expect(createTransformer({ ...base, ...change }, options)).rejects.toThrow(message);
  });

  it("models beyond 4 GiB, with the numbers", async () => {
    const huge = { ...base, dModel: 8192, dMlp: 32768, nLayers: 12, nHeads: 8 };
    await expect(createTransformer(huge, options)).rejects.toThrow(/\d+\.\d\d GiB .*dModel 8192.*4 GiB/);
  });

  it("bad batches and vectors", async () => {
    const model = await createTransformer(base, options);
    const { batch } = setUp(base, 2, 6, [1, 3, 5], 1);
    const gradient = (change: object) => () => model.lossAndGradient({ ...batch, ...change });
    expect(gradient({ length: 7 })).toThrow(/length: got 7, must be an integer from 1 to 6/);
    expect(gradient({ batchSize: 0 })).toThrow(/batchSize: got 0/);
    expect(gradient({ batchSize: 3 })).toThrow(/length of tokens: got 12, must be 18, batchSize x length/);
    expect(gradient({ positions: Int32Array.of(3, 3, 5) })).toThrow(
      /positions\[1\]: got 3, must be an integer from 4 to 5/,
    );
    expect(gradient({ positions: Int32Array.of(1, 3, 6) })).toThrow(/positions\[2\]: got 6/);
    expect(gradient({ positions: new Int32Array(0) })).toThrow(
      /length of positions: got 0, must be at least 1/,
    );
    expect(gradient({ tokens: batch.tokens.map(() => 7) })).toThrow(
      /tokens\[0\]: got 7, must be an integer from 0 to 6/,
    );
    expect(gradient({ targets: batch.targets.map(() => -1) })).toThrow(/targets\[0\]: got -1/);
    expect(gradient({ targets: new Int32Array(2) })).toThrow(
      /length of targets: got 2, must be 6, batchSize x positions/,
    );
    expect(() => model.setParameters(new Float32Array(3))).toThrow(/length of parameters: got 3/);
  });
});
