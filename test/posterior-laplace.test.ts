/** Laplace approximations: exact in the linear-Gaussian case, and against dense matrices of a tiny model. */
import { describe, expect, it } from "vitest";
import { parameterGroups } from "../src/curvature/groups.ts";
import { type Batch, meanLoss, softmaxRows } from "../src/curvature/model.ts";
import { denseMatrix, ggnOperator } from "../src/curvature/operators.ts";
import { Gaussian } from "../src/posterior/gaussian/gaussian.ts";
import { SpectralCurvature } from "../src/posterior/gaussian/spectral.ts";
import { logEvidence, logEvidenceSlope, maximiseEvidence } from "../src/posterior/laplace/evidence.ts";
import { fitLaplace } from "../src/posterior/laplace/fit.ts";
import { groupedEvidenceSlope } from "../src/posterior/laplace/grouped-evidence.ts";
import { LaplacePosterior } from "../src/posterior/laplace/laplace.ts";
import type { LaplaceOptions } from "../src/posterior/laplace/options.ts";
import { drawnSoftmax, predictiveNll } from "../src/posterior/laplace/predictive.ts";
import { stream } from "../src/random.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import { CurvatureTwin, TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import {
  cholesky,
  choleskyLogDeterminant,
  choleskySolve,
  covarianceScores,
  matVec,
  plusIdentity,
} from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

const rng = (step = 0) => testStream(9, step);

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, digits: number) {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...Array.from(expected, Math.abs), 1e-300);
  let error = 0;
  for (let i = 0; i < expected.length; i++) error = Math.max(error, Math.abs(actual[i] - expected[i]));
  expect(error / scale).toBeLessThan(10 ** -digits);
}

describe("linear-Gaussian regression: posterior and evidence are exact", () => {
  const [points, n, noise, delta] = [12, 4, 0.3, 0.7];
  const random = new Random(31);
  const x = random.normals(points * n);
  const y = random.normals(points);
  /** X'X / noise^2, the Hessian of the negative log-likelihood. */
  const curvature = new Float64Array(n * n);
  for (let p = 0; p < points; p++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) curvature[i * n + j] += (x[p * n + i] * x[p * n + j]) / noise ** 2;
  const xy = Float64Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let p = 0; p < points; p++) sum += (x[p * n + i] * y[p]) / noise ** 2;
    return sum;
  });
  const structure = SpectralCurvature.fromMatrix(curvature, n);

  /** Terms of the Laplace evidence at the posterior mean for this prior. */
  function terms(priorPrecision: number) {
    const theta = new Gaussian(structure, priorPrecision).solve(xy);
    let logLikelihood = -(points / 2) * Math.log(2 * Math.PI * noise ** 2);
    for (let p = 0; p < points; p++) {
      let residual = y[p];
      for (let i = 0; i < n; i++) residual -= x[p * n + i] * theta[i];
      logLikelihood -= residual ** 2 / (2 * noise ** 2);
    }
    return { curvature: structure, logLikelihood, squaredNorm: theta.reduce((s, t) => s + t * t, 0) };
  }

  /** log N(y; 0, noise^2 I + X X' / delta). */
  function exactEvidence(priorPrecision: number): number {
    const gram = new Float64Array(points * points);
    for (let p = 0; p < points; p++)
      for (let q = 0; q < points; q++) {
        for (let i = 0; i < n; i++) gram[p * points + q] += (x[p * n + i] * x[q * n + i]) / priorPrecision;
        if (p === q) gram[p * points + q] += noise ** 2;
      }
    const l = cholesky(gram, points);
    const whitened = choleskySolve(l, points, y).reduce((sum, v, p) => sum + v * y[p], 0);
    return -(points * Math.log(2 * Math.PI) + choleskyLogDeterminant(l, points) + whitened) / 2;
  }

  it("evidence", () => {
    for (const priorPrecision of [0.01, delta, 30])
      expect(logEvidence(terms(priorPrecision), priorPrecision)).toBeCloseTo(
        exactEvidence(priorPrecision),
        8,
      );
  });

  it("posterior mean and covariance", () => {
    const gaussian = new Gaussian(structure, delta);
    const l = cholesky(plusIdentity(curvature, n, delta), n);
    expectClose(gaussian.solve(xy), choleskySolve(l, n, xy), 12);
    const shared = rng();
    const draws = Array.from({ length: 5000 }, () => gaussian.sample(shared));
    const scores = covarianceScores(draws, plusIdentity(curvature, n, delta), n);
    for (const score of Object.values(scores)) expect(Math.abs(score)).toBeLessThan(4);
  });

  it("slope of the evidence, and its maximum", () => {
    const fixed = terms(delta);
    for (const priorPrecision of [0.02, 0.7, 9]) {
      const step = 1e-5;
      const numeric =
        (logEvidence(fixed, priorPrecision * Math.exp(step)) -
          logEvidence(fixed, priorPrecision * Math.exp(-step))) /
        (2 * step);
      expect(logEvidenceSlope(fixed, priorPrecision)).toBeCloseTo(numeric, 6);
    }
    const best = maximiseEvidence(fixed);
    expect(logEvidenceSlope(fixed, best)).toBeCloseTo(0, 6);
    for (const factor of [0.9, 1.1])
      expect(logEvidence(fixed, best)).toBeGreaterThan(logEvidence(fixed, best * factor));
    // theta* = 0 has no finite maximum: the end of the range.
    expect(maximiseEvidence({ ...fixed, squaredNorm: 0 })).toBeGreaterThan(9e9);
  });
});

