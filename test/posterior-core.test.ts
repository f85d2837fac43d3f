/** Operators and posteriors on the float32 core, against the same code on the float64 reference model. */
import { describe, expect, it } from "vitest";
import { createTransformer, type MathMode } from "../src/core/index.ts";
import { learningCoefficient } from "../src/curvature/llc.ts";
import type { CurvatureModel } from "../src/curvature/model.ts";
import { meanLoss, meanLossAndGradient, softmaxRows } from "../src/curvature/model.ts";
import {
  checkDeterminism,
  denseMatrix,
  fisherOperator,
  ggnOperator,
  hessianOperator,
  type LinearOperator,
} from "../src/curvature/operators.ts";
import { dot, norm, symmetricEigen } from "../src/curvature/vector.ts";
import { fitLaplace } from "../src/posterior/laplace/fit.ts";
import { lastLayerData, lastLayerGradients, lastLayerOperator } from "../src/posterior/laplace/last-layer.ts";
import type { LaplaceOptions } from "../src/posterior/laplace/options.ts";
import { DropoutPosterior } from "../src/posterior/methods/dropout.ts";
import { TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import { testStream } from "./fixtures/rng.ts";
import { float32Tolerance } from "./reference/compare.ts";

const rng = () => testStream(13);

/** Chained float32 reductions: a forward and a tangent pass, and a backward one of each; nine a block, two at its ends. */
const TOLERANCE = float32Tolerance(20, 4 * 9 + 4 * 2);

async function pair(math: MathMode, tiedEmbeddings = false) {
  const twin = tinyTwin(71, { ...TINY, tiedEmbeddings });
  const core = await createTransformer(twin.model.shape, { math, curvature: true, kronecker: true });
  core.setParameters(twin.parameters);
  return { ...twin, core: core as CurvatureModel };
}

function maxError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let error = 0;
  for (let i = 0; i < b.length; i++) error = Math.max(error, Math.abs(a[i] - b[i]));
  return error;
}

function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return maxError(a, b) / Math.max(...Array.from(b, Math.abs));
}

/** Largest sum_j |A_ij| |v_j|: what rounding errors of A v are relative to; A v itself may cancel. */
function roundingScale(a: Float64Array, v: Float64Array): number {
  const n = v.length;
  let largest = 0;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += Math.abs(a[i * n + j] * v[j]);
    largest = Math.max(largest, sum);
  }
  return largest;
}

for (const math of ["strict", "fast"] as const) {
  for (const tied of [false, true]) {
    describe(`${math}, ${tied ? "tied" : "untied"} embeddings`, () => {
      const operators: [
        string,
        (m: CurvatureModel, b: Parameters<typeof ggnOperator>[1]) => LinearOperator,
      ][] = [
        ["Hessian", hessianOperator],
        ["GGN", ggnOperator],
        ["exact Fisher", (m, b) => fisherOperator(m, b, { fisherType: "exact" })],
        ["empirical Fisher", (m, b) => fisherOperator(m, b, { fisherType: "empirical" })],
      ];
      for (const [name, make] of operators) {
        it(`${name}: the reference's product, symmetric, linear and the same bits each time`, async () => {
          const { model, core, batches, random } = await pair(math, tied);
          const [a, exact] = [make(core, batches), make(model, batches)];
          const dense = denseMatrix(exact);
          checkDeterminism(a, rng());
          for (let i = 0; i < 3; i++) {
            // In float32 from the start: both models get the same direction.
            const u = Float64Array.from(Float32Array.from(random.normals(a.size)));
            const v = Float64Array.from(Float32Array.from(random.normals(a.size)));
            const [au, av] = [a.matvec(u), a.matvec(v)];
            expect(maxError(au, exact.matvec(u)) / roundingScale(dense, u)).toBeLessThan(TOLERANCE);
            expect(Math.abs(dot(u, av) - dot(v, au))).toBeLessThan(TOLERANCE * norm(au) * norm(v));
            const mixed = a.matvec(u.map((x, j) => 2 * x + 4 * v[j]));
            expect(
              relativeError(
                mixed,
                au.map((x, j) => 2 * x + 4 * av[j]),
              ),
            ).toBeLessThan(TOLERANCE);
          }
        });
      }

      it("features, loss and the closed-form last-layer GGN are the reference's", async () => {
        const { model, core, batches, random } = await pair(math, tied);
        expect(meanLoss(core, batches)).toBeCloseTo(meanLoss(model, batches), 5);
        const [{ loss, gradient }, exact] = [core, model].map((m) => meanLossAndGradient(m, batches));
        expect(loss).toBeCloseTo(exact.loss, 5);
        expect(relativeError(gradient, exact.gradient)).toBeLessThan(TOLERANCE);
        if (tied) return;
        expect(relativeError(core.features(batches[0]), model.features(batches[0]))).toBeLessThan(TOLERANCE);
        const head = model.parameters.find(({ name }) => name === "lm_head.weight")!;
        const v = random.normals(head.length);
        const whole = new Float64Array(model.parameterCount);
        whole.set(v, head.offset);
        const product = ggnOperator(model, batches)
          .matvec(whole)
          .slice(head.offset, head.offset + head.length);
        expect(
          relativeError(lastLayerOperator(lastLayerData(core, batches)).matvec(v), product),
        ).toBeLessThan(TOLERANCE);
      });
    });
  }
}

