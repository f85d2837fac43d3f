/** Every covariance structure against plain dense linear algebra, and the covariance of its samples. */
import { describe, expect, it } from "vitest";
import { matrixOperator } from "../src/curvature/operators.ts";
import { symmetricEigen } from "../src/curvature/vector.ts";
import { BlockCurvature } from "../src/posterior/gaussian/block.ts";
import type { Curvature } from "../src/posterior/gaussian/curvature.ts";
import { DiagonalCurvature } from "../src/posterior/gaussian/diagonal.ts";
import { Gaussian } from "../src/posterior/gaussian/gaussian.ts";
import { KroneckerCurvature } from "../src/posterior/gaussian/kronecker.ts";
import { MatrixFreeCurvature } from "../src/posterior/gaussian/matrix-free.ts";
import { SpectralCurvature } from "../src/posterior/gaussian/spectral.ts";
import { curvatureFromTensors, curvatureTensors } from "../src/posterior/gaussian/tensors.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import {
  cholesky,
  choleskyLogDeterminant,
  choleskySolve,
  covarianceScores,
  matVec,
  plusIdentity,
  withSpectrum,
} from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

interface Case {
  name: string;
  curvature: Curvature;
  /** The same matrix, written out. */
  dense: Float64Array;
}

function kroneckerProduct(b: Float64Array, rows: number, a: Float64Array, columns: number): Float64Array {
  const n = rows * columns;
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      out[i * n + j] =
        b[Math.floor(i / columns) * rows + Math.floor(j / columns)] *
        a[(i % columns) * columns + (j % columns)];
  return out;
}

function makeCases(): Case[] {
  const random = new Random(21);
  const spectrum = [50, 20, 6, 6, 1.5, 0.4, 0.02, 0];
  const full = withSpectrum(random, spectrum);
  const lowRank = withSpectrum(random, [40, 9, 0.5, 0, 0, 0, 0, 0]);
  const corrected = withSpectrum(random, [40, 9, 2.5, 0.3, 0.3, 0.3, 0.3, 0.3]);
  const values = Float64Array.of(30, 4, 4, 0.3, 0, 7, 0.01, 1);
  const b = withSpectrum(random, [5, 1]).matrix;
  const a = withSpectrum(random, [8, 2, 0.5, 0]).matrix;
  const diagonal = new Float64Array(64);
  values.forEach((x, i) => {
    diagonal[i * 9] = x;
  });
  const block = new Float64Array(64);
  for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) block[i * 8 + j] = b[i * 2 + j];
  for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) block[(i + 2) * 8 + j + 2] = a[i * 4 + j];
  for (let i = 6; i < 8; i++) block[i * 9] = 3;
  return [
    { name: "full", curvature: SpectralCurvature.fromMatrix(full.matrix, 8), dense: full.matrix },
    {
      name: "low rank",
      curvature: new SpectralCurvature(Float64Array.of(40, 9, 0.5), lowRank.eigenvectors.slice(0, 3)),
      dense: lowRank.matrix,
    },
    {
      name: "low rank with a remainder",
      curvature: new SpectralCurvature(Float64Array.of(40, 9, 2.5), corrected.eigenvectors.slice(0, 3), 0.3),
      dense: corrected.matrix,
    },
    { name: "diagonal", curvature: new DiagonalCurvature(values), dense: diagonal },
    {
      name: "Kronecker",
      curvature: KroneckerCurvature.fromFactors(b, 2, a, 4),
      dense: kroneckerProduct(b, 2, a, 4),
    },
    {
      name: "blocks",
      curvature: new BlockCurvature([
        SpectralCurvature.fromMatrix(b, 2),
        SpectralCurvature.fromMatrix(a, 4),
        new DiagonalCurvature(Float64Array.of(3, 3)),
      ]),
      dense: block,
    },
    {
      name: "matrix-free",
      curvature: new MatrixFreeCurvature(matrixOperator(full.matrix, 8), { steps: 8, probes: 400 }),
      dense: full.matrix,
    },
  ];
}

