/**
 * Kronecker factors of the core, both builds: against float64, against the Gauss-Newton blocks they stand for where the
 * approximation is exact, and what they do and do not depend on.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACT_FNS } from "../src/core/activations.ts";
import type { BackpropagatedVectors } from "../src/core/backpropagated-vectors.ts";
import { createTransformer, type MathMode } from "../src/core/index.ts";
import type { FactorSums, KroneckerSums } from "../src/core/kronecker.ts";
import { modelPair } from "./fixtures/model-pair.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { type ReferenceFactors, referenceFactors } from "./reference/kronecker.ts";
import { part } from "./reference/part.ts";
import { Random } from "./reference/random.ts";
import type { ReferenceShape } from "./reference/transformer.ts";

const builds: MathMode[] = ["strict", "fast"];
const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const SIGNS = { probes: 2, seed: 4_000_000_000, stream: 3 };
const UNIT_ROUNDOFF = 2 ** -24;

const setUp = (
  shape: ReferenceShape,
  batchSize: number,
  length: number,
  positions: number[],
  math: MathMode,
) =>
  modelPair(shape, batchSize, length, positions, { math, seed: 2 }, { optimizer: "none", kronecker: true });

/** Every array of a list of factors, by name. */
function arrays(factors: readonly (FactorSums | ReferenceFactors)[]) {
  return factors.flatMap((sum, i) =>
    "squares" in sum
      ? [{ name: `${i} ${sum.name}`, values: Float64Array.from(sum.squares) }]
      : [
          { name: `${i} ${sum.name} left`, values: Float64Array.from(sum.left) },
          { name: `${i} ${sum.name} right`, values: Float64Array.from(sum.right) },
        ],
  );
}

/**
 * The worst relative error of an array that float32 may leave, as for products with the curvature: reductions of all
 * rows and vectors, nine stages a block each way, and what LayerNorms amplify, measured by moving every parameter of the
 * reference by a random roundoff.
 */
function expectFactors(
  { reference, parameters, batch, model }: Awaited<ReturnType<typeof setUp>>,
  vectors: BackpropagatedVectors,
) {
  const expected = referenceFactors(reference, parameters, batch, vectors);
  const actual = model.kroneckerFactors(batch, vectors);
  const noise = new Random(7).normals(parameters.length);
  const nudged = arrays(
    referenceFactors(
      reference,
      parameters.map((x, i) => x * (1 + UNIT_ROUNDOFF * noise[i])),
      batch,
      vectors,
    ),
  );
  const { dVocab, dModel, dMlp, nLayers } = reference.shape;
  const passes = vectors === "exact" ? batch.positions.length * dVocab : vectors.probes;
  const longest = Math.max(dModel, dMlp, dVocab, batch.batchSize * batch.length * passes);
  const moved = Math.max(
    ...arrays(expected).map(({ values }, i) => maxRelativeError(nudged[i].values, values) / UNIT_ROUNDOFF),
  );
  const bound = float32Tolerance(longest, Math.max(18 * nLayers + 4, moved ** 2));
  expect(bound).toBeLessThan(1e-2);
  const named = arrays(actual);
  expect(named.map(({ name }) => name)).toEqual(arrays(expected).map(({ name }) => name));
  arrays(expected).forEach(({ name, values }, i) => {
    expect(maxRelativeError(named[i].values, values), name).toBeLessThan(bound);
  });
  const terms = (all: readonly (FactorSums | ReferenceFactors)[]) =>
    all.map((sum) => ("terms" in sum ? sum.terms : 0));
  expect(terms(actual)).toEqual(terms(expected));
  for (const sum of actual) {
    if ("squares" in sum) continue;
    for (const [matrix, n] of [sum.left, sum.right].map((m) => [m, Math.sqrt(m.length)] as const))
      for (let i = 0; i < n; i++)
        for (let j = 0; j < i; j++) expect(matrix[i * n + j]).toBe(matrix[j * n + i]);
  }
}

const base: ReferenceShape = TINY_SHAPE;

type Case = [string, ReferenceShape, number, number, number[]];

