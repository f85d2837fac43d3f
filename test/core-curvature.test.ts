/**
 * Second-order products of the core, both builds, against the float64 reference and against what defines them:
 * derivatives of the core's own gradient and logits, symmetry, adjointness, sums over classes.
 */
import fc from "fast-check";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { describe, expect, it } from "vitest";
import { ACT_FNS } from "../src/core/activations.ts";
import { createTransformer, type MathMode, type TransformerShape } from "../src/core/index.ts";
import { modelPair } from "./fixtures/model-pair.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { Random } from "./reference/random.ts";
import type { ReferenceBatch, ReferenceShape, ReferenceTransformer } from "./reference/transformer.ts";

type Shape = ReferenceShape & TransformerShape;

const builds: MathMode[] = ["strict", "fast"];

type Quantity = (parameters: Float64Array) => Float64Array;

const UNIT_ROUNDOFF = 2 ** -24;

/**
 * `quantity` at `parameters`, and the largest relative error over the named tensors that float32 arithmetic may leave in it.
 *
 * Stages: nine reductions a block each way and the loss, and as many again for the tangents, whose reductions hold two
 * products each and so are twice as long. That counts every rounding error as reaching the result with factor one.
 * Where LayerNorms amplify, the factor is measured: the root-sum-square over stages is how much the float64 reference
 * moves, in roundoffs, when every parameter moves by one random roundoff. It never depends on what the core computes.
 */
function bounded(
  reference: ReferenceTransformer,
  batch: ReferenceBatch,
  parameters: Float64Array,
  quantity: Quantity,
) {
  const { dModel, dMlp, dVocab, nLayers } = reference.shape;
  const longest = Math.max(dModel, dMlp, dVocab, batch.batchSize * batch.length);
  const noise = new Random(parameters.length).normals(parameters.length);
  const nudged = quantity(parameters.map((x, i) => x * (1 + UNIT_ROUNDOFF * noise[i])));
  const expected = quantity(parameters);
  const moved = worstTensor(reference, nudged, expected) / UNIT_ROUNDOFF;
  const bound = float32Tolerance(2 * longest, Math.max(2 * (18 * nLayers + 4), moved ** 2));
  // However much LayerNorms amplify: a bound that large would let errors pass.
  expect(bound).toBeLessThan(5e-3);
  return { expected, bound };
}

const tolerance = (...what: Parameters<typeof bounded>) => bounded(...what).bound;

/** maxRelativeError of the worst parameter tensor, or of the whole of anything that is not a parameter vector. */
function worstTensor(reference: ReferenceTransformer, a: ArrayLike<number>, b: Float64Array): number {
  const actual = a as Float32Array;
  if (b.length !== reference.parameterCount) return maxRelativeError(actual, b);
  return Math.max(
    ...reference.parameters.map(({ offset, length }) =>
      maxRelativeError(actual.subarray(offset, offset + length), b.subarray(offset, offset + length)),
    ),
  );
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  range(a.length).reduce((sum, i) => sum + a[i] * b[i], 0);
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, a));

async function setUp(
  shape: Shape,
  batchSize: number,
  length: number,
  positions: number[],
  seed: number,
  math: MathMode,
) {
  const options = { optimizer: "none", curvature: true } as const;
  const pair = await modelPair(shape, batchSize, length, positions, { math, seed }, options);
  const direction = () => Float32Array.from(pair.random.direction(pair.reference.parameterCount));
  return { ...pair, direction };
}

type Setup = Awaited<ReturnType<typeof setUp>>;

