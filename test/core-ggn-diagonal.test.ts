/** Diagonal of the Gauss-Newton matrix from squared gradients, both builds: against float64 and against its products. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACT_FNS } from "../src/core/activations.ts";
import type { BackpropagatedVectors } from "../src/core/backpropagated-vectors.ts";
import { createTransformer, type MathMode } from "../src/core/index.ts";
import { modelPair } from "./fixtures/model-pair.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { referenceDiagonal } from "./reference/ggn-diagonal.ts";
import { Random } from "./reference/random.ts";
import type { ReferenceShape } from "./reference/transformer.ts";

const builds: MathMode[] = ["strict", "fast"];
const SIGNS = { probes: 2, seed: 4_000_000_000, stream: 3 };
const UNIT_ROUNDOFF = 2 ** -24;

const setUp = (
  shape: ReferenceShape,
  batchSize: number,
  length: number,
  positions: number[],
  math: MathMode,
) =>
  modelPair(shape, batchSize, length, positions, { math, seed: 2 }, { optimizer: "none", curvature: true });

/** float32 may leave what reductions over all rows and stages do, amplified as a roundoff of all parameters is. */
function expectDiagonal(
  { reference, parameters, batch, model }: Awaited<ReturnType<typeof setUp>>,
  vectors: BackpropagatedVectors,
  chunk: number,
) {
  const expected = referenceDiagonal(reference, parameters, batch, vectors, chunk);
  const noise = new Random(7).normals(parameters.length);
  const nudged = referenceDiagonal(
    reference,
    parameters.map((x, i) => x * (1 + UNIT_ROUNDOFF * noise[i])),
    batch,
    vectors,
    chunk,
  );
  const moved = maxRelativeError(nudged, expected) / UNIT_ROUNDOFF;
  const { dVocab, dModel, dMlp, nLayers } = reference.shape;
  const longest = Math.max(dModel, dMlp, dVocab, batch.batchSize * batch.length);
  const bound = float32Tolerance(longest, Math.max(18 * nLayers + 4, moved ** 2));
  expect(bound).toBeLessThan(1e-2);
  expect(maxRelativeError(model.ggnDiagonal(batch, vectors, chunk), expected)).toBeLessThan(bound);
}

type Case = [string, ReferenceShape, number, number, number[]];

const cases: Case[] = [
  ...ACT_FNS.map((actFn): Case => [actFn, { ...TINY_SHAPE, actFn }, 3, 6, [1, 3, 5]]),
  ["one block, tied, relu", { ...TINY_SHAPE, nLayers: 1, actFn: "relu", tiedEmbeddings: true }, 3, 6, [2, 5]],
  [
    "roles, odd sizes, three blocks",
    { ...TINY_SHAPE, dVocab: 5, dModel: 6, nHeads: 3, nLayers: 3, dMlp: 7, nCtx: 9, roles: 3 },
    3,
    8,
    [1, 4, 7],
  ],
  ["19 classes", { ...TINY_SHAPE, dVocab: 19, dModel: 10, nHeads: 1, dMlp: 3 }, 2, 4, [3]],
];

describe.each(builds)("the %s build", (math) => {
  it.each(cases)("%s: against float64", async (_, shape, batchSize, length, positions) => {
    const setup = await setUp(shape, batchSize, length, positions, math);
    expectDiagonal(setup, "exact", 1);
    for (const chunk of [1, 2]) expectDiagonal(setup, SIGNS, chunk);
  });

  it("any shape", async () => {
    const shapes = fc.record({
      dVocab: fc.integer({ min: 2, max: 20 }),
      nHeads: fc.integer({ min: 1, max: 3 }),
      nLayers: fc.integer({ min: 1, max: 3 }),
      dMlp: fc.integer({ min: 1, max: 17 }),
      nCtx: fc.integer({ min: 1, max: 9 }),
      actFn: fc.constantFrom(...ACT_FNS),
      tiedEmbeddings: fc.boolean(),
      roles: fc.integer({ min: 0, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 4 }), async (shape, chunk) => {
        // Widths below 8 have LayerNorms that divide by nearly nothing.
        const dModel = 2 * shape.nHeads * Math.ceil(4 / shape.nHeads);
        const positions = Array.from({ length: Math.ceil(shape.nCtx / 2) }, (_, i) => 2 * i);
        const setup = await setUp({ ...TINY_SHAPE, ...shape, dModel }, 3, shape.nCtx, positions, math);
        expectDiagonal(setup, SIGNS, chunk);
      }),
      { numRuns: 15, seed: 1 },
    );
  });

  it("the enumerated one is the diagonal of the products", async () => {
    const { model, batch } = await setUp(
      { ...TINY_SHAPE, tiedEmbeddings: true, roles: 2 },
      2,
      6,
      [1, 5],
      math,
    );
    const unit = new Float32Array(model.parameterCount);
    const diagonal = Float64Array.from(unit, (_, i) => {
      unit[i] = 1;
      const product = model.ggnVectorProduct(batch, unit);
      unit[i] = 0;
      return 4 * product[i];
    });
    expect(maxRelativeError(model.ggnDiagonal(batch, "exact"), diagonal)).toBeLessThan(5e-5);
  });

  it("several micro-batches: the signs of a prediction are those of its place in the batch", async () => {
    const shape = { ...TINY_SHAPE, dVocab: 5, dModel: 32, nHeads: 1, dMlp: 128, nCtx: 8 };
    const setup = await setUp(shape, 60, 8, [3, 7], math);
    expectDiagonal(setup, SIGNS, 1);
  });

  it("the same bytes again, whatever came between, and others for another seed, stream or chunk", async () => {
    const { model, batch, parameters } = await setUp(TINY_SHAPE, 5, 6, [1, 3, 5], math);
    const first = model.ggnDiagonal(batch, SIGNS);
    model.ggnDiagonal(batch, "exact");
    model.hessianVectorProduct(batch, Float32Array.from(parameters));
    expect(model.ggnDiagonal(batch, SIGNS)).toEqual(first);
    expect(model.ggnDiagonal(batch, { ...SIGNS, seed: 1 })).not.toEqual(first);
    expect(model.ggnDiagonal(batch, { ...SIGNS, stream: 4 })).not.toEqual(first);
    expect(model.ggnDiagonal(batch, SIGNS, 2)).not.toEqual(first);
  });
});

it("refuses what is not allowed by name", async () => {
  const { model, batch } = await setUp(TINY_SHAPE, 1, 6, [5], "strict");
  expect(() => model.ggnDiagonal(batch, { ...SIGNS, probes: 0 })).toThrow(/probes: got 0/);
  expect(() => model.ggnDiagonal(batch, { ...SIGNS, seed: -1 })).toThrow(/seed: got -1/);
  expect(() => model.ggnDiagonal(batch, { ...SIGNS, stream: 2 ** 32 })).toThrow(/stream: got 4294967296/);
  expect(() => model.ggnDiagonal(batch, SIGNS, 1.5)).toThrow(/chunk: got 1.5/);
  const plain = await createTransformer(TINY_SHAPE, { math: "strict" });
  // @ts-expect-error: no memory was reserved for it.
  expect(plain.ggnDiagonal).toBeUndefined();
});