const cases: Case[] = [
  ...ACT_FNS.map((actFn): Case => [actFn, { ...base, actFn }, 3, 6, [1, 3, 5]]),
  ["one block, last position", { ...base, nLayers: 1 }, 3, 6, [5]],
  [
    "one block, all positions, relu, tied",
    { ...base, nLayers: 1, actFn: "relu", tiedEmbeddings: true },
    3,
    6,
    range(6),
  ],
  [
    "roles, odd sizes, three blocks",
    { ...base, dVocab: 5, dModel: 6, nHeads: 3, nLayers: 3, dMlp: 7, nCtx: 9, roles: 3 },
    3,
    8,
    [1, 4, 7],
  ],
  [
    "tied, roles, all positions, relu",
    { ...base, actFn: "relu", tiedEmbeddings: true, roles: 2 },
    3,
    6,
    range(6),
  ],
  ["19 classes, narrow MLP", { ...base, dVocab: 19, dModel: 10, nHeads: 1, dMlp: 3 }, 2, 4, [3]],
  ["sequences of one token", { ...base, nCtx: 1 }, 5, 1, [0]],
];

describe.each(builds)("the %s build", (math) => {
  it.each(cases)("%s: all factors against float64", async (_, shape, batchSize, length, positions) => {
    const setup = await setUp(shape, batchSize, length, positions, math);
    expectFactors(setup, "exact");
    expectFactors(setup, SIGNS);
  });

  it("any shape", async () => {
    const shapes = fc.record({
      dVocab: fc.integer({ min: 2, max: 20 }),
      nHeads: fc.integer({ min: 1, max: 3 }),
      pairs: fc.integer({ min: 1, max: 4 }),
      nLayers: fc.integer({ min: 1, max: 3 }),
      dMlp: fc.integer({ min: 1, max: 17 }),
      nCtx: fc.integer({ min: 1, max: 9 }),
      actFn: fc.constantFrom(...ACT_FNS),
      tiedEmbeddings: fc.boolean(),
      roles: fc.integer({ min: 0, max: 3 }),
      batchSize: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ pairs, batchSize, ...rest }) => {
        // Widths below 8 have LayerNorms that divide by nearly nothing.
        const heads = Math.max(rest.nHeads, Math.ceil(4 / pairs));
        const shape = { ...base, ...rest, nHeads: heads, dModel: 2 * pairs * heads };
        const positions = range(rest.nCtx).filter((t) => t % 2 === 0);
        expectFactors(await setUp(shape, batchSize, rest.nCtx, positions, math), SIGNS);
      }),
      { numRuns: 15, seed: 1 },
    );
  });

  it("several micro-batches: the signs of a prediction are those of its place in the batch", async () => {
    const shape = { ...base, dVocab: 5, dModel: 32, nHeads: 1, dMlp: 128, nCtx: 8 };
    const setup = await setUp(shape, 60, 8, [3, 7], math);
    expectFactors(setup, { ...SIGNS, probes: 1 });
    const { model, batch } = setup;
    const [whole, first, rest] = [batch, part(batch, 0, 23), part(batch, 23, 37)].map((b) =>
      arrays(model.kroneckerFactors(b, "exact")),
    );
    whole.forEach(({ name, values }, i) => {
      const sum = Float64Array.from(values, (_, j) => first[i].values[j] + rest[i].values[j]);
      expect(maxRelativeError(values, sum), name).toBeLessThan(float32Tolerance(60 * 8 * 10));
    });
  });

  it("the same bytes again, whatever came between, and others for another seed, stream or batch", async () => {
    const { model, batch, parameters } = await setUp(base, 5, 6, [1, 3, 5], math);
    const first = model.kroneckerFactors(batch, SIGNS);
    model.kroneckerFactors(part(batch, 1, 2), "exact");
    model.logits(batch);
    expect(model.kroneckerFactors(batch, SIGNS)).toEqual(first);
    for (const other of [{ seed: 1 }, { stream: 4 }])
      expect(model.kroneckerFactors(batch, { ...SIGNS, ...other })).not.toEqual(first);
    const both = await createTransformer(base, { math, curvature: true, kronecker: true });
    both.setParameters(Float32Array.from(parameters));
    both.ggnVectorProduct(batch, Float32Array.from(parameters));
    expect(both.kroneckerFactors(batch, SIGNS)).toEqual(first);
  });

  it.each([
    ["one token", { ...base, nCtx: 1, roles: 2 }, 1, [0], /./],
    ["one prediction", { ...base, nLayers: 1 }, 6, [5], /(attn\.o|mlp\.\w+|lm_head)\.weight$|\.ln_(2|f)/],
    ["LayerNorms at any number of predictions", { ...base, dMlp: 5 }, 6, [1, 3, 5], /\.ln_/],
  ] as const)(
    "%s: the factors are the exact Gauss-Newton blocks",
    async (_, shape, length, positions, exact) => {
      const { model, batch, parameters } = await setUp(shape, 1, length, [...positions], math);
      const curved = await createTransformer(shape, { math, curvature: true });
      curved.setParameters(Float32Array.from(parameters));
      const sums = model.kroneckerFactors(batch, "exact");
      let compared = 0;
      model.parameters.forEach(({ name, offset, length: size }, index) => {
        if (!exact.test(name)) return;
        const sum = sums[index];
        const block = new Float64Array(size * size);
        const approximation = new Float32Array(size * size);
        const v = new Float32Array(model.parameterCount);
        for (let i = 0; i < size; i++) {
          v[offset + i] = 1;
          const column = curved.ggnVectorProduct(batch, v).subarray(offset, offset + size);
          v[offset + i] = 0;
          for (let j = 0; j < size; j++) {
            // Of a LayerNorm vector the diagonal alone is kept.
            if ("squares" in sum && i !== j) continue;
            block[i * size + j] = column[j] * positions.length;
            approximation[i * size + j] = "squares" in sum ? sum.squares[i] : kronecker(sum, i, j);
          }
        }
        compared++;
        expect(maxRelativeError(approximation, block), name).toBeLessThan(5e-5);
      });
      expect(compared).toBeGreaterThan(3);
    },
  );
});

