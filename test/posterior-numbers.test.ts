/** Numbers where arithmetic is short of digits: nearly certain predictions, many terms, multiple eigenvalues. */
import { describe, expect, it } from "vitest";
import { createTransformer } from "../src/core/index.ts";
import { extremeEigenpairs } from "../src/curvature/lanczos.ts";
import { type CurvatureModel, complements, LogitRoot, logitHessianProduct } from "../src/curvature/model.ts";
import {
  denseGgn,
  denseMatrix,
  fisherOperator,
  ggnOperator,
  matrixOperator,
  rootedGgnOperator,
} from "../src/curvature/operators.ts";
import { dot, symmetricEigen } from "../src/curvature/vector.ts";
import { KroneckerCurvature } from "../src/posterior/gaussian/kronecker.ts";
import { MatrixFreeCurvature } from "../src/posterior/gaussian/matrix-free.ts";
import { SpectralCurvature } from "../src/posterior/gaussian/spectral.ts";
import { maximiseEvidence } from "../src/posterior/laplace/evidence.ts";
import { fitLaplace } from "../src/posterior/laplace/fit.ts";
import { lastLayerGradients } from "../src/posterior/laplace/last-layer.ts";
import type { LaplaceOptions } from "../src/posterior/laplace/options.ts";
import { TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import { withSpectrum } from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

const rng = () => testStream(17);

function maxError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [error, magnitude] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(a[i] - b[i]));
    magnitude = Math.max(magnitude, Math.abs(b[i]));
  }
  return error / magnitude;
}

/** A diagonal operator with these values. */
const diagonal = (values: ArrayLike<number>) => ({
  size: values.length,
  matvec: (v: Float64Array) => v.map((x, i) => values[i] * x),
});

describe("multiple and nearly multiple eigenvalues", () => {
  const tail = Array.from({ length: 300 }, (_, i) => 5 * Math.exp((-8 * i) / 300));
  const sorted = (values: readonly number[], sign = -1) => [...values].sort((a, b) => sign * (a - b));

  it.each<[string, number[], number]>([
    ["three copies above a long tail", [10, 10, 10, ...tail], 3],
    ["as many copies as are asked for, and one more", [10, 10, 10, 10, 10, 10, ...tail], 5],
    ["copies inside the wanted part", [20, 10, 10, 7, 7, 7, ...tail], 8],
    ["near copies", [10, 10 - 1e-9, 10 - 2e-9, ...tail], 4],
    ["copies of zero", [3, ...new Array<number>(200).fill(0)], 4],
    ["a cluster of forty", [...Array.from({ length: 40 }, (_, i) => 9 + i / 1e7), ...tail], 12],
  ])("%s", (_, values, k) => {
    for (const which of ["largest", "smallest"] as const) {
      const sign = which === "largest" ? 1 : -1;
      const operator = diagonal(values.map((x) => sign * x));
      const pairs = extremeEigenpairs(operator, { k, which, rng: rng() });
      expect(pairs.converged).toBe(true);
      const expected = sorted(values).slice(0, k);
      pairs.eigenvalues.forEach((x, i) => {
        expect(Math.abs(sign * x - expected[i])).toBeLessThan(2e-6 * expected[0]);
      });
      pairs.eigenvectors.forEach((u, i) => {
        const residual = operator.matvec(u).map((x, j) => x - pairs.eigenvalues[i] * u[j]);
        expect(Math.hypot(...residual)).toBeLessThan(2e-6 * expected[0]);
        for (const [j, w] of pairs.eigenvectors.entries()) expect(dot(u, w)).toBeCloseTo(i === j ? 1 : 0, 9);
      });
    }
  });

  it("does not claim what it had no products left to look for", () => {
    const operator = diagonal([10, 10, 10, ...tail]);
    for (let maxIterations = 3; maxIterations <= 60; maxIterations += 3) {
      const { converged, eigenvalues, iterations } = extremeEigenpairs(operator, {
        ...{ k: 3, rng: rng(), maxIterations },
      });
      expect(iterations).toBeLessThanOrEqual(maxIterations);
      if (converged) for (const x of eigenvalues) expect(x).toBeCloseTo(10, 5);
    }
    expect(() => extremeEigenpairs(operator, { k: 3, rng: rng(), maxIterations: 2 })).toThrow(
      /maxIterations: got 2, must be an integer of at least 3/,
    );
  });

  it("the low-rank posterior has all copies, or says that it may not", () => {
    const { model, parameters, batches } = tinyTwin(18);
    const flat = parameters.slice();
    const head = model.parameters.find(({ name }) => name === "lm_head.weight")!;
    flat.fill(0, head.offset, head.offset + head.length);
    const exact = fitLaplace(model, flat, batches, { hessianStructure: "full", priorPrecision: 1 });
    const values = (exact.fields.curvature as SpectralCurvature).eigenvalues.slice().reverse();
    // p is uniform, so that diag p - p p' has V - 1 equal eigenvalues.
    expect(values[0] / values[2]).toBeCloseTo(1, 9);
    const low = fitLaplace(model, flat, batches, {
      ...{ hessianStructure: "lowRank", rank: 5, priorPrecision: 1 },
    });
    const kept = (low.fields.curvature as SpectralCurvature).eigenvalues;
    expect(maxError(kept, values.slice(0, 5))).toBeLessThan(1e-4);
    expect(low.warnings).toEqual([]);
  });
});