describe("Laplace on the core", () => {
  const cases: LaplaceOptions[] = [
    { hessianStructure: "kron" },
    { hessianStructure: "full" },
    { hessianStructure: "diag" },
    { subsetOfWeights: "all", hessianStructure: "full" },
    { subsetOfWeights: "all", hessianStructure: "lowRank", rank: 6 },
    { subsetOfWeights: "all", hessianStructure: "diag" },
    { subsetOfWeights: "all", hessianStructure: "kron" },
    { subsetOfWeights: "all", hessianStructure: "matrixFree" },
  ];
  for (const options of cases) {
    it(`${JSON.stringify(options)}: evidence and predictions of the float64 twin`, async () => {
      const { model, core, parameters, batches } = await pair("strict");
      const posterior = fitLaplace(core, parameters, batches, { priorPrecision: 2, ...options });
      const exact = fitLaplace(model, parameters, batches, { priorPrecision: 2, ...options });
      expect(posterior.logMarginalLikelihood()).toBeCloseTo(exact.logMarginalLikelihood(), 2);
      // Eigenvectors may differ in sign or turn within a cluster: functions of the matrix may not.
      expect(relativeError(posterior.gaussian.sample(rng()), exact.gaussian.sample(rng()))).toBeLessThan(
        1e-2,
      );
      const predict = (m: CurvatureModel, p: typeof posterior) =>
        p.predict(m, batches[1], { nSamples: 3, rng: rng() });
      predict(core, posterior).forEach((p, s) => {
        expect(relativeError(p, predict(model, exact)[s])).toBeLessThan(1e-2);
      });
    });
  }

  it("last layer with tied embeddings predicts as the untied model with the same weights", async () => {
    const { core, parameters, batches } = await pair("strict", true);
    const untied = await createTransformer(TINY, { math: "strict", curvature: true });
    const head = untied.parameters.find(({ name }) => name === "lm_head.weight")!;
    const flat = new Float32Array(untied.parameterCount);
    flat.set(parameters);
    flat.set(parameters.subarray(0, head.length), head.offset);
    const options = { priorPrecision: 1, hessianStructure: "full" } as const;
    const draw = { nSamples: 2, rng: rng() };
    const tied = fitLaplace(core, parameters, batches, options).predict(core, batches[0], draw);
    const split = fitLaplace(untied, flat, batches, options).predict(untied, batches[0], {
      ...draw,
      rng: rng(),
    });
    expect(tied).toEqual(split);
  });
});

it("last-layer gradients are those of each prediction by itself", async () => {
  const { core, batches } = await pair("strict");
  const [batch] = batches;
  const head = core.parameters.find(({ name }) => name === "lm_head.weight")!;
  const gradients = lastLayerGradients(core, batch);
  expect(gradients).toHaveLength(9 * head.length);
  for (let n = 0; n < 9; n++) {
    const [b, p] = [Math.floor(n / 3), n % 3];
    const one = {
      ...{ tokens: batch.tokens.slice(5 * b, 5 * b + 5), batchSize: 1, length: 5 },
      ...{ positions: batch.positions.slice(p, p + 1), targets: batch.targets.slice(n, n + 1) },
    };
    const { gradient } = core.lossAndGradient(one);
    const exact = gradient.slice(head.offset, head.offset + head.length);
    expect(relativeError(gradients.subarray(n * head.length, (n + 1) * head.length), exact)).toBeLessThan(
      TOLERANCE,
    );
  }
  expect(() => lastLayerGradients(core, { ...batch, targets: batch.targets.slice(1) })).toThrow(
    /length of targets: got 8, must be 9/,
  );
});