/** Standard error of tr f(H) = n u'f(H)u, u uniform on the sphere: n^2 Var = 2 (n tr f^2 - (tr f)^2) / (n + 2). */
function sphereError(dense: Float64Array, priorPrecision: number, probes: number): number {
  const f = symmetricEigen(dense, 8).eigenvalues.map((x) => Math.log(x + priorPrecision));
  const [first, second] = [f.reduce((a, b) => a + b, 0), f.reduce((sum, x) => sum + x * x, 0)];
  return Math.sqrt((2 * (8 * second - first ** 2)) / 10 / probes);
}

/** That the Gaussian's solution and quadratic form at v are those of the dense (8, 8) precision. */
function expectSolves(gaussian: Gaussian, precision: Float64Array, v: Float64Array): void {
  const expected = choleskySolve(cholesky(precision, 8), 8, v);
  gaussian.solve(v).forEach((x, i) => {
    expect(x).toBeCloseTo(expected[i], 9);
  });
  const product = matVec(precision, 8, v);
  expect(gaussian.quadratic(v)).toBeCloseTo(
    product.reduce((sum, x, i) => sum + x * v[i], 0),
    9,
  );
}

const cases = makeCases();
const matrixFree = cases[cases.length - 1];

for (const { name, curvature, dense } of cases) {
  for (const priorPrecision of [0.05, 3]) {
    describe(`${name}, prior precision ${priorPrecision}`, () => {
      const gaussian = new Gaussian(curvature, priorPrecision);
      const precision = plusIdentity(dense, 8, priorPrecision);
      const factor = cholesky(precision, 8);
      const random = new Random(22);

      it("solves and evaluates quadratic forms", () => {
        expectSolves(gaussian, precision, random.normals(8));
      });

      it("knows determinant, effective parameters and variances", () => {
        const inverse = Array.from({ length: 8 }, (_, i) => {
          const unit = new Float64Array(8);
          unit[i] = 1;
          return choleskySolve(factor, 8, unit)[i];
        });
        const effective = 8 - priorPrecision * inverse.reduce((a, b) => a + b, 0);
        const logDeterminant = choleskyLogDeterminant(factor, 8);
        if (curvature instanceof MatrixFreeCurvature) {
          const { standardError } = curvature.traceWithError((x) => Math.log(x + priorPrecision));
          expect(Math.abs(gaussian.logDeterminant() - logDeterminant)).toBeLessThan(4 * standardError);
          expect(Math.abs(standardError / sphereError(dense, priorPrecision, 400) - 1)).toBeLessThan(0.2);
          expect(Math.abs(gaussian.effectiveParameters() - effective)).toBeLessThan(0.6);
          gaussian.variance().forEach((x, i) => {
            expect(Math.abs(x / inverse[i] - 1)).toBeLessThan(0.5);
          });
          return;
        }
        expect(gaussian.logDeterminant()).toBeCloseTo(logDeterminant, 9);
        expect(gaussian.effectiveParameters()).toBeCloseTo(effective, 9);
        gaussian.variance().forEach((x, i) => {
          expect(x).toBeCloseTo(inverse[i], 9);
        });
      });

      it("draws samples with exactly its covariance", () => {
        const rng = testStream(4);
        const draws = Array.from({ length: 20000 }, () => gaussian.sample(rng));
        const { total, variances, correlations } = covarianceScores(draws, precision, 8);
        expect(Math.abs(total)).toBeLessThan(4);
        expect(variances).toBeLessThan(4);
        expect(correlations).toBeLessThan(4);
      });
    });
  }
}