describe("nearly certain predictions", () => {
  const V = 5;
  /** Rows whose likeliest class leaves the others 1e-3 to 1e-30 of the probability. */
  const gaps = [1e-3, 1e-9, 1e-15, 1e-18, 1e-30];
  const p = Float64Array.from(gaps.flatMap((gap) => [gap, 1 - 1.6 * gap, gap / 2, gap / 10, 0]));
  const random = new Random(19);

  it("1 - p, diag p - p p' and its root keep their digits", () => {
    const others = complements(p, V);
    const u = random.normals(p.length);
    const [hessian, root] = [logitHessianProduct(p, u, V), new LogitRoot(p, V)];
    const squared = root.product(root.transposed(u));
    gaps.forEach((gap, row) => {
      const [start, top] = [row * V, row * V + 1];
      expect(others[top] / (1.6 * gap)).toBeCloseTo(1, 12);
      // Of the likeliest class: sum over the others of p_c (u_top - u_c), less what it makes of second order.
      const shift = [0, 2, 3].reduce((sum, c) => sum + p[start + c] * (u[top] - u[start + c]), 0);
      const expected = [0, 1, 2, 3, 4].map((c) => p[start + c] * (u[start + c] - u[top] + shift));
      expect(maxError(hessian.subarray(start, start + V), expected)).toBeLessThan(1e-12);
      expect(maxError(squared.subarray(start, start + V), expected)).toBeLessThan(1e-12);
    });
  });

  /** A model whose unembedding is scaled up, its logits so far apart that softmax is 1 to the last bit. */
  async function saturated(factor: number) {
    const twin = tinyTwin(20);
    const parameters = twin.parameters.slice();
    const head = twin.model.parameters.find(({ name }) => name === "lm_head.weight")!;
    for (let i = 0; i < head.length; i++) parameters[head.offset + i] *= factor;
    twin.model.setParameters(parameters);
    const options = { math: "strict", curvature: true, kronecker: true } as const;
    const core = await createTransformer(TINY, options);
    core.setParameters(parameters);
    return { ...twin, parameters, core, head };
  }

  it.each([10, 40, 200, 5000])(
    "logits times %d: the last layer is fitted, in every structure",
    async (factor) => {
      const { core, model, parameters, batches } = await saturated(factor);
      for (const hessianStructure of ["kron", "full", "diag", "lowRank", "matrixFree"] as const) {
        const laplace = (m: CurvatureModel) =>
          fitLaplace(m, parameters, batches, { hessianStructure, priorPrecision: 1 }).logMarginalLikelihood();
        expect(Math.abs(laplace(core) - laplace(model))).toBeLessThan(1e-3 * Math.abs(laplace(model)) + 1e-3);
      }
    },
  );

  it("gradients and Fisher matrices of nearly certain predictions are those of float64 with more digits", async () => {
    const { core, model, parameters, batches, head } = await saturated(12);
    const [batch] = batches;
    // Targets as predicted: the gradient is 1 - p of nearly nothing.
    const logits = model.logits(batch);
    const targets = batch.targets.map((_, n) => {
      const row = Array.from(logits.subarray(n * 4, n * 4 + 4));
      return row.indexOf(Math.max(...row));
    });
    const asked = { ...batch, targets };
    const gradients = lastLayerGradients(core, asked);
    for (let n = 0; n < targets.length; n++) {
      const part = gradients.subarray(n * head.length, (n + 1) * head.length);
      // The rows of (p - e_y) f' sum to 0.
      for (let i = 0; i < 4; i++) {
        const column = [0, 1, 2, 3].map((c) => part[c * 4 + i]);
        const sum = column.reduce((a, b) => a + b);
        expect(Math.abs(sum)).toBeLessThan(1e-12 * Math.max(...column.map(Math.abs)));
      }
    }
    const v = random.normals(model.parameterCount);
    const product = (m: CurvatureModel) => fisherOperator(m, [asked], { fisherType: "empirical" }).matvec(v);
    core.setParameters(parameters);
    expect(maxError(product(core), product(model))).toBeLessThan(1e-4);
    const ggn = (m: CurvatureModel) => ggnOperator(m, batches).matvec(v);
    expect(maxError(ggn(core), ggn(model))).toBeLessThan(1e-4);
  });

  it("the core's products, diagonal and factors keep the curvature of a single nearly certain prediction", async () => {
    const { core, model, random: own } = await saturated(15);
    const one = own.batch(TINY, 1, 5, [4]);
    const v = own.normals(model.parameterCount);
    const exact = ggnOperator(model, [one]).matvec(v);
    expect(maxError(core.ggnVectorProduct(one, Float32Array.from(v)), exact)).toBeLessThan(1e-4);
    for (const vectors of ["exact", { probes: 4, seed: 1, stream: 0 }] as const) {
      expect(maxError(core.ggnDiagonal(one, vectors), model.ggnDiagonal(one, vectors))).toBeLessThan(1e-4);
      const [ours, theirs] = [core, model].map((m) => m.kroneckerFactors(one, vectors).at(-1)!);
      if (!("left" in ours && "left" in theirs)) throw new Error("not a matrix");
      expect(maxError(ours.left, Float64Array.from(theirs.left))).toBeLessThan(1e-4);
    }
  });
});