it("Monte-Carlo dropout: one set of masks a draw, equal in all batches, none of training's; another shape is refused", async () => {
  const shape = { ...TINY, dropout: 0.4 };
  const { parameters, batches } = tinyTwin(72);
  const model = await createTransformer(shape, { math: "strict", curvature: true });
  const posterior = new DropoutPosterior(parameters);
  const draws = posterior.predict(model, batches[0], { nSamples: 3, rng: rng() });
  const seed = rng().next() >>> 0;
  draws.forEach((p, step) => {
    const logits = model.logits(batches[0], { seed, stream: 0xffffffff, step });
    expect(p).toEqual(Float32Array.from(softmaxRows(logits, shape.dVocab)));
  });
  expect(posterior.predict(model, batches[0], { nSamples: 2, rng: rng() })).toEqual(draws.slice(0, 2));
  expect(draws[1]).not.toEqual(draws[0]);
  // The second batch alone stands at the places of the first.
  const [tokens, targets] = [batches[0].tokens.slice(0, 10), batches[0].targets.slice(0, 6)];
  const start = { ...batches[0], tokens, targets, batchSize: 2 };
  const alone = posterior.predict(model, start, { nSamples: 1, rng: rng() });
  expect(alone[0]).toEqual(draws[0].slice(0, alone[0].length));
  const other = await createTransformer({ ...shape, dMlp: 6 }, { math: "strict", curvature: true });
  const predict = (m: CurvatureModel, nSamples: number) => () =>
    posterior.predict(m, batches[0], { nSamples, rng: rng() });
  expect(predict(other, 1)).toThrow(/model: got .* parameters/);
  expect(predict(model, 0)).toThrow(/nSamples: got 0/);
  const plain = await createTransformer(TINY, { math: "strict", curvature: true });
  expect(predict(plain, 1)).toThrow(/dropout: got 0, must be above 0/);
});

describe("learning coefficient of a checkpoint", () => {
  const options = {
    trainingTerms: 200,
    localisation: 50,
    stepSize: 1e-3,
    chains: 2,
    burnIn: 50,
    draws: 400,
    seed: 4,
  };

  it("is that of the local quadratic where the localisation is strong", async () => {
    const { core, parameters, batches } = await pair("strict");
    const strong = { ...options, localisation: 2e4, stepSize: 2e-5, chains: 8 };
    const { llc, standardError, nBeta, baseLoss } = learningCoefficient(core, parameters, batches, strong);
    core.setParameters(parameters);
    expect(baseLoss).toBeCloseTo(meanLoss(core, batches), 6);
    const hessian = denseMatrix(hessianOperator(core, batches));
    const { eigenvalues } = symmetricEigen(hessian, core.parameterCount);
    const { gradient } = meanLossAndGradient(core, batches);
    // The chain is the Gaussian of precision k around theta* - nBeta g / k, with k = nBeta mu + gamma.
    const quadratic = eigenvalues.reduce((sum, mu) => {
      const k = nBeta * mu + 2e4;
      return sum + (nBeta * mu) / (2 * k * (1 - (2e-5 * k) / 4));
    }, 0);
    const downhill = (nBeta ** 2 * dot(gradient, gradient)) / 2e4;
    expect(standardError).toBeLessThan(0.05);
    expect(Math.abs(llc - (quadratic - downhill))).toBeLessThan(4 * standardError);
  });

  it("gives the same bytes again, and refuses another shape", async () => {
    const { core, parameters, batches } = await pair("strict");
    const run = () => learningCoefficient(core, parameters, batches, options);
    expect(run()).toEqual(run());
    expect(() => learningCoefficient(core, parameters.slice(1), batches, options)).toThrow(
      /length of parameters/,
    );
    expect(() => learningCoefficient(core, parameters, [], options)).toThrow(/batches: got no prediction/);
  });
});