/** All products of both builds in a random direction, and random cotangents, against the reference. */
async function expectProducts(arrange: (math: MathMode) => Promise<Setup>): Promise<void> {
  const setups = await Promise.all(builds.map(arrange));
  const [{ reference, random, parameters, direction, batch }] = setups;
  const v = direction();
  const v64 = Float64Array.from(v);
  const products = ["jacobianVectorProduct", "hessianVectorProduct", "ggnVectorProduct"] as const;
  const [jv] = products.map((product) => {
    const result = bounded(reference, batch, parameters, (at) => reference[product](at, batch, v64));
    for (const [i, { model }] of setups.entries()) {
      const error = worstTensor(reference, model[product](batch, v), result.expected);
      expect(error, `${product}, ${builds[i]}`).toBeLessThan(result.bound);
    }
    return result;
  });
  // Cotangents are random: those that sum to a constant over the classes would hide errors.
  const cotangent = Float32Array.from(random.normals(batch.targets.length * reference.shape.dVocab));
  for (const [i, { model }] of setups.entries()) {
    const jc = model.jacobianTransposeProduct(batch, cotangent);
    const error = Math.abs(dot(jc, v) - dot(cotangent, jv.expected));
    expect(error, builds[i]).toBeLessThan(jv.bound * norm(jc));
  }
}

const base: Shape = TINY_SHAPE;

type Case = [string, Shape, number, number, number[]];

const cases: Case[] = [
  ["one block, predictions at some positions", { ...base, nLayers: 1 }, 3, 6, [1, 3, 5]],
  ["one block, predictions everywhere", { ...base, nLayers: 1 }, 3, 6, range(6)],
  ...ACT_FNS.map((actFn): Case => [actFn, { ...base, actFn }, 3, 6, [1, 3, 5]]),
  ["tied embeddings", { ...base, tiedEmbeddings: true }, 4, 5, [0, 2, 4]],
  [
    "roles, odd sizes, three blocks",
    { ...base, dVocab: 5, dModel: 6, nHeads: 3, nLayers: 3, dMlp: 7, nCtx: 9, roles: 3 },
    5,
    8,
    [1, 4, 7],
  ],
  ["tied, roles, predictions everywhere", { ...base, tiedEmbeddings: true, roles: 2 }, 3, 6, range(6)],
  ["one head of dimension 10, narrow MLP", { ...base, dModel: 10, nHeads: 1, dMlp: 3, roles: 2 }, 2, 4, [3]],
  ["sequences of one token", { ...base, nCtx: 1 }, 5, 1, [0]],
  [
    "the quick preset's shape, several micro-batches",
    { ...base, dVocab: 23, dModel: 64, nHeads: 4, dMlp: 256, nCtx: 8, actFn: "relu" },
    50,
    8,
    [0, 2, 4, 6],
  ],
  [
    "head dimension 18, long context",
    { ...base, dVocab: 11, dModel: 36, nHeads: 2, dMlp: 50, nCtx: 47, roles: 3 },
    2,
    47,
    [1, 4, 40, 46],
  ],
];

describe("both builds", () => {
  it.each(cases)("%s: all products against float64", async (_, shape, batchSize, length, positions) => {
    await expectProducts((math) => setUp(shape, batchSize, length, positions, 1, math));
  });

  it("any shape: all products", async () => {
    const shapes = fc.record({
      dVocab: fc.integer({ min: 3, max: 13 }),
      nHeads: fc.integer({ min: 1, max: 3 }),
      pairs: fc.integer({ min: 1, max: 4 }),
      nLayers: fc.integer({ min: 1, max: 3 }),
      dMlp: fc.integer({ min: 1, max: 17 }),
      nCtx: fc.integer({ min: 1, max: 9 }),
      actFn: fc.constantFrom(...ACT_FNS),
      tiedEmbeddings: fc.boolean(),
      ropeBase: fc.constantFrom(10, 10000),
      roles: fc.integer({ min: 0, max: 3 }),
      batchSize: fc.integer({ min: 1, max: 6 }),
      everywhere: fc.boolean(),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ pairs, batchSize, everywhere, seed, ...rest }) => {
        const shape: Shape = { ...rest, dModel: 2 * pairs * rest.nHeads };
        // A LayerNorm over two features amplifies rounding without bound; see compare.ts.
        fc.pre(shape.dModel >= 6);
        const some = range(shape.nCtx).filter((t) => everywhere || t % 2 === 0);
        await expectProducts((math) => setUp(shape, batchSize, shape.nCtx, some, seed, math));
      }),
      { numRuns: 40, seed: 3 },
    );
  });

  it("sequences with common beginnings, whole ones included, whose shared rows are computed once", async () => {
    for (const nLayers of [1, 2, 3]) {
      await expectProducts(async (math) => {
        const shape = { ...base, nLayers, roles: nLayers - 1 };
        const setup = await setUp(shape, 20, 6, [0, 2, 4], nLayers, math);
        setup.random.shareBeginnings(setup.batch);
        return setup;
      });
    }
  });
});