describe("noise of float32 times many terms", () => {
  const shape = { ...TINY, dVocab: 5 };
  const N = 9.2e6;

  async function pair() {
    const { model, parameters, random } = tinyTwin(5, shape);
    // Eight predictions of four degrees of freedom: rank 32.
    const batches = [random.batch(shape, 4, 5, [2, 4])];
    const core = await createTransformer(shape, { math: "strict", curvature: true, kronecker: true });
    return { model, parameters, batches, core };
  }

  it("full and matrix-free over all parameters have the rank, the determinant and the evidence of float64", async () => {
    const { model, core, parameters, batches } = await pair();
    const laplace = (m: CurvatureModel, options: LaplaceOptions) =>
      fitLaplace(m, parameters, batches, {
        ...{ subsetOfWeights: "all", trainingTerms: N, priorPrecision: 1 },
        ...options,
      });
    const exact = laplace(model, { hessianStructure: "full" });
    const full = laplace(core, { hessianStructure: "full" });
    expect(full.gaussian.effectiveParameters()).toBeLessThan(32);
    expect(full.gaussian.effectiveParameters()).toBeCloseTo(exact.gaussian.effectiveParameters(), 2);
    expect(full.gaussian.logDeterminant()).toBeCloseTo(exact.gaussian.logDeterminant(), 2);
    // A float64 eigen-decomposition of the same matrix leaves this.
    expect(full.fields.curvature.resolution).toBeLessThan(1e-13 * N * 1000);
    // Both on the same random vectors: what differs is arithmetic.
    const free = { hessianStructure: "matrixFree", lanczosSteps: 48, traceProbes: 4 } as const;
    const [ours, theirs] = [laplace(core, free), laplace(model, free)];
    expect(ours.gaussian.effectiveParameters()).toBeCloseTo(theirs.gaussian.effectiveParameters(), 1);
    expect(ours.gaussian.logDeterminant()).toBeCloseTo(theirs.gaussian.logDeterminant(), 1);
    expect(ours.fields.curvature.resolution).toBeGreaterThan(0);
    expect(ours.fields.curvature.resolution).toBeLessThan(0.1);
  });

  it("low rank beyond the rank leaves the other directions to the prior", async () => {
    const { model, core, parameters, batches } = await pair();
    const laplace = (m: CurvatureModel) =>
      fitLaplace(m, parameters, batches, {
        ...{ subsetOfWeights: "all", hessianStructure: "lowRank", rank: 40 },
        ...{ trainingTerms: N, priorPrecision: 100 },
      });
    const [ours, exact] = [laplace(core), laplace(model)];
    // Eigenvalues that products in float32 do not tell from 0 are those below the stated resolution.
    const kept = (exact.fields.curvature as SpectralCurvature).eigenvalues;
    const { resolution, eigenvalues, remainder } = ours.fields.curvature as SpectralCurvature;
    const seen = kept.filter((x) => x > resolution).length;
    expect(eigenvalues.filter((x) => x > 0).length).toBe(seen);
    expect(remainder).toBeLessThan(1e-3);
    expect(ours.gaussian.effectiveParameters()).toBeLessThan(32.5);
  });

  it("Kronecker factors do not take rounding for curvature", async () => {
    const { model, core, parameters, batches } = await pair();
    const laplace = (m: CurvatureModel) =>
      fitLaplace(m, parameters, batches, {
        ...{ subsetOfWeights: "all", hessianStructure: "kron", probes: "exact" },
        ...{ trainingTerms: N, priorPrecision: 1 },
      });
    const [ours, exact] = [laplace(core), laplace(model)];
    const gap = ours.gaussian.effectiveParameters() - exact.gaussian.effectiveParameters();
    expect(gap).toBeLessThan(0.5);
    expect(ours.gaussian.logDeterminant() - exact.gaussian.logDeterminant()).toBeLessThan(1);
    expect(ours.fields.curvature.resolution).toBeGreaterThan(0);
  });

  it("the root is that of the GGN, in parts as in whole, and at its own parameters", async () => {
    const { model, core, parameters, batches } = await pair();
    const exact = denseMatrix(ggnOperator(model, batches));
    expect(maxError(denseGgn(model, parameters, batches), exact)).toBeLessThan(1e-12);
    const more = [...batches, new Random(6).batch(shape, 3, 5, [0, 3])];
    model.setParameters(parameters);
    expect(maxError(denseGgn(model, parameters, more), denseMatrix(ggnOperator(model, more)))).toBeLessThan(
      1e-12,
    );
    const rooted = rootedGgnOperator(core, parameters, more);
    core.setParameters(parameters.map((x) => 2 * x));
    const v = new Random(7).normals(rooted.size);
    const y = rooted.root!.product(v);
    const product = rooted.matvec(v);
    expect(dot(v, product) / dot(y, y)).toBeCloseTo(1, 5);
    model.setParameters(parameters);
    expect(maxError(product, ggnOperator(model, more).matvec(v))).toBeLessThan(1e-5);
  });
});