describe.each(cases)(
  "$name with a prior precision for each of several groups",
  ({ name, curvature, dense }) => {
    const lengths = name === "Kronecker" ? [8] : name === "blocks" ? [2, 4, 2] : [3, 5];
    const ends = lengths.map((_, g) => lengths.slice(0, g + 1).reduce((a, b) => a + b));
    const groups = lengths.map((length, g) => ({ name: `${g}`, offset: ends[g] - length, length }));
    const precisions = Float64Array.of(0.3, 20, 0.02).slice(0, groups.length);
    const gaussian = new Gaussian(curvature, { structure: "layerwise", groups, precisions });
    const precision = dense.slice();
    groups.forEach(({ offset, length }, g) => {
      for (let i = offset; i < offset + length; i++) precision[i * 9] += precisions[g];
    });
    const factor = cholesky(precision, 8);
    const unit = (i: number) => Float64Array.from({ length: 8 }, (_, j) => (i === j ? 1 : 0));

    it("solves, and evaluates quadratic forms", () => {
      expectSolves(gaussian, precision, new Random(25).normals(8));
    });

    it("knows determinant, effective parameters and variances", () => {
      const variances = Array.from({ length: 8 }, (_, i) => choleskySolve(factor, 8, unit(i))[i]);
      const effective = groups.reduce(
        (sum, { offset, length }, g) =>
          sum + length - precisions[g] * variances.slice(offset, offset + length).reduce((a, b) => a + b),
        0,
      );
      const exact = !(curvature instanceof MatrixFreeCurvature);
      // 400 random vectors: the standard error of a trace of such numbers is below a tenth.
      const error = (actual: number, expected: number) =>
        expect(Math.abs(actual - expected)).toBeLessThan(exact ? 1e-9 : 0.6);
      error(gaussian.logDeterminant(), choleskyLogDeterminant(factor, 8));
      error(gaussian.effectiveParameters(), effective);
      gaussian.variance().forEach((x, i) => {
        if (exact) expect(x).toBeCloseTo(variances[i], 9);
        else expect(Math.abs(x / variances[i] - 1)).toBeLessThan(0.5);
      });
    });

    it("draws samples with exactly its covariance", () => {
      const rng = testStream(4);
      const draws = Array.from({ length: 5000 }, () => gaussian.sample(rng));
      const { total, variances, correlations } = covarianceScores(draws, precision, 8);
      for (const score of [total, variances, correlations]) expect(Math.abs(score)).toBeLessThan(4);
    });

    it("is that of a single prior precision where all are the same", () => {
      const same = new Gaussian(curvature, {
        ...{ structure: "layerwise", groups },
        precisions: precisions.map(() => 0.7),
      });
      const single = new Gaussian(curvature, 0.7);
      expect(same.priorPrecision).toBeCloseTo(0.7, 12);
      const v = new Random(26).normals(8);
      const expected = single.solve(v);
      same.solve(v).forEach((x, i) => {
        expect(x).toBeCloseTo(expected[i], 9);
      });
    });
  },
);

it("the parts of a curvature are its blocks, where it does not couple them", () => {
  const [full, , , diagonal, , blocks] = cases;
  expect(full.curvature.part(0, 3)).toBeNull();
  expect(full.curvature.part(0, 8)).toBe(full.curvature);
  expect(blocks.curvature.part(1, 3)).toBeNull();
  for (const { curvature, dense } of [diagonal, blocks]) {
    const [offset, length] = [2, 5];
    const v = new Random(27).normals(length);
    // The range ends inside the last block, which is diagonal.
    const part = curvature.part(offset, length)!;
    part
      .apply((x) => x, v)
      .forEach((x, i) => {
        const exact = v.reduce((sum, y, j) => sum + dense[(offset + i) * 8 + offset + j] * y, 0);
        expect(x).toBeCloseTo(exact, 9);
      });
  }
});

it("the covariance test sees the known mistakes", () => {
  const { curvature, dense } = cases[1];
  const rng = testStream(4);
  const z = () => Float64Array.from(new Gaussian(new DiagonalCurvature(new Float64Array(8)), 1).sample(rng));
  const draw = (f: (x: number) => number) => Array.from({ length: 2000 }, () => curvature.apply(f, z()));
  const precision = plusIdentity(dense, 8, 3);
  for (const wrong of [
    () => 1 / Math.sqrt(3),
    (x: number) => Math.sqrt(3) / Math.sqrt(x + 3),
    (x: number) => 1 / (x + 3),
  ])
    expect(Math.abs(covarianceScores(draw(wrong), precision, 8).total)).toBeGreaterThan(10);
});