describe.each(builds)("the %s build", (math) => {
  it("H and G are symmetric and linear, and give the same bytes again", async () => {
    const shape: Shape = { ...base, dModel: 24, dMlp: 40, nCtx: 9, tiedEmbeddings: true, roles: 3 };
    const setup = await setUp(shape, 40, 9, [2, 5, 8], 4, math);
    const { reference, parameters, batch, model, direction } = setup;
    const [u, v] = [direction(), direction()];
    const sum = u.map((x, i) => 2 * x - v[i]);
    for (const product of ["hessianVectorProduct", "ggnVectorProduct"] as const) {
      const bound = tolerance(reference, batch, parameters, (at) =>
        reference[product](at, batch, Float64Array.from(v)),
      );
      const [Au, Av] = [model[product](batch, u), model[product](batch, v)];
      const scale = norm(Au) + norm(Av);
      expect(Math.abs(dot(u, Av) - dot(v, Au)), product).toBeLessThan(bound * scale);
      const combined = Float64Array.from(Au, (x, i) => 2 * x - Av[i]);
      expect(maxRelativeError(model[product](batch, sum), combined), product).toBeLessThan(3 * bound);
      model.jacobianVectorProduct(batch, v);
      model.lossAndGradient(batch);
      expect(model[product](batch, u)).toEqual(Au);
    }
    expect(model.jacobianVectorProduct(batch, u)).toEqual(model.jacobianVectorProduct(batch, u));
  });

  it("J and J^T are adjoint: c . J v = v . J^T c", async () => {
    const shape: Shape = { ...base, dModel: 24, dMlp: 40, nCtx: 9, tiedEmbeddings: true, roles: 3 };
    const { reference, parameters, random, batch, model, direction } = await setUp(
      shape,
      40,
      9,
      [2, 5, 8],
      4,
      math,
    );
    for (let i = 0; i < 5; i++) {
      const v = direction();
      const cotangent = Float32Array.from(random.normals(40 * 3 * shape.dVocab));
      const bound = tolerance(reference, batch, parameters, (at) =>
        reference.jacobianVectorProduct(at, batch, Float64Array.from(v)),
      );
      const jc = model.jacobianTransposeProduct(batch, cotangent);
      const jv = model.jacobianVectorProduct(batch, v);
      expect(Math.abs(dot(cotangent, jv) - dot(v, jc))).toBeLessThan(bound * (norm(jc) + norm(jv)));
    }
  });

  it("H v is the derivative of the gradient, J v that of the logits", async () => {
    const { reference, parameters, batch, model, direction } = await setUp(base, 5, 6, [1, 3, 5], 3, math);
    const v = direction();
    const gradient = () => Float64Array.from(model.lossAndGradient(batch).gradient);
    const logits = () => Float64Array.from(model.logits(batch));
    const at = (distance: number, quantity: () => Float64Array) => {
      model.setParameters(Float32Array.from(parameters, (x, i) => x + distance * v[i]));
      return quantity();
    };
    const pairs = [
      [gradient, () => model.hessianVectorProduct(batch, v)],
      [logits, () => model.jacobianVectorProduct(batch, v)],
    ] as const;
    for (const [quantity, product] of pairs) {
      const quotient = (h: number) => {
        const below = at(-h, quantity);
        return at(h, quantity).map((x, i) => (x - below[i]) / (2 * h));
      };
      const h = 2 ** -6;
      const [near, far] = [quotient(h), quotient(2 * h)];
      // The error of a central difference falls as h^2, so far differs from near by three times near's error.
      const truncation = Math.max(...near.map((x, i) => Math.abs(x - far[i]))) / 3;
      const largest = Math.max(...at(0, quantity).map(Math.abs));
      const bound = tolerance(
        reference,
        batch,
        parameters,
        (p) => reference.lossAndGradient(p, batch).gradient,
      );
      const actual = product();
      const error = Math.max(...near.map((x, i) => Math.abs(x - actual[i])));
      expect(error).toBeLessThan(2 * truncation + (bound * largest) / h);
      expect(error).toBeLessThan(0.01 * norm(actual));
    }
  });

  it("the whole Hessian and Gauss-Newton matrix of a tiny model", async () => {
    const shape: Shape = { ...base, dVocab: 3, dModel: 6, nHeads: 1, nLayers: 1, dMlp: 2, nCtx: 3 };
    const { reference, parameters, batch, model } = await setUp(shape, 4, 3, [0, 2], 6, math);
    const count = model.parameterCount;
    const eigenvalues = (product: "hessianVectorProduct" | "ggnVectorProduct") => {
      const unit = (i: number) => Float32Array.from({ length: count }, (_, j) => (i === j ? 1 : 0));
      const rows = range(count).map((i) => Float64Array.from(model[product](batch, unit(i))));
      const whole: Quantity = (at) =>
        Float64Array.from(
          range(count).flatMap((i) => [...reference[product](at, batch, Float64Array.from(unit(i)))]),
        );
      const bound = tolerance(reference, batch, parameters, whole);
      const flat = Float32Array.from(rows.flatMap((row) => [...row]));
      expect(maxRelativeError(flat, whole(parameters))).toBeLessThan(bound);
      const asymmetry = rows.map((row, i) => row.map((x, j) => Math.abs(x - rows[j][i])));
      const largest = Math.max(...rows.flatMap((row) => [...row].map(Math.abs)));
      expect(Math.max(...asymmetry.flatMap((row) => [...row]))).toBeLessThan(2 * bound * largest);
      const symmetric = new Matrix(rows.map((row, i) => [...row].map((x, j) => (x + rows[j][i]) / 2)));
      const values = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true }).realEigenvalues;
      return { smallest: Math.min(...values), largest: Math.max(...values), error: bound * largest * count };
    };
    const ggn = eigenvalues("ggnVectorProduct");
    expect(ggn.smallest).toBeGreaterThan(-ggn.error);
    expect(ggn.largest).toBeGreaterThan(1000 * ggn.error);
    const hessian = eigenvalues("hessianVectorProduct");
    expect(hessian.smallest).toBeLessThan(-100 * hessian.error);
  });

  it("G is the expectation of g g^T over the classes, g being the gradient of -log p_c", async () => {
    const { reference, parameters, batch, model, direction } = await setUp(base, 3, 6, [4], 8, math);
    const v = direction();
    const probabilities = model.probabilities(batch);
    const expected = new Float64Array(model.parameterCount);
    for (let b = 0; b < 3; b++) {
      for (let c = 0; c < base.dVocab; c++) {
        const one = {
          ...batch,
          batchSize: 1,
          tokens: batch.tokens.slice(6 * b, 6 * b + 6),
          targets: Int32Array.of(c),
        };
        const { gradient } = model.lossAndGradient(one);
        const along = (probabilities[b * base.dVocab + c] * dot(gradient, v)) / 3;
        for (let i = 0; i < expected.length; i++) expected[i] += along * gradient[i];
      }
    }
    const bound = tolerance(reference, batch, parameters, (at) =>
      reference.ggnVectorProduct(at, batch, Float64Array.from(v)),
    );
    expect(maxRelativeError(model.ggnVectorProduct(batch, v), expected)).toBeLessThan(2 * bound);
  });

  it("logits are linear in an untied unembedding: there H = G, and J v = features v^T", async () => {
    const { reference, parameters, random, batch, model } = await setUp(base, 6, 6, [1, 3, 5], 2, math);
    const head = model.parameters[model.parameters.length - 1];
    expect(head.name).toBe("lm_head.weight");
    const v = new Float32Array(model.parameterCount);
    v.set(random.direction(head.length), head.offset);
    const bound = tolerance(reference, batch, parameters, (at) =>
      reference.ggnVectorProduct(at, batch, Float64Array.from(v)),
    );
    const block = (x: Float32Array) => x.subarray(head.offset, head.offset + head.length);
    const hv = block(model.hessianVectorProduct(batch, v));
    const gv = block(model.ggnVectorProduct(batch, v));
    expect(maxRelativeError(hv, Float64Array.from(gv))).toBeLessThan(bound);

    const features = model.features(batch);
    const rows = features.length / base.dModel;
    expect(rows).toBe(18);
    const expected = range(rows * base.dVocab).map((i) => {
      const row = Math.floor(i / base.dVocab) * base.dModel;
      const column = (i % base.dVocab) * base.dModel;
      return dot(features.subarray(row, row + base.dModel), block(v).subarray(column, column + base.dModel));
    });
    expect(maxRelativeError(model.jacobianVectorProduct(batch, v), Float64Array.from(expected))).toBeLessThan(
      bound,
    );
  });

  it("a call that overflowed leaves nothing behind", async () => {
    const { parameters, batch, model, direction } = await setUp(base, 5, 6, [1, 3, 5], 3, math);
    const v = direction();
    const small = {
      ...batch,
      batchSize: 1,
      tokens: batch.tokens.slice(0, 5),
      length: 5,
      positions: Int32Array.of(0),
    };
    const one = { ...small, targets: batch.targets.slice(0, 1) };
    const all = () => [
      model.jacobianVectorProduct(one, v),
      model.hessianVectorProduct(one, v),
      model.ggnVectorProduct(one, v),
    ];
    const before = all();
    model.setParameters(Float32Array.from(parameters, (x) => x * 1e30));
    expect(model.hessianVectorProduct(batch, v).every(Number.isFinite)).toBe(false);
    model.ggnVectorProduct(batch, v);
    model.setParameters(Float32Array.from(parameters));
    expect(all()).toEqual(before);
  });

  it("plain gradients are the same bytes with and without room for curvature", async () => {
    const { parameters, batch, model, direction } = await setUp(base, 5, 6, [1, 3, 5], 3, math);
    const plain = await createTransformer(base, { math });
    plain.setParameters(Float32Array.from(parameters));
    model.hessianVectorProduct(batch, direction());
    expect(model.lossAndGradient(batch)).toEqual(plain.lossAndGradient(batch));
    expect(plain.memoryBytes).toBeLessThan(model.memoryBytes);
  });
});