describe("curvatures that are none", () => {
  const { matrix } = withSpectrum(new Random(21), [5, 3, 1, 0.5, 0, -2]);

  it("an indefinite operator is refused whatever the structure", () => {
    const free = () => new MatrixFreeCurvature(matrixOperator(matrix, 6), { steps: 6 });
    const message = /eigenvalue: got -[12]\.?\d* with largest .*, a curvature must be positive semi-definite/;
    expect(free).toThrow(message);
    expect(() => SpectralCurvature.fromMatrix(matrix, 6)).toThrow(message);
    const definite = Float64Array.of(1, 0, 0, 1);
    expect(() => KroneckerCurvature.fromFactors(matrix, 6, definite, 2)).toThrow(message);
    // One that the first random vector of a few steps does not show is refused where it shows.
    const hidden = diagonal([...new Array<number>(400).fill(1), -0.5]);
    const curvature = new MatrixFreeCurvature(
      { size: 401, matvec: (v) => (Math.abs(v[400]) > 0.5 ? hidden.matvec(v) : v.slice()) },
      { steps: 2 },
    );
    const v = new Float64Array(401);
    v[400] = 1;
    expect(() => curvature.apply((x) => x, v)).toThrow(/eigenvalue: got -0.5/);
  });

  it("what is not finite is refused by name", () => {
    expect(() => SpectralCurvature.fromMatrix(Float64Array.of(1, Number.NaN, 0, 1), 2)).toThrow(
      /element of a matrix: got NaN, must be finite/,
    );
    expect(() => symmetricEigen(Float64Array.of(Number.POSITIVE_INFINITY), 1)).toThrow(/got Infinity/);
  });
});