describe("saving", () => {
  for (const { name, curvature } of cases.filter((c) => !(c.curvature instanceof MatrixFreeCurvature))) {
    it(`${name} comes back bit for bit`, () => {
      const bytes = encodeSafetensors(curvatureTensors(curvature, "c"));
      const loaded = curvatureFromTensors(decodeSafetensors(bytes).tensors, "c");
      const [a, b] = [new Gaussian(curvature, 0.7), new Gaussian(loaded, 0.7)];
      expect(b.sample(testStream(1))).toEqual(a.sample(testStream(1)));
      expect(b.logDeterminant()).toBe(a.logDeterminant());
      expect(loaded.resolution).toBe(curvature.resolution);
    });
  }

  it("refuses what holds no numbers, and names missing tensors", () => {
    expect(() => curvatureTensors(matrixFree.curvature, "c")).toThrow(/hessianStructure: got matrixFree/);
    expect(() => curvatureFromTensors(new Map(), "c")).toThrow(/without the tensors of c/);
    const half = new Map(curvatureTensors(cases[0].curvature, "c").slice(0, 1));
    expect(() => curvatureFromTensors(half, "c")).toThrow(/without float64 tensor c.eigenvectors/);
  });
});

it("the full structure is accurate at a prior far weaker than the data", () => {
  const { matrix } = withSpectrum(new Random(23), [5, 4, 3, 2, 1]);
  const gaussian = new Gaussian(SpectralCurvature.fromMatrix(matrix, 5), 1e-14);
  const v = new Random(24).normals(5);
  const expected = choleskySolve(cholesky(matrix, 5), 5, v);
  gaussian.solve(v).forEach((x, i) => {
    expect(x).toBeCloseTo(expected[i], 11);
  });
  expect(gaussian.effectiveParameters()).toBeCloseTo(5, 12);
});

it("names what is wrong", () => {
  const { curvature } = cases[0];
  const whole = { name: "all", offset: 0, length: 8 };
  const grouped =
    (groups: (typeof whole)[], ...precisions: number[]) =>
    () =>
      new Gaussian(curvature, { structure: "blockwise", groups, precisions: Float64Array.from(precisions) });
  for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => new Gaussian(curvature, bad)).toThrow(/priorPrecision: got/);
    expect(grouped([whole], bad)).toThrow(/priorPrecision: got/);
  }
  expect(grouped([whole], 1, 2)).toThrow(/length of prior precisions: got 2, must be 1, one for each group/);
  expect(grouped([{ ...whole, length: 7 }], 1)).toThrow(/parameters of all groups: got 7, must be 8/);
  expect(grouped([{ ...whole, offset: 1 }], 1)).toThrow(/offset of a group: got 1, must be 0/);
  const split = [3, 5].map((length, g) => ({ name: "", offset: 3 * g, length }));
  expect(
    () =>
      new Gaussian(cases[4].curvature, {
        ...{ structure: "layerwise", groups: split },
        precisions: Float64Array.of(1, 2),
      }),
  ).toThrow(/prior precisions: got several in one weight matrix, must be one/);
  expect(() => new DiagonalCurvature(Float64Array.of(1, -0.5))).toThrow(/eigenvalue: got -0.5/);
  expect(() => SpectralCurvature.fromMatrix(Float64Array.of(1, 2, 2, 1), 2)).toThrow(/semi-definite/);
  expect(() => new SpectralCurvature(Float64Array.of(1), [])).toThrow(/number of eigenvectors: got 0/);
  expect(() => new SpectralCurvature(Float64Array.of(1), [Float64Array.of(1, 0)], -1)).toThrow(
    /remainder: got -1/,
  );
  expect(() => new Gaussian(curvature, 1).solve(new Float64Array(3))).toThrow(
    /length of v: got 3, must be 8/,
  );
});

it("applies Kronecker factors of which neither size is a multiple of four", () => {
  const random = new Random(31);
  const b = withSpectrum(random, [7, 4, 2, 1, 0.5, 0.1]).matrix;
  const a = withSpectrum(random, [9, 3, 1, 0.2, 0.05]).matrix;
  const v = random.normals(30);
  const expected = matVec(kroneckerProduct(b, 6, a, 5), 30, v);
  KroneckerCurvature.fromFactors(b, 6, a, 5)
    .apply((x) => x, v)
    .forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i], 9);
    });
});