describe("curvature of a tiny model", () => {
  const { model, parameters, batches } = tinyTwin(41);
  const n = model.parameterCount;
  const terms = 15;
  const ggn = denseMatrix(ggnOperator(model, batches)).map((x) => terms * x);
  const head = model.parameters.find(({ name }) => name === "lm_head.weight")!;
  const size = head.length;
  const headBlock = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) headBlock[i * size + j] = ggn[(head.offset + i) * n + head.offset + j];

  const laplace = (options: LaplaceOptions) =>
    fitLaplace(model, parameters, batches, { priorPrecision: 0.5, ...options });
  /** H v through the structure. */
  const product = (posterior: LaplacePosterior, v: Float64Array) =>
    posterior.fields.curvature.apply((x) => x, v);
  const random = new Random(42);

  it("last layer: full, matrix-free and low-rank at full rank are the block of the GGN", () => {
    const v = random.normals(size);
    const expected = matVec(headBlock, size, v);
    const exact: LaplaceOptions[] = [
      { hessianStructure: "full" },
      { hessianStructure: "matrixFree", lanczosSteps: 16 },
      { hessianStructure: "lowRank", rank: size },
    ];
    for (const options of exact) expectClose(product(laplace(options), v), expected, 8);
  });

  it("last layer: the diagonal structure is the diagonal of the block", () => {
    const { curvature } = laplace({ hessianStructure: "diag" }).fields;
    expectClose(
      curvature.diagonal((x) => x),
      Array.from({ length: size }, (_, i) => headBlock[i * size + i]),
      12,
    );
  });

  it("last layer: Kronecker is exact for one prediction and N E[B] (x) E[A] for more", () => {
    const single: Batch = { ...batches[0], batchSize: 1, positions: Int32Array.of(3) };
    const one = { ...single, tokens: single.tokens.slice(0, 5), targets: single.targets.slice(0, 1) };
    const v = random.normals(size);
    expectClose(
      product(fitLaplace(model, parameters, [one], { priorPrecision: 1 }), v),
      product(fitLaplace(model, parameters, [one], { priorPrecision: 1, hessianStructure: "full" }), v),
      9,
    );
    const [classes, width] = [TINY.dVocab, TINY.dModel];
    const b = new Float64Array(classes * classes);
    const a = new Float64Array(width * width);
    for (const batch of batches) {
      const p = softmaxRows(model.logits(batch), classes);
      const f = model.features(batch);
      for (let row = 0; row < batch.targets.length; row++) {
        for (let i = 0; i < classes; i++)
          for (let j = 0; j < classes; j++)
            b[i * classes + j] += p[row * classes + i] * ((i === j ? 1 : 0) - p[row * classes + j]);
        for (let i = 0; i < width; i++)
          for (let j = 0; j < width; j++) a[i * width + j] += f[row * width + i] * f[row * width + j];
      }
    }
    const expected = Float64Array.from({ length: size }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < size; j++)
        sum +=
          (b[Math.floor(i / width) * classes + Math.floor(j / width)] *
            a[(i % width) * width + (j % width)] *
            v[j]) /
          terms;
      return sum;
    });
    expectClose(product(laplace({ hessianStructure: "kron" }), v), expected, 10);
  });

  it("all parameters: full and low-rank at full rank are the GGN", () => {
    const v = random.normals(n);
    const expected = matVec(ggn, n, v);
    for (const options of [{ hessianStructure: "full" }, { hessianStructure: "lowRank", rank: n }] as const)
      expectClose(product(laplace({ subsetOfWeights: "all", ...options }), v), expected, 7);
  });

  it("all parameters: matrix-free solves with the GGN, whatever parameters the model holds by then", () => {
    const posterior = laplace({ subsetOfWeights: "all", hessianStructure: "matrixFree", lanczosSteps: n });
    const v = random.normals(n);
    model.setParameters(new Float64Array(n).fill(0.1));
    const l = cholesky(plusIdentity(ggn, n, 0.5), n);
    expectClose(posterior.gaussian.solve(v), choleskySolve(l, n, v), 7);
    model.setParameters(parameters);
  });

  it("all parameters: low rank keeps the largest eigenpairs", () => {
    const kept = laplace({ subsetOfWeights: "all", hessianStructure: "lowRank", rank: 5 }).fields.curvature;
    const all = SpectralCurvature.fromMatrix(ggn, n).eigenvalues.slice().reverse();
    expectClose((kept as SpectralCurvature).eigenvalues, all.slice(0, 5), 4);
  });

  it("all parameters: low rank takes the other eigenvalues for their mean, by the trace, or for 0", () => {
    const options = { subsetOfWeights: "all", hessianStructure: "lowRank", rank: 5 } as const;
    const remainder = (more: LaplaceOptions) =>
      (laplace({ ...options, ...more }).fields.curvature as SpectralCurvature).remainder;
    const cut = SpectralCurvature.fromMatrix(ggn, n).eigenvalues.slice(0, n - 5);
    const mean = cut.reduce((a, b) => a + b, 0) / cut.length;
    // A quadratic form of signs has at most the variance 2 sum of squares.
    const error = Math.sqrt((2 * cut.reduce((sum, x) => sum + x * x, 0)) / 50) / cut.length;
    expect(error).toBeLessThan(mean / 5);
    expect(Math.abs(remainder({ traceProbes: 50 }) - mean)).toBeLessThan(4 * error);
    expect(remainder({ remainder: "zero" })).toBe(0);
  });

  it("all parameters: low rank's evidence is a bound on that of the whole GGN, from either side", () => {
    const whole = SpectralCurvature.fromMatrix(ggn, n);
    const [values, vectors] = [whole.eigenvalues.slice(n - 5), whole.eigenvectors.slice(n - 5)];
    const mean = whole.eigenvalues.slice(0, n - 5).reduce((a, b) => a + b, 0) / (n - 5);
    const evidence = (curvature: SpectralCurvature, delta: number) =>
      logEvidence({ curvature, logLikelihood: -20, squaredNorm: 3 }, delta);
    for (const delta of [0.01, 0.5, 20]) {
      const q = new SpectralCurvature(values, vectors, mean);
      const gap = evidence(whole, delta) - evidence(q, delta);
      // log Z - KL(q || p), with p the posterior under the whole GGN: KL by dense matrices.
      const unit = (j: number) => Float64Array.from({ length: n }, (_, i) => (i === j ? 1 : 0));
      const dense = Float64Array.from(
        Array.from({ length: n }, (_, j) => Array.from(q.apply((x) => x, unit(j)))).flat(),
      );
      const [lq, lp] = [dense, ggn].map((h) => cholesky(plusIdentity(h, n, delta), n));
      let trace = 0;
      for (let j = 0; j < n; j++) {
        const row = plusIdentity(ggn, n, delta).subarray(j * n, (j + 1) * n);
        trace += choleskySolve(lq, n, unit(j)).reduce((sum, x, i) => sum + x * row[i], 0);
      }
      const divergence = (trace - n + choleskyLogDeterminant(lq, n) - choleskyLogDeterminant(lp, n)) / 2;
      expect(gap).toBeCloseTo(divergence, 6);
      expect(gap).toBeGreaterThan(0);
      expect(evidence(new SpectralCurvature(values, vectors), delta)).toBeGreaterThan(evidence(whole, delta));
    }
  });

  it("all parameters: the enumerated diagonal is exact, the sampled one unbiased", () => {
    const exact = Float64Array.from({ length: n }, (_, i) => ggn[i * n + i]);
    const options = { subsetOfWeights: "all", hessianStructure: "diag" } as const;
    expectClose(
      laplace({ ...options, probes: "exact" }).fields.curvature.diagonal((x) => x),
      exact,
      12,
    );
    const draws = Array.from({ length: 12 }, (_, seed) =>
      laplace({ ...options, probes: 100, chunk: 1, seed }).fields.curvature.diagonal((x) => x),
    );
    let chiSquare = 0;
    let counted = 0;
    for (let i = 0; i < n; i++) {
      const mean = draws.reduce((sum, d) => sum + d[i], 0) / 12;
      const variance = draws.reduce((sum, d) => sum + (d[i] - mean) ** 2, 0) / 11;
      if (variance < 1e-20) continue;
      chiSquare += (mean - exact[i]) ** 2 / (variance / 12);
      counted++;
    }
    // Student's t with 11 degrees of freedom has variance 11 / 9; parameters are correlated, hence the wide bound.
    expect(counted).toBeGreaterThan(n / 2);
    expect(chiSquare / counted).toBeGreaterThan(0.6);
    expect(chiSquare / counted).toBeLessThan(2.2);
  });

  it("all parameters: Kronecker blocks are those of the factors, and the whole is block-diagonal", () => {
    const posterior = laplace({ subsetOfWeights: "all", hessianStructure: "kron", probes: "exact" });
    const sums = batches.map((batch) => model.kroneckerFactors(batch, "exact"));
    model.parameters.forEach(({ shape: [rows, columns], offset, length }, index) => {
      const element = (i: number, j: number) => {
        const [first, second] = sums.map((list) => list[index]);
        if ("squares" in first) return i === j ? first.squares[i] + (second as typeof first).squares[i] : 0;
        if (!("left" in second)) throw new Error("not a matrix");
        const l = Math.floor(i / columns) * rows + Math.floor(j / columns);
        const r = (i % columns) * columns + (j % columns);
        return (
          ((first.left[l] + second.left[l]) * (first.right[r] + second.right[r])) /
          (first.terms + second.terms)
        );
      };
      const actual: number[] = [];
      const expected: number[] = [];
      const unit = new Float64Array(n);
      for (let j = 0; j < length; j++) {
        unit[offset + j] = 1;
        // Fifteen predictions count as fifteen terms: the mean cancels.
        product(posterior, unit).forEach((x, i) => {
          const inside = i >= offset && i < offset + length;
          if (!inside) expect(x).toBe(0);
          else actual.push(x);
        });
        unit[offset + j] = 0;
        for (let i = 0; i < length; i++) expected.push(element(i, j));
      }
      expectClose(actual, expected, 9);
    });
  });

  it("all parameters: random vectors of the Kronecker factors differ with the seed and from batch to batch", () => {
    const kron = (list: readonly Batch[], more: LaplaceOptions) => {
      const options = { subsetOfWeights: "all", hessianStructure: "kron", priorPrecision: 1 } as const;
      const { curvature } = fitLaplace(model, parameters, list, {
        ...options,
        trainingTerms: 15,
        ...more,
      }).fields;
      return curvature.diagonal((x) => x);
    };
    const [batch] = batches;
    const twice = [batch, batch];
    const error = (a: Float64Array, b: Float64Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
    const exact = kron([batch], { probes: "exact" });
    expectClose(kron(twice, { probes: "exact" }), exact, 9);
    expect(kron(twice, { probes: 1 })).toEqual(kron(twice, { probes: 1, seed: 0 }));
    expect(error(kron([batch], { probes: 1 }), kron([batch], { probes: 1, seed: 1 }))).toBeGreaterThan(1e-3);
    expect(error(kron(twice, { probes: 1 }), kron([batch], { probes: 1 }))).toBeGreaterThan(1e-3);
    // Eight vectors a prediction unless told.
    expect(kron([batch], {})).toEqual(kron([batch], { probes: 8 }));
  });

  it("low rank keeps 20 eigenpairs and takes 8 probes for the trace unless told", () => {
    const options = { subsetOfWeights: "all", hessianStructure: "lowRank" } as const;
    const curvature = (more: LaplaceOptions) => laplace({ ...options, ...more }).fields.curvature;
    const standard = curvature({}) as SpectralCurvature;
    expect(standard.eigenvectors).toHaveLength(20);
    expect(standard).toEqual(curvature({ rank: 20, remainder: "trace", traceProbes: 8, seed: 0 }));
    expect(standard.remainder).not.toBe((curvature({ traceProbes: 9 }) as SpectralCurvature).remainder);
  });

  it("the slope of the evidence is its derivative in every structure", () => {
    const structures: LaplaceOptions[] = [
      ...(["full", "diag", "kron"] as const).map((hessianStructure) => ({ hessianStructure })),
      { hessianStructure: "lowRank", rank: 5 },
      { hessianStructure: "lowRank", rank: 5, remainder: "zero" },
      { hessianStructure: "matrixFree", lanczosSteps: 16 },
    ];
    for (const options of [...structures, { ...structures[2], subsetOfWeights: "all" } as const]) {
      const posterior = laplace(options);
      const { fields, squaredNorm } = posterior;
      for (const delta of [0.05, 3]) {
        const step = 1e-4;
        const [up, down] = [step, -step].map((s) => posterior.logMarginalLikelihood(delta * Math.exp(s)));
        expect(logEvidenceSlope({ ...fields, squaredNorm }, delta)).toBeCloseTo((up - down) / (2 * step), 5);
      }
      const best = laplace({ ...options, priorPrecision: "marginalLikelihood" });
      expect(logEvidenceSlope({ ...fields, squaredNorm }, best.fields.priorPrecision)).toBeCloseTo(0, 6);
    }
  });

  it("all parameters: Kronecker is the block of the GGN for layers with one row, for LayerNorms the diagonal", () => {
    const [{ tokens, targets }] = batches;
    const one = [
      {
        tokens: tokens.slice(0, 1),
        targets: targets.slice(0, 1),
        batchSize: 1,
        length: 1,
        positions: Int32Array.of(0),
      },
    ];
    const dense = denseMatrix(ggnOperator(model, one));
    const kron: LaplaceOptions = { subsetOfWeights: "all", hessianStructure: "kron", probes: "exact" };
    const posterior = fitLaplace(model, parameters, one, { ...kron, priorPrecision: 1 });
    const unit = new Float64Array(n);
    for (const { shape, offset, length } of model.parameters) {
      const actual: number[] = [];
      const expected: number[] = [];
      for (let j = 0; j < length; j++) {
        unit[offset + j] = 1;
        actual.push(...product(posterior, unit).subarray(offset, offset + length));
        unit[offset + j] = 0;
        for (let i = 0; i < length; i++)
          expected.push(shape.length === 1 && i !== j ? 0 : dense[(offset + i) * n + offset + j]);
      }
      // Relative to the whole matrix: with a single token, q and k have no curvature.
      actual.push(1);
      expected.push(1);
      expectClose(actual, expected, 9);
    }
  });

  it("scales curvature and log-likelihood to N terms", () => {
    const v = random.normals(size);
    const posterior = laplace({ trainingTerms: 1500 });
    expectClose(
      product(posterior, v),
      product(laplace({}), v).map((x) => 100 * x),
      10,
    );
    expect(posterior.fields.logLikelihood).toBeCloseTo(-1500 * meanLoss(model, batches), 9);
    expect(laplace({}).fields.trainingTerms).toBe(15);
  });

  it("log evidence is that of the dense matrices", () => {
    for (const subsetOfWeights of ["lastLayer", "all"] as const) {
      const posterior = laplace({ subsetOfWeights, hessianStructure: "full" });
      const matrix = subsetOfWeights === "all" ? ggn : headBlock;
      const k = subsetOfWeights === "all" ? n : size;
      const theta =
        subsetOfWeights === "all" ? parameters : parameters.subarray(head.offset, head.offset + size);
      const squared = theta.reduce((sum, x) => sum + x * x, 0);
      const logDeterminant = choleskyLogDeterminant(cholesky(plusIdentity(matrix, k, 2), k), k);
      const expected = posterior.fields.logLikelihood - (logDeterminant - k * Math.log(2) + 2 * squared) / 2;
      expect(posterior.logMarginalLikelihood(2)).toBeCloseTo(expected, 7);
    }
  });

  describe("a prior precision for each group", () => {
    const structures: LaplaceOptions[] = [
      { hessianStructure: "kron", probes: "exact" },
      { hessianStructure: "diag", probes: "exact" },
      { hessianStructure: "lowRank", rank: 5 },
      { hessianStructure: "lowRank", rank: 5, remainder: "zero" },
      { hessianStructure: "full" },
    ];
    const all = (options: LaplaceOptions) => laplace({ subsetOfWeights: "all", ...options });
    /** The curvature written out. */
    const denseOf = ({ fields }: LaplacePosterior) => {
      const unit = new Float64Array(n);
      const dense = new Float64Array(n * n);
      for (let j = 0; j < n; j++) {
        unit[j] = 1;
        fields.curvature
          .apply((x) => x, unit)
          .forEach((x, i) => {
            dense[i * n + j] = x;
          });
        unit[j] = 0;
      }
      return dense;
    };
    const groupsOf = (priorStructure: "layerwise" | "blockwise") =>
      parameterGroups(model.parameters, priorStructure === "layerwise" ? "layer" : "block");
    /** By Cholesky, and its slope in the log of each prior precision by the inverse. */
    const denseEvidence = (
      dense: Float64Array,
      logLikelihood: number,
      groups: ReturnType<typeof groupsOf>,
      precisions: ArrayLike<number>,
    ) => {
      const precision = dense.slice();
      let occam = 0;
      const squares = groups.map(({ offset, length }, g) => {
        for (let i = offset; i < offset + length; i++) precision[i * (n + 1)] += precisions[g];
        const square = parameters.subarray(offset, offset + length).reduce((sum, x) => sum + x * x, 0);
        occam += precisions[g] * square - length * Math.log(precisions[g]);
        return square;
      });
      const l = cholesky(precision, n);
      const variance = Array.from({ length: n }, (_, i) => {
        const unit = Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0));
        return choleskySolve(l, n, unit)[i];
      });
      return {
        value: logLikelihood - (choleskyLogDeterminant(l, n) + occam) / 2,
        slope: groups.map(({ offset, length }, g) => {
          const inside = variance.slice(offset, offset + length).reduce((a, b) => a + b);
          return (length - precisions[g] * (inside + squares[g])) / 2;
        }),
      };
    };

    for (const options of structures)
      for (const priorStructure of ["layerwise", "blockwise"] as const)
        it(`${JSON.stringify(options)}, ${priorStructure}: evidence, slope and maximum are those of dense matrices`, () => {
          const groups = groupsOf(priorStructure);
          const stated = groups.map((_, g) => 0.2 * 1.7 ** (g % 5));
          const posterior = all({ ...options, priorStructure, priorPrecision: stated });
          const { fields } = posterior;
          const dense = denseOf(posterior);
          const at = (precisions: ArrayLike<number>) =>
            denseEvidence(dense, fields.logLikelihood, groups, precisions);
          const exact = at(stated);
          expect(posterior.logMarginalLikelihood()).toBeCloseTo(exact.value, 6);
          const terms = { ...fields, groups, squaredNorms: posterior.squaredNorms(groups) };
          const slope = groupedEvidenceSlope(terms, Float64Array.from(stated));
          slope.forEach((x, g) => {
            expect(x).toBeCloseTo(exact.slope[g], 6);
            const step = 1e-4;
            const moved = (by: number) => at(stated.map((x, h) => (g === h ? x * Math.exp(by) : x))).value;
            expect(x).toBeCloseTo((moved(step) - moved(-step)) / (2 * step), 4);
          });

          const tuned = { ...options, priorPrecision: "marginalLikelihood" } as const;
          const best = all({ ...tuned, priorStructure });
          const { precisions } = best.fields.prior!;
          const highest = at(precisions);
          precisions.forEach((delta, g) => {
            // At an end of the range the slope may point beyond it.
            if (delta > 1.001e-10 && delta < 0.999e10) expect(highest.slope[g]).toBeCloseTo(0, 5);
            else expect(highest.slope[g] * Math.log(delta)).toBeGreaterThan(0);
          });
          expect(best.logMarginalLikelihood()).toBeCloseTo(highest.value, 5);
          // One of the choices is the best single one.
          const single = all(tuned);
          expect(best.logMarginalLikelihood()).toBeGreaterThan(single.logMarginalLikelihood() - 1e-9);
          expect(single.fields.prior).toBeUndefined();
        });

    it("diag: of each parameter by itself, at the maximum in closed form", () => {
      const options = { hessianStructure: "diag", priorStructure: "diag", probes: "exact" } as const;
      const best = all({ ...options, priorPrecision: "marginalLikelihood" });
      const h = best.fields.curvature.diagonal((x) => x);
      const { precisions } = best.fields.prior!;
      expect(precisions).toHaveLength(n);
      precisions.forEach((delta, i) => {
        // delta^2 t^2 + delta t^2 h = h with t^2 = theta_i^2.
        const square = parameters[i] ** 2;
        const exact = h[i] === 0 ? 1e-10 : (-h[i] + Math.sqrt(h[i] ** 2 + (4 * h[i]) / square)) / 2;
        expect(Math.log(delta) - Math.log(Math.min(1e10, Math.max(1e-10, exact)))).toBeCloseTo(0, 6);
      });
      const { metadata, tensors } = best.save();
      expect(metadata.prior).toBe('{"structure":"diag"}');
      const loaded = LaplacePosterior.load(decodeSafetensors(encodeSafetensors(tensors, metadata)));
      expect(loaded.sample(rng())).toEqual(best.sample(rng()));
    });

    it("comes back from a file; a number stands for all groups; the last layer has one", () => {
      for (const options of structures) {
        const posterior = all({ ...options, priorStructure: "layerwise", priorPrecision: 3 });
        expect(posterior.fields.prior!.precisions).toEqual(
          new Float64Array(groupsOf("layerwise").length).fill(3),
        );
        expectClose([posterior.fields.priorPrecision], [3], 12);
        expectClose(
          posterior.gaussian.solve(Float64Array.from(parameters)),
          all({ ...options, priorPrecision: 3 }).gaussian.solve(Float64Array.from(parameters)),
          8,
        );
        const { metadata, tensors } = posterior.save();
        const loaded = LaplacePosterior.load(decodeSafetensors(encodeSafetensors(tensors, metadata)));
        expect(loaded.sample(rng())).toEqual(posterior.sample(rng()));
        expect(loaded.logMarginalLikelihood()).toBe(posterior.logMarginalLikelihood());
        expect(loaded.warnings).toEqual(posterior.warnings);
      }
      const last = laplace({ priorStructure: "layerwise", priorPrecision: "marginalLikelihood" });
      expect(last.fields).toEqual(laplace({ priorPrecision: "marginalLikelihood" }).fields);
      expect(laplace({ priorStructure: "blockwise", priorPrecision: [4] }).fields.priorPrecision).toBe(4);
    });

    it("names what is wrong", () => {
      const layers = groupsOf("layerwise").length;
      const wrong = (options: LaplaceOptions, message: RegExp) => expect(() => all(options)).toThrow(message);
      wrong({ priorStructure: "each" as "diag" }, /priorStructure: got each, must be one of scalar, /);
      wrong(
        { priorStructure: "diag", hessianStructure: "kron" },
        /priorStructure: got diag, must be one of scalar, layerwise, blockwise with kron/,
      );
      wrong(
        { priorPrecision: [1, 2] },
        /priorPrecision: got 1,2, must be a number with priorStructure scalar/,
      );
      wrong(
        { priorStructure: "layerwise", priorPrecision: [1, 2] },
        new RegExp(`length of priorPrecision: got 2, must be ${layers}, one for each group`),
      );
      wrong(
        { priorStructure: "blockwise", priorPrecision: [1, -1, 1] },
        /priorPrecision\[1\]: got -1, must be from/,
      );
      wrong(
        { priorStructure: "layerwise", priorPrecision: { heldOut: batches } },
        /priorStructure: got layerwise, must be scalar where held-out batches/,
      );
      wrong(
        {
          ...{ priorStructure: "layerwise", hessianStructure: "matrixFree" },
          priorPrecision: "marginalLikelihood",
        },
        /priorPrecision: got marginalLikelihood, must be stated with layerwise and matrixFree/,
      );
      expect(() => laplace({ priorStructure: "layerwise", priorPrecision: [1, 2] })).toThrow(
        /length of priorPrecision: got 2, must be 1, one for each group/,
      );
    });
  });

  it("tunes the prior by marginal likelihood and by held-out NLL", () => {
    const tuned = laplace({ priorPrecision: "marginalLikelihood" });
    const best = tuned.logMarginalLikelihood();
    for (const factor of [0.8, 1.25])
      expect(tuned.logMarginalLikelihood(tuned.fields.priorPrecision * factor)).toBeLessThan(best);
    const grid = [0.01, 1, 10, 30, 100];
    const asked = random.batch(TINY, 6, 5, [0, 2, 4]);
    model.setParameters(parameters);
    const p = softmaxRows(model.logits(asked), 4);
    // Targets as the checkpoint predicts them, so that a sharp posterior is best.
    const targets = asked.targets.map((_, row) => {
      const rowOf = Array.from(p.subarray(row * 4, row * 4 + 4));
      return rowOf.indexOf(Math.max(...rowOf));
    });
    const heldOut = [{ ...asked, targets }];
    const chosen = laplace({ priorPrecision: { heldOut, grid, nSamples: 50 }, seed: 3 }).fields
      .priorPrecision;
    const terms = grid.map((priorPrecision) => {
      const draws = laplace({ priorPrecision }).predict(model, heldOut[0], {
        nSamples: 50,
        rng: stream(3, 0, "heldOutChoice"),
      });
      return Array.from(predictiveNll(draws, heldOut[0].targets, 4));
    });
    const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;
    const nll = terms.map(mean);
    const lowest = nll.indexOf(Math.min(...nll));
    expect(chosen).toBe(grid[lowest]);
    const spread = mean(terms[lowest].map((x) => (x - nll[lowest]) ** 2));
    const allowed = nll[lowest] + Math.sqrt(spread / (terms[lowest].length - 1));
    const wide = laplace({
      priorPrecision: { heldOut, grid, nSamples: 50, rule: "oneStandardError" },
      seed: 3,
    });
    expect(wide.fields.priorPrecision).toBe(grid[nll.findIndex((x) => x <= allowed)]);
    expect(wide.fields.priorPrecision).toBeLessThan(chosen);
    expect(new Set(nll).size).toBe(5);
    // All candidates get the same deviates: in a narrow stretch the NLL has a slope, and an end of it is best.
    const narrow = Array.from({ length: 12 }, (_, i) => 0.02 * (1 + i / 1000));
    for (const seed of [3, 4, 5]) {
      const { priorPrecision } = laplace({ priorPrecision: { heldOut, grid: narrow }, seed }).fields;
      expect(priorPrecision === narrow[0] || priorPrecision === narrow[11]).toBe(true);
    }
    // Unless told, 21 values from 1e-4 to 1e4 and 32 draws.
    const standard = Array.from({ length: 21 }, (_, i) => 10 ** (-4 + 0.4 * i));
    const asked32 = { heldOut, grid: standard, nSamples: 32, rule: "best" } as const;
    for (const seed of [3, 4]) {
      const { priorPrecision } = laplace({ priorPrecision: { heldOut }, seed }).fields;
      expect(priorPrecision).toBe(laplace({ priorPrecision: asked32, seed }).fields.priorPrecision);
      expect(priorPrecision).toBeGreaterThan(1e-4);
    }
  });
});

