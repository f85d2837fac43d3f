/** Dropout in the core, both builds: against float64 under the same masks, what the masks depend on, their statistics. */
import { describe, expect, it } from "vitest";
import { createTransformer, type MathMode, type TransformerShape } from "../src/core/index.ts";
import { modelPair } from "./fixtures/model-pair.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { part } from "./reference/part.ts";
import { dropoutFactor } from "./reference/philox.ts";
import { type ReferenceShape, ReferenceTransformer } from "./reference/transformer.ts";

type Shape = ReferenceShape & Required<TransformerShape>;

const builds: MathMode[] = ["strict", "fast"];
const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const key = { seed: 5, stream: 3, step: 17 };

const base: Shape = { ...TINY_SHAPE, dModel: 12, dropout: 0.3 };

function setUp(shape: Shape, batchSize: number, length: number, positions: number[], math: MathMode) {
  const reference = new ReferenceTransformer(shape, dropoutFactor(shape.dropout, length, key));
  return modelPair(shape, batchSize, length, positions, { math, seed: 4, reference }, { curvature: true });
}

const cases: [string, Shape, number, number, number[]][] = [
  ["predictions at some positions", base, 4, 6, [1, 3, 5]],
  [
    "predictions everywhere, relu, tied, roles",
    { ...base, actFn: "relu", tiedEmbeddings: true, roles: 2 },
    4,
    6,
    range(6),
  ],
  ["one block of width 10", { ...base, nLayers: 1, dModel: 10, nHeads: 1 }, 4, 5, [2, 4]],
  [
    "width 38, three blocks, rate 0.9",
    { ...base, nLayers: 3, dModel: 38, nHeads: 1, dropout: 0.9 },
    3,
    6,
    [5],
  ],
];