/** Element (i, j) of left (x) right / terms. */
function kronecker(sum: KroneckerSums, i: number, j: number): number {
  const rows = Math.sqrt(sum.left.length);
  const columns = Math.sqrt(sum.right.length);
  const left = sum.left[Math.floor(i / columns) * rows + Math.floor(j / columns)];
  return (left * sum.right[(i % columns) * columns + (j % columns)]) / sum.terms;
}

it("random signs have the exact factors as mean", async () => {
  const groups = 12;
  const draws = 50;
  let chiSquare = 0;
  const { model, random } = await setUp(base, 1, 6, [5], "strict");
  for (let group = 0; group < groups; group++) {
    const batch = random.batch(base, 4, 6, [1, 3, 5]);
    const exact = arrays(model.kroneckerFactors(batch, "exact")).flatMap(({ values }) => [...values]);
    const sum = new Float64Array(exact.length);
    const squares = new Float64Array(exact.length);
    for (let stream = 0; stream < draws; stream++) {
      const sampled = model.kroneckerFactors(batch, { probes: 2, seed: group, stream });
      arrays(sampled)
        .flatMap(({ values }) => [...values])
        .forEach((x, i) => {
          sum[i] += x - exact[i];
          squares[i] += (x - exact[i]) ** 2;
        });
    }
    const scores = exact.flatMap((x, i) => {
      const variance = (squares[i] - sum[i] ** 2 / draws) / (draws - 1);
      // Factors A are the same in each draw.
      return variance > 1e-12 * x ** 2 ? [sum[i] ** 2 / draws / variance] : [];
    });
    expect(scores.length).toBeGreaterThan(2000);
    chiSquare += scores.reduce((total, x) => total + x) / scores.length / groups;
  }
  // Elements of one draw depend on few signs: the mean over them scatters by 0.45 around 1, that over groups by 0.13.
  expect(Math.abs(chiSquare - 1)).toBeLessThan(4 * 0.13);
});

describe("what it takes", () => {
  it("memory for those only who ask for it", async () => {
    const bytes = async (options: { curvature?: boolean; kronecker?: boolean }) =>
      (await createTransformer(base, { math: "strict", ...options })).memoryBytes;
    expect(await bytes({ kronecker: false })).toBe(await bytes({}));
    expect(await bytes({ kronecker: true })).toBeGreaterThan(await bytes({}));
    expect(await bytes({ kronecker: true })).toBeLessThan(await bytes({ curvature: true }));
  });

  it("refuses what is not allowed", async () => {
    const { model, batch } = await setUp(base, 2, 6, [1, 3, 5], "strict");
    expect(() => model.kroneckerFactors(batch, { ...SIGNS, probes: 0 })).toThrow(
      new RangeError("probes: got 0, must be an integer of at least 1"),
    );
    expect(() => model.kroneckerFactors(batch, { ...SIGNS, seed: -1 })).toThrow(/seed: got -1, must be/);
    expect(() => model.kroneckerFactors(batch, { ...SIGNS, stream: 0.5 })).toThrow(/stream: got 0.5/);
    expect(() => model.kroneckerFactors({ ...batch, length: 7 }, "exact")).toThrow(/length: got 7/);
    const curvature = await createTransformer(base, { math: "strict", curvature: true });
    // @ts-expect-error: no memory was reserved for it.
    expect(curvature.kroneckerFactors).toBeUndefined();
  });
});