it("the predictive NLL is that of the mean of the draws, and finite where that underflows", () => {
  const draws = [Float32Array.of(0.5, 0.5, 0, 1), Float32Array.of(0.25, 0.75, 0, 1)];
  const nll = predictiveNll(draws, Int32Array.of(1, 0), 2);
  expect(nll[0]).toBeCloseTo(-Math.log(0.625), 12);
  expect(nll[1]).toBeCloseTo(126 * Math.LN2, 12);
});

it("drawn logits that are not finite are refused at their prediction", () => {
  const sizes = { rows: 2, classes: 2, count: 1 };
  const drawn = (change: number) => () =>
    drawnSoftmax(
      Float64Array.of(1, 2, 3, 4),
      Float64Array.of(0, 1),
      (x) => Float64Array.of(0, x[0] * change),
      sizes,
    );
  expect(drawn(1)()[0][2]).toBeCloseTo(1 / (1 + Math.exp(2)), 6);
  for (const change of [Number.NaN, Number.POSITIVE_INFINITY])
    expect(drawn(change)).toThrow(/logits: got NaN at prediction [01], must be finite numbers/);
});

describe("predictives", () => {
  const { model, parameters, batches } = tinyTwin(51);
  const V = TINY.dVocab;
  const probe = new Random(52).batch(TINY, 1, 5, [4]);
  const laplace = (options: LaplaceOptions) =>
    fitLaplace(model, parameters, batches, { priorPrecision: 2, hessianStructure: "full", ...options });

  /** J Sigma J' of the one prediction, (V, V). */
  function logitCovariance(posterior: LaplacePosterior): Float64Array {
    const { offset, curvature } = posterior.fields;
    model.setParameters(parameters);
    const rows = Array.from({ length: V }, (_, c) => {
      const unit = new Float64Array(V);
      unit[c] = 1;
      return model.jacobianTransposeProduct(probe, unit).slice(offset, offset + curvature.size);
    });
    return Float64Array.from({ length: V * V }, (_, i) => {
      const solved = posterior.gaussian.solve(rows[i % V]);
      return solved.reduce((sum, x, k) => sum + x * rows[Math.floor(i / V)][k], 0);
    });
  }

  for (const subsetOfWeights of ["lastLayer", "all"] as const) {
    const posterior = laplace({ subsetOfWeights });
    const covariance = logitCovariance(posterior);

    it(`${subsetOfWeights}: GLM draws have the logit covariance J Sigma J'`, () => {
      model.setParameters(parameters);
      const logits = model.logits(probe);
      const draws = posterior.predict(model, probe, { nSamples: 3000, rng: rng() });
      // Softmax forgets one number per row: compare differences to the last class.
      const differences = draws.map((p) =>
        Array.from({ length: V - 1 }, (_, c) => Math.log(p[c] / p[V - 1]) - (logits[c] - logits[V - 1])),
      );
      const k = V - 1;
      const reduced = Float64Array.from({ length: k * k }, (_, i) => {
        const [r, s] = [Math.floor(i / k), i % k];
        return covariance[r * V + s] - covariance[r * V + k] - covariance[k * V + s] + covariance[k * V + k];
      });
      const l = cholesky(reduced, k);
      const precision = new Float64Array(k * k);
      for (let j = 0; j < k; j++) {
        const unit = new Float64Array(k);
        unit[j] = 1;
        precision.set(choleskySolve(l, k, unit), j * k);
      }
      for (const score of Object.values(covarianceScores(differences, precision, k)))
        expect(Math.abs(score)).toBeLessThan(4);
    });

    it(`${subsetOfWeights}: the covariance of the logits`, () => {
      const actual = posterior.logitCovariance(model, probe, { nSamples: 4000, rng: rng() });
      if (subsetOfWeights === "lastLayer") return expectClose(actual, covariance, 9);
      for (let i = 0; i < V; i++)
        for (let j = 0; j < V; j++) {
          const [square, product] = [
            covariance[i * V + j] ** 2,
            covariance[i * (V + 1)] * covariance[j * (V + 1)],
          ];
          // Of the mean of 4000 products of two normal numbers.
          const error = Math.sqrt((square + product) / 4000);
          expect(Math.abs(actual[i * V + j] - covariance[i * V + j])).toBeLessThan(4 * error);
        }
    });

    it(`${subsetOfWeights}: probit scales the logits by their variances`, () => {
      const variance = posterior.logitVariance(model, probe, { nSamples: 4000, rng: rng() });
      for (let c = 0; c < V; c++) {
        const exact = covariance[c * V + c];
        if (subsetOfWeights === "lastLayer") expect(variance[c]).toBeCloseTo(exact, 9);
        // A chi-square of 4000 degrees of freedom: relative error sqrt(2 / 4000).
        else expect(Math.abs(variance[c] / exact - 1)).toBeLessThan(4 * Math.sqrt(2 / 4000));
      }
      const logits = model.logits(probe);
      const scaled = logits.map((f, c) => f / Math.sqrt(1 + (Math.PI * variance[c]) / 8));
      const [p] = posterior.predict(model, probe, { nSamples: 4000, rng: rng(), linkApprox: "probit" });
      expectClose(p, softmaxRows(scaled, V), 6);
    });
  }

  const closed: LaplaceOptions[] = [
    { hessianStructure: "kron" },
    { hessianStructure: "diag" },
    { hessianStructure: "diag", priorStructure: "diag", priorPrecision: "marginalLikelihood" },
    { hessianStructure: "full" },
    { hessianStructure: "lowRank", rank: 5 },
    { hessianStructure: "lowRank", rank: 5, remainder: "zero" },
    { hessianStructure: "matrixFree", lanczosSteps: 16 },
  ];
  it.each(closed)(
    "last layer, %o: variances and covariances of the logits are those of a solve",
    (options) => {
      const posterior = laplace(options);
      const covariance = logitCovariance(posterior);
      const any = { nSamples: 1, rng: rng() };
      // Sums of at most 16 x 16 terms in float64, over a condition number of at most 1e4.
      expectClose(posterior.logitCovariance(model, probe, any), covariance, 9);
      expectClose(
        posterior.logitVariance(model, probe, any),
        Array.from({ length: V }, (_, c) => covariance[c * (V + 1)]),
        9,
      );
      // Several predictions: each by itself.
      const several = posterior.logitCovariance(model, batches[0], any);
      expect(several).toHaveLength(batches[0].targets.length * V * V);
      const variances = posterior.logitVariance(model, batches[0], any);
      expectClose(
        Array.from(variances, (_, i) => several[Math.floor(i / V) * V * V + (i % V) * (V + 1)]),
        variances,
        12,
      );
    },
  );

  it.each(["full", "kron", "diag"] as const)(
    "nn draws, for the last layer, weights: the predictive of those that sample draws, %s",
    (hessianStructure) => {
      const posterior = laplace({ hessianStructure });
      const nn = posterior.predict(model, probe, { nSamples: 3, rng: rng(), predType: "nn" });
      const shared = rng();
      for (const p of nn) {
        model.setParameters(posterior.sample(shared));
        expectClose(p, softmaxRows(model.logits(probe), V), 5);
      }
    },
  );

  it.each(["kron", "diag"] as const)(
    "last layer, %s: draws of the logits have their covariance, and do not depend on what else is predicted",
    (hessianStructure) => {
      const posterior = laplace({ hessianStructure });
      const covariance = logitCovariance(posterior);
      model.setParameters(parameters);
      const logits = model.logits(probe);
      const draws = posterior.predict(model, probe, { nSamples: 3000, rng: rng() });
      const k = V - 1;
      const differences = draws.map((p) =>
        Array.from({ length: k }, (_, c) => Math.log(p[c] / p[k]) - (logits[c] - logits[k])),
      );
      const reduced = Float64Array.from({ length: k * k }, (_, i) => {
        const [r, s] = [Math.floor(i / k), i % k];
        return covariance[r * V + s] - covariance[r * V + k] - covariance[k * V + s] + covariance[k * V + k];
      });
      const l = cholesky(reduced, k);
      const precision = new Float64Array(k * k);
      for (let j = 0; j < k; j++)
        precision.set(choleskySolve(l, k, new Float64Array(k).fill(1, j, j + 1)), j * k);
      for (const score of Object.values(covarianceScores(differences, precision, k)))
        expect(Math.abs(score)).toBeLessThan(4);
      const { tokens, targets } = batches[0];
      const first: Batch = {
        ...{ ...batches[0], batchSize: 1 },
        ...{ tokens: tokens.slice(0, 5), targets: targets.slice(0, 3) },
      };
      const [whole, alone] = [batches[0], first].map((batch) =>
        posterior.predict(model, batch, { nSamples: 2, rng: rng() }),
      );
      alone.forEach((p, s) => {
        expectClose(whole[s].slice(0, p.length), p, 6);
      });
    },
  );

  it("nn and GLM agree for a sharp posterior and differ for a wide one", () => {
    const gap = (priorPrecision: number) => {
      const posterior = laplace({ subsetOfWeights: "all", priorPrecision });
      const [glm] = posterior.predict(model, probe, { nSamples: 1, rng: rng() });
      const [nn] = posterior.predict(model, probe, { nSamples: 1, rng: rng(), predType: "nn" });
      return Math.max(...glm.map((x, i) => Math.abs(x - nn[i])));
    };
    expect(gap(1e8)).toBeLessThan(1e-5);
    expect(gap(0.5)).toBeGreaterThan(1e-2);
  });

  it("comes back from a file with the same predictions", () => {
    for (const options of [
      {},
      { hessianStructure: "kron" },
      { subsetOfWeights: "all", hessianStructure: "lowRank" },
      { subsetOfWeights: "all", hessianStructure: "kron" },
    ] as const) {
      const posterior = laplace(options);
      const { metadata, tensors } = posterior.save();
      const loaded = LaplacePosterior.load(decodeSafetensors(encodeSafetensors(tensors, metadata)));
      expect(loaded.predict(model, probe, { nSamples: 2, rng: rng() })).toEqual(
        posterior.predict(model, probe, { nSamples: 2, rng: rng() }),
      );
      expect(loaded.logMarginalLikelihood()).toBe(posterior.logMarginalLikelihood());
      expect(loaded.sample(rng())).toEqual(posterior.sample(rng()));
    }
  });

  it("names what is wrong", () => {
    expect(() => laplace({ priorPrecision: -1 })).toThrow(/priorPrecision: got -1/);
    expect(() => laplace({ priorPrecision: "best" as "marginalLikelihood" })).toThrow(
      /priorPrecision: got best/,
    );
    expect(() => laplace({ hessianStructure: "lowRank", rank: 17 })).toThrow(
      /rank: got 17, must be .* 1 to 16/,
    );
    expect(() => laplace({ hessianStructure: "lowRank", rank: 3, remainder: "none" as "zero" })).toThrow(
      /remainder: got none/,
    );
    expect(() => laplace({ hessianStructure: "lowRank", rank: 3, traceProbes: 0 })).toThrow(
      /traceProbes: got 0/,
    );
    expect(() => laplace({ hessianStructure: "matrixFree", traceProbes: 0.5 })).toThrow(
      /traceProbes: got 0.5/,
    );
    expect(() => laplace({ hessianStructure: "matrixFree", lanczosSteps: 0 })).toThrow(/lanczosSteps: got 0/);
    expect(() => laplace({ trainingTerms: -1 })).toThrow(/trainingTerms: got -1/);
    expect(() => laplace({ priorPrecision: { heldOut: [] } })).toThrow(/batches: got no prediction/);
    expect(() => laplace({ priorPrecision: { heldOut: [probe], grid: [] } })).toThrow(
      /length of grid: got 0/,
    );
    expect(() => laplace({ priorPrecision: { heldOut: [probe], grid: [1, -1] } })).toThrow(
      /grid\[1\]: got -1/,
    );
    expect(() => laplace({ priorPrecision: { heldOut: [probe], nSamples: 0 } })).toThrow(/nSamples: got 0/);
    expect(() => laplace({ subsetOfWeights: "all", hessianStructure: "lowRank", rank: 1e4 })).toThrow(
      new RegExp(`rank: got 10000, must be .* 1 to ${parameters.length}`),
    );
    expect(() => fitLaplace(model, parameters, [])).toThrow(/batches: got no prediction/);
    expect(() => fitLaplace(model, parameters.slice(1), batches)).toThrow(/length of parameters/);
    expect(() => laplace({ subsetOfWeights: "most" as "all" })).toThrow(/subsetOfWeights: got most/);
    expect(() => laplace({ subsetOfWeights: "all", hessianStructure: "diag", probes: 0 })).toThrow(
      /probes: got 0/,
    );
    expect(() => laplace({ subsetOfWeights: "all", hessianStructure: "kron", probes: 0 })).toThrow(
      /probes: got 0/,
    );
    const posterior = laplace({});
    expect(() =>
      posterior.predict(model, probe, { nSamples: 1, rng: rng(), predType: "nn", linkApprox: "probit" }),
    ).toThrow(/linkApprox: got probit/);
    expect(() => posterior.predict(model, probe, { nSamples: 0, rng: rng() })).toThrow(/nSamples: got 0/);
    const other = tinyTwin(1, { ...TINY, dMlp: 6 }).model;
    expect(() => posterior.predict(other, probe, { nSamples: 1, rng: rng() })).toThrow(
      /model: got .* parameters/,
    );
    expect(() => posterior.logitVariance(other, probe, { nSamples: 1, rng: rng() })).toThrow(/model: got/);
    expect(() => posterior.logitVariance(model, probe, { nSamples: 0, rng: rng() })).toThrow(
      /nSamples: got 0/,
    );
    const all = laplace({ subsetOfWeights: "all", hessianStructure: "diag", probes: "exact" });
    expect(() => new LaplacePosterior({ ...all.fields, mean: parameters.slice(1) })).toThrow(
      /length of mean: got \d+, must be \d+/,
    );
    const { fields } = posterior;
    for (const offset of [fields.offset + 1, -1])
      expect(() => new LaplacePosterior({ ...fields, offset })).toThrow(
        /offset: got -?\d+, must be such that 16 of the \d+ parameters follow/,
      );
    const matrixFree = laplace({ hessianStructure: "matrixFree" });
    expect(() => matrixFree.save()).toThrow(/hessianStructure: got matrixFree/);
    expect(() => LaplacePosterior.load({ metadata: {}, tensors: new Map() })).toThrow(
      /without metadata laplace/,
    );
    const load = (change: object) => () => {
      const { metadata, tensors } = posterior.save();
      const laplace = JSON.stringify({ ...JSON.parse(metadata.laplace), ...change });
      return LaplacePosterior.load({ metadata: { laplace }, tensors });
    };
    expect(load({})).not.toThrow();
    expect(load({ priorPrecision: -2 })).toThrow(/priorPrecision: got -2/);
    expect(load({ subsetOfWeights: "some" })).toThrow(/subsetOfWeights: got some, must be one of/);
    expect(() => LaplacePosterior.load({ metadata: { laplace: "{" }, tensors: new Map() })).toThrow(
      new RangeError("metadata laplace of a saved posterior: got {, must be JSON"),
    );
  });
});

