/** Curvature operators on a tiny model in float64: dense matrices, enumerated classes, finite differences. */
import { describe, expect, it } from "vitest";
import { type Batch, softmaxRows } from "../src/curvature/model.ts";
import {
  checkDeterminism,
  denseMatrix,
  fisherOperator,
  ggnOperator,
  hessianOperator,
  type LinearOperator,
  matrixOperator,
  scaledOperator,
} from "../src/curvature/operators.ts";
import { dot } from "../src/curvature/vector.ts";
import { type CurvatureTwin, TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import { cholesky, plusIdentity } from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

const rng = () => testStream(3);

/** Largest |a - b| relative to the largest |b|. */
function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let error = 0;
  let magnitude = 0;
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(a[i] - b[i]));
    magnitude = Math.max(magnitude, Math.abs(b[i]));
  }
  return error / magnitude;
}

/** The batch cut into batches of at most `sequences` sequences (views, not copies). */
function* splitBatch(batch: Batch, sequences: number): Generator<Batch> {
  const { tokens, targets, batchSize, length, positions } = batch;
  for (let first = 0; first < batchSize; first += sequences) {
    const end = Math.min(batchSize, first + sequences);
    yield {
      tokens: tokens.subarray(first * length, end * length),
      targets: targets.subarray(first * positions.length, end * positions.length),
      batchSize: end - first,
      length,
      positions,
    };
  }
}

/** sum over predictions of weight(p, row, class) g_c g_c' / terms, with g_c the gradient of -log p_c. */
function enumerated(
  model: CurvatureTwin,
  batches: readonly Batch[],
  weight: (p: number, batch: Batch, row: number, label: number) => number,
): Float64Array {
  const n = model.parameterCount;
  const { dVocab } = model.shape;
  const terms = batches.reduce((sum, batch) => sum + batch.targets.length, 0);
  const sum = new Float64Array(n * n);
  for (const batch of batches) {
    const p = softmaxRows(model.logits(batch), dVocab);
    const jacobian = model.jacobian(batch);
    for (let row = 0; row < batch.targets.length; row++) {
      for (let label = 0; label < dVocab; label++) {
        const w = weight(p[row * dVocab + label], batch, row, label) / terms;
        const g = jacobian.map((column) => {
          let inner = -column[row * dVocab + label];
          for (let c = 0; c < dVocab; c++) inner += p[row * dVocab + c] * column[row * dVocab + c];
          return inner;
        });
        for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sum[i * n + j] += w * g[i] * g[j];
      }
    }
  }
  return sum;
}

for (const tied of [false, true]) {
  describe(`operators, ${tied ? "tied" : "untied"} embeddings`, () => {
    const { model, parameters, batches, random } = tinyTwin(5, { ...TINY, tiedEmbeddings: tied });
    const n = model.parameterCount;
    const hessian = denseMatrix(hessianOperator(model, batches));
    const ggn = denseMatrix(ggnOperator(model, batches));

    it("the dense Hessian is the derivative of the gradient", () => {
      const step = 1e-5;
      const gradientAt = (i: number, sign: number) => {
        const flat = Float64Array.from(parameters);
        flat[i] += sign * step;
        const total = new Float64Array(n);
        for (const batch of batches) {
          const { gradient } = model.reference.lossAndGradient(flat, batch);
          for (let j = 0; j < n; j++) total[j] += (gradient[j] * batch.targets.length) / 15;
        }
        return total;
      };
      const numeric = new Float64Array(n * n);
      for (let i = 0; i < n; i++) {
        const [up, down] = [gradientAt(i, 1), gradientAt(i, -1)];
        for (let j = 0; j < n; j++) numeric[i * n + j] = (up[j] - down[j]) / (2 * step);
      }
      expect(relativeError(hessian, numeric)).toBeLessThan(1e-7);
    });

    it("the GGN is the sum over classes of p_c g_c g_c'", () => {
      expect(
        relativeError(
          ggn,
          enumerated(model, batches, (p) => p),
        ),
      ).toBeLessThan(1e-12);
      expect(
        relativeError(denseMatrix(fisherOperator(model, batches, { fisherType: "exact" })), ggn),
      ).toBeLessThan(1e-12);
    });

    it("the GGN is positive semi-definite, the Hessian is not", () => {
      expect(() => cholesky(plusIdentity(ggn, n, 1e-10), n)).not.toThrow();
      expect(() => cholesky(plusIdentity(hessian, n, 1e-10), n)).toThrow();
    });

    it("the empirical Fisher is the second moment of the per-prediction gradients", () => {
      const empirical = denseMatrix(fisherOperator(model, batches, { fisherType: "empirical" }));
      const expected = enumerated(model, batches, (_, batch, row, label) =>
        batch.targets[row] === label ? 1 : 0,
      );
      expect(relativeError(empirical, expected)).toBeLessThan(1e-12);
    });

    it("Fisher matrices are those at the parameters held when the product is taken", () => {
      const v = random.normals(n);
      for (const fisherType of ["exact", "empirical"] as const) {
        const before = fisherOperator(model, batches, { fisherType });
        const first = before.matvec(v);
        model.setParameters(parameters.map((x) => 1.1 * x));
        const moved = before.matvec(v);
        expect(moved).toEqual(fisherOperator(model, batches, { fisherType }).matvec(v));
        expect(relativeError(moved, first)).toBeGreaterThan(1e-3);
        if (fisherType === "exact")
          expect(relativeError(moved, ggnOperator(model, batches).matvec(v))).toBeLessThan(1e-12);
        model.setParameters(parameters);
        expect(before.matvec(v)).toEqual(first);
      }
    });

    it("the sampled Fisher converges to the GGN at the rate of its sample", () => {
      const v = random.direction(n);
      const exact = dot(v, ggnOperator(model, batches).matvec(v));
      const shared = rng();
      const draws = Array.from({ length: 200 }, () => {
        const operator = fisherOperator(model, batches, { fisherType: "mc", mcSamples: 2, rng: shared });
        return dot(v, operator.matvec(v));
      });
      const mean = draws.reduce((a, b) => a + b, 0) / 200;
      const error = Math.sqrt(draws.reduce((s, x) => s + (x - mean) ** 2, 0) / 199 / 200);
      expect(Math.abs(mean - exact)).toBeLessThan(4 * error);
      expect(error).toBeLessThan(exact / 4);
    });

    it("is symmetric, linear, and the same bits each time", () => {
      const operators: LinearOperator[] = [
        hessianOperator(model, batches),
        ggnOperator(model, batches),
        fisherOperator(model, batches, { fisherType: "mc", rng: rng() }),
      ];
      for (const operator of operators) {
        const [u, v] = [random.normals(n), random.normals(n)];
        const [au, av] = [operator.matvec(u), operator.matvec(v)];
        expect(Math.abs(dot(u, av) - dot(v, au))).toBeLessThan(1e-11 * Math.hypot(...au) * Math.hypot(...v));
        const mixed = operator.matvec(u.map((x, i) => 2 * x - 3 * v[i]));
        expect(
          relativeError(
            mixed,
            au.map((x, i) => 2 * x - 3 * av[i]),
          ),
        ).toBeLessThan(1e-11);
        expect(() => checkDeterminism(operator, rng())).not.toThrow();
      }
    });

    it("does not depend on how the predictions are batched", () => {
      const v = random.normals(n);
      const pieces = batches.flatMap((batch) => [...splitBatch(batch, 1)]);
      expect(pieces).toHaveLength(5);
      expect(
        relativeError(ggnOperator(model, pieces).matvec(v), ggnOperator(model, batches).matvec(v)),
      ).toBeLessThan(1e-12);
    });
  });
}