describe("what is refused", () => {
  it("vectors of another length, and products that no memory was reserved for", async () => {
    const { batch, model, direction } = await setUp(base, 2, 6, [1, 3, 5], 1, "strict");
    const short = new Float32Array(3);
    for (const product of ["jacobianVectorProduct", "hessianVectorProduct", "ggnVectorProduct"] as const) {
      expect(() => model[product](batch, short)).toThrow(
        new RangeError(`length of v: got 3, must be ${model.parameterCount}, the parameters of this model`),
      );
      const training = await createTransformer(base, { math: "strict" });
      // @ts-expect-error: no memory was reserved for it.
      expect(training[product]).toBeUndefined();
    }
    expect(() => model.jacobianTransposeProduct(batch, short)).toThrow(
      /length of cotangent: got 3, must be 42, batchSize x positions x dVocab/,
    );
    expect(() => model.hessianVectorProduct({ ...batch, targets: new Int32Array(2) }, direction())).toThrow(
      /length of targets: got 2, must be 6/,
    );
    const inference = await createTransformer(base, { math: "strict", optimizer: "none" });
    // @ts-expect-error: no memory was reserved for it.
    expect(inference.jacobianTransposeProduct).toBeUndefined();
    // @ts-expect-error: no memory was reserved for it.
    expect(inference.lossAndGradient).toBeUndefined();
  });

  it("training without memory for the optimiser's state", async () => {
    const { batch, model } = await setUp(base, 2, 6, [1, 3, 5], 1, "strict");
    // @ts-expect-error: no memory was reserved for it.
    expect(model.trainStep).toBeUndefined();
    // @ts-expect-error: no memory was reserved for it.
    expect(model.getMoments).toBeUndefined();
    // @ts-expect-error: no memory was reserved for it.
    expect(model.setMoments).toBeUndefined();
    expect(model.lossAndGradient(batch).gradient.length).toBe(model.parameterCount);
  });
});