describe.each(builds)("the %s build", (math) => {
  it.each(cases)(
    "%s: logits, gradient and products under the same masks",
    async (_, shape, batchSize, length, positions) => {
      const { reference, random, parameters, batch, model } = await setUp(
        shape,
        batchSize,
        length,
        positions,
        math,
      );
      const v = Float32Array.from(random.direction(model.parameterCount));
      const v64 = Float64Array.from(v);
      const nudged = parameters.map((x) => x * (1 + 2 ** -24 * random.normals(1)[0]));
      const quantities: [string, Float32Array, (at: Float64Array) => Float64Array][] = [
        ["logits", model.logits(batch, key), (at) => reference.logits(at, batch)],
        [
          "gradient",
          model.lossAndGradient(batch, key).gradient,
          (at) => reference.lossAndGradient(at, batch).gradient,
        ],
        [
          "J v",
          model.jacobianVectorProduct(batch, v, key),
          (at) => reference.jacobianVectorProduct(at, batch, v64),
        ],
        [
          "H v",
          model.hessianVectorProduct(batch, v, key),
          (at) => reference.hessianVectorProduct(at, batch, v64),
        ],
        ["G v", model.ggnVectorProduct(batch, v, key), (at) => reference.ggnVectorProduct(at, batch, v64)],
      ];
      for (const [name, actual, quantity] of quantities) {
        const expected = quantity(parameters);
        // As many reductions as in a Hessian product, or what the float64 reference shows when its parameters move by
        // one random roundoff, whichever amplifies more.
        const moved = maxRelativeError(quantity(nudged) as unknown as Float32Array, expected) * 2 ** 24;
        const bound = float32Tolerance(2 * 38, Math.max(2 * (18 * shape.nLayers + 4), moved ** 2));
        expect(bound).toBeLessThan(5e-3);
        expect(maxRelativeError(actual, expected), name).toBeLessThan(bound);
      }
    },
  );

  it("without a key nothing is dropped, with rate 0 a key changes nothing", async () => {
    const { parameters, batch, model } = await setUp(base, 4, 6, [1, 3, 5], math);
    const plain = await createTransformer({ ...base, dropout: 0 }, { math });
    plain.setParameters(Float32Array.from(parameters));
    model.lossAndGradient(batch, key);
    expect(model.logits(batch)).toEqual(plain.logits(batch));
    expect(plain.logits(batch, key)).toEqual(plain.logits(batch));
    expect(model.logits(batch, key)).not.toEqual(plain.logits(batch));
    expect(model.lossAndGradient(batch)).toEqual(plain.lossAndGradient(batch));
  });

  it("the key and nothing else decides: same bytes again, in several micro-batches, for a subset of positions", async () => {
    const { batch, model } = await setUp(
      { ...base, dModel: 64, nHeads: 4, dMlp: 256 },
      70,
      6,
      range(6),
      math,
    );
    const logits = model.logits(batch, key);
    expect(model.logits(batch, key)).toEqual(logits);
    for (const other of [{ seed: 6 }, { stream: 4 }, { step: 18 }]) {
      expect(model.logits(batch, { ...key, ...other })).not.toEqual(logits);
    }
    // The first sequences alone stand in one micro-batch; in the whole batch others come after them.
    const perSequence = 6 * base.dVocab;
    expect(model.logits(part(batch, 0, 3), key)).toEqual(logits.slice(0, 3 * perSequence));
    // The last ones stand at other places of the batch when alone, under other masks.
    expect(model.logits(part(batch, 67, 3), key)).not.toEqual(logits.slice(67 * perSequence));

    const positions = Int32Array.of(2, 5);
    const some = model.logits({ ...batch, positions }, key);
    const expected = range(70).flatMap((b) =>
      [2, 5].flatMap((t) => [...logits.slice((b * 6 + t) * base.dVocab, (b * 6 + t + 1) * base.dVocab)]),
    );
    expect(maxRelativeError(some, Float64Array.from(expected))).toBeLessThan(float32Tolerance(256, 40));
  });

  it("drops at the stated rate", async () => {
    // One prediction: the gradient of row c of the MLP's last matrix is zero when column c of its output is dropped.
    const shape: Shape = { ...base, nLayers: 1, dModel: 64, nHeads: 4, dVocab: 3, dropout: 0.25 };
    const { batch, model } = await setUp(shape, 40, 6, [5], math);
    const proj = model.parameters.find(({ name }) => name.endsWith("mlp.c_proj.weight"))!;
    let zeros = 0;
    const steps = 50;
    const one = part(batch, 0, 1);
    for (let step = 0; step < steps; step++) {
      const { gradient } = model.lossAndGradient(one, { ...key, step });
      for (let row = 0; row < 64; row++) {
        const weights = gradient.subarray(
          proj.offset + row * shape.dMlp,
          proj.offset + (row + 1) * shape.dMlp,
        );
        if (weights.every((g) => g === 0)) zeros++;
      }
    }
    const n = steps * 64;
    expect(Math.abs(zeros / n - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / n));
  });

  it("training uses the key", async () => {
    const options = { step: 1, learningRate: 0.01, weightDecay: 0, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
    const { parameters, batch, model } = await setUp(base, 4, 6, [1, 3, 5], math);
    const expected = model.lossAndGradient(batch, key).loss;
    expect(model.trainStep(batch, { ...options, dropout: key }).loss).toBe(expected);
    model.setParameters(Float32Array.from(parameters));
    expect(model.trainStep(batch, { ...options, dropout: { ...key, step: 1 } }).loss).not.toBe(expected);
    expect(() => model.trainStep(batch, options)).toThrow(
      /dropout: got none, trainStep of a model with dropout 0.3/,
    );
  });
});

describe("what is refused", () => {
  it.each([1, -0.1, Number.NaN])("rate %d", async (dropout) => {
    await expect(createTransformer({ ...base, dropout }, { math: "strict" })).rejects.toThrow(
      `dropout: got ${dropout}, must be at least 0 and below 1`,
    );
  });

  it("keys that are not 32-bit words", async () => {
    const { batch, model } = await setUp(base, 2, 6, [1], "strict");
    expect(() => model.logits(batch, { ...key, step: -1 })).toThrow(/dropout.step: got -1/);
    expect(() => model.logits(batch, { ...key, seed: 2 ** 32 })).toThrow(/dropout.seed: got 4294967296/);
    expect(() => model.logits(batch, { ...key, stream: 0.5 })).toThrow(/dropout.stream: got 0.5/);
  });
});