it("Hessian and GGN agree where the logits are linear in the parameters: the unembedding", () => {
  const { model, batches, random } = tinyTwin(6);
  const head = model.parameters.find(({ name }) => name === "lm_head.weight")!;
  const v = new Float64Array(model.parameterCount);
  v.set(random.normals(head.length), head.offset);
  const restrict = (x: Float64Array) => x.subarray(head.offset, head.offset + head.length);
  const [h, g] = [hessianOperator(model, batches).matvec(v), ggnOperator(model, batches).matvec(v)];
  expect(relativeError(restrict(h), restrict(g))).toBeLessThan(1e-12);
  expect(relativeError(h, g)).toBeGreaterThan(1e-3);
});

it("finds an operator that changes from product to product", () => {
  const random = new Random(1);
  const noisy: LinearOperator = { size: 4, matvec: (v) => v.map((x) => x + 1e-9 * random.normals(1)[0]) };
  expect(() => checkDeterminism(noisy, rng())).toThrow(/not deterministic: element 0/);
  // One bit, in the last element of the second product.
  let taken = 0;
  const once: LinearOperator = {
    size: 4,
    matvec: (v) => v.map((x, i) => (i === 3 && ++taken === 2 ? x * (1 + 2 ** -52) : x)),
  };
  expect(() => checkDeterminism(once, rng())).toThrow(/not deterministic: element 3/);
});

it("names what is wrong", () => {
  const { model, batches } = tinyTwin(7);
  expect(() => hessianOperator(model, [])).toThrow(/batches: got no prediction/);
  expect(() => ggnOperator(model, batches).matvec(new Float64Array(3))).toThrow(/length of v: got 3/);
  expect(() => fisherOperator(model, batches, { fisherType: "mc" })).toThrow(/rng: got none/);
  expect(() => fisherOperator(model, batches, { fisherType: "mc", mcSamples: 0, rng: rng() })).toThrow(
    /mcSamples: got 0/,
  );
  for (const make of [ggnOperator, (...args: Parameters<typeof ggnOperator>) => hessianOperator(...args)])
    expect(() => make(model, [{ ...batches[0], batchSize: 0 }])).toThrow(/batches: got no prediction/);
  expect(() => fisherOperator(model, batches, { fisherType: "type1" as "mc" })).toThrow(
    /fisherType: got type1/,
  );
  expect(() => denseMatrix(scaledOperator({ size: 5000, matvec: (v) => v }, 2))).toThrow(
    /got 5000.* 1 to 4096/,
  );
  expect(matrixOperator(Float64Array.of(1, 2, 2, 1), 2).matvec(Float64Array.of(1, 0))).toEqual(
    Float64Array.of(1, 2),
  );
});