describe("a prior precision at the end of its range", () => {
  const { model, parameters, batches } = tinyTwin(22);

  it("says so, by evidence and by held-out likelihood", () => {
    // Without curvature the evidence falls with the prior precision for ever.
    const flat = new SpectralCurvature(Float64Array.of(0), [Float64Array.of(1, 0, 0)]);
    expect(maximiseEvidence({ curvature: flat, logLikelihood: 0, squaredNorm: 1 })).toBeCloseTo(1e-10, 15);
    const head = model.parameters.find(({ name }) => name === "lm_head.weight")!;
    const certain = parameters.slice();
    for (let i = 0; i < head.length; i++) certain[head.offset + i] *= 1e5;
    const low = fitLaplace(model, certain, batches);
    expect(low.fields.priorPrecision).toBeLessThan(1.001e-10);
    expect(low.warnings[0]).toMatch(/prior precision 1.00e-10 is the end of its range, 1e-10 to 10000000000/);
    const none = parameters.slice();
    none.fill(0, head.offset, head.offset + head.length);
    const high = fitLaplace(model, none, batches);
    expect(high.fields.priorPrecision).toBeGreaterThan(9.9e9);
    expect(high.warnings[0]).toMatch(/is the end of its range/);
    const grid = [1e-4, 1e-3];
    const held = fitLaplace(model, parameters, batches, { priorPrecision: { heldOut: batches, grid } });
    expect(held.warnings[0]).toMatch(/is the end of its range, 0.0001 to 0.001: the held-out NLL/);
    model.setParameters(parameters);
    expect(fitLaplace(model, parameters, batches).warnings).toEqual([]);
  });

  it("says so where it lies below what rounding leaves", async () => {
    const core = await createTransformer(TINY, { math: "strict", curvature: true, kronecker: true });
    const options = { subsetOfWeights: "all", trainingTerms: 9.2e6 } as const;
    const { warnings, fields } = fitLaplace(core, parameters, batches, { ...options, priorPrecision: 1e-6 });
    expect(fields.curvature.resolution).toBeGreaterThan(1e-6);
    expect(warnings).toEqual([
      expect.stringMatching(/prior precision 0.00000100 is below \S+, what rounding/),
    ]);
  });
});

describe("options of fitLaplace", () => {
  const { model, parameters, batches } = tinyTwin(23);
  const laplace = (options: object) => () => fitLaplace(model, parameters, batches, options);

  it("a number of terms beyond counting, and a prior beyond float32, are refused by name", () => {
    for (const bad of [1e300, 2 ** 60, 0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(laplace({ trainingTerms: bad })).toThrow(
        /trainingTerms: got .*, must be above 0 and at most 9007199254740991/,
      );
    for (const bad of [1e300, 1e-300, 0, Number.NaN])
      expect(laplace({ priorPrecision: bad })).toThrow(
        /priorPrecision: got .*, must be from 1e-30 to 1e\+30/,
      );
  });

  it("the default rank is at most that of the last layer", () => {
    const { curvature } = laplace({ hessianStructure: "lowRank" })().fields;
    expect((curvature as SpectralCurvature).eigenvalues).toHaveLength(16);
  });

  it("one that does not apply, or does not exist, is refused", () => {
    expect(laplace({ rank: 3 })).toThrow(
      /rank: got 3, must be left out with kron over lastLayer: it is for hessianStructure lowRank/,
    );
    expect(laplace({ hessianStructure: "full", lanczosSteps: 5 })).toThrow(
      /lanczosSteps: got 5, must be left out/,
    );
    expect(laplace({ hessianStructure: "diag", probes: 2 })).toThrow(
      /probes: got 2, must be left out with diag over lastLayer: .* kron or diag and subsetOfWeights all/,
    );
    expect(laplace({ priorPrecison: 3 })).toThrow(/option of fitLaplace: got priorPrecison, must be one of/);
  });
});