it("tied embeddings: the last layer is the use as unembedding, and has no parameter draws", () => {
  const shape = { ...TINY, tiedEmbeddings: true };
  const { parameters, batches } = tinyTwin(61, shape);
  class Tied extends CurvatureTwin {
    override features(batch: Batch): Float64Array<ArrayBuffer> {
      return Float64Array.from(new Random(1).normals(batch.targets.length * shape.dModel));
    }
  }
  const tied = new Tied(shape, Float64Array.from(parameters));
  const posterior = fitLaplace(tied, parameters, batches, { priorPrecision: 1 });
  expect(posterior.fields.offset).toBe(0);
  expect(posterior.predict(tied, batches[0], { nSamples: 2, rng: rng() })).toHaveLength(2);
  expect(() => posterior.sample(rng())).toThrow(/lastLayer with tiedEmbeddings/);
});

it("tied embeddings: the Kronecker block has the partial traces of both uses together", () => {
  const { model, parameters, batches } = tinyTwin(62, { ...TINY, tiedEmbeddings: true, roles: 2 });
  const posterior = fitLaplace(model, parameters, batches.slice(0, 1), {
    ...{ subsetOfWeights: "all", hessianStructure: "kron", probes: "exact", priorPrecision: 1 },
  });
  const [rows, columns] = [TINY.dVocab, TINY.dModel];
  const sums = model.kroneckerFactors(batches[0], "exact");
  const uses = sums.filter(({ name }) => name === "transformer.wte.weight");
  expect(uses).toHaveLength(2);
  expect(sums.at(-1)).toBe(uses[1]);
  const left = new Float64Array(rows ** 2);
  const right = new Float64Array(columns ** 2);
  const trace = (m: ArrayLike<number>, k: number) =>
    Array.from({ length: k }, (_, i) => m[i * k + i]).reduce((a, b) => a + b);
  for (const use of uses) {
    if (!("left" in use)) throw new Error("not a matrix");
    for (let i = 0; i < left.length; i++) left[i] += (use.left[i] * trace(use.right, columns)) / use.terms;
    for (let i = 0; i < right.length; i++) right[i] += (use.right[i] * trace(use.left, rows)) / use.terms;
  }
  const unit = new Float64Array(model.parameterCount);
  const size = rows * columns;
  const block = Array.from({ length: size }, (_, j) => {
    unit[j] = 1;
    const column = posterior.fields.curvature.apply((x) => x, unit).slice(0, size);
    unit[j] = 0;
    return column;
  });
  expectClose(
    Array.from(left, (_, i) =>
      Array.from(
        { length: columns },
        (_, c) => block[Math.floor(i / rows) * columns + c][(i % rows) * columns + c],
      ).reduce((a, b) => a + b),
    ),
    left,
    9,
  );
  expectClose(
    Array.from(right, (_, i) =>
      Array.from(
        { length: rows },
        (_, r) => block[r * columns + Math.floor(i / columns)][r * columns + (i % columns)],
      ).reduce((a, b) => a + b),
    ),
    right,
    9,
  );
});
