/** Lanczos and stochastic traces on matrices whose spectrum is known. */
import { describe, expect, it } from "vitest";
import {
  applyFunction,
  extremeEigenpairs,
  meanWithError,
  smoothDensity,
  spectralDensity,
  spectralTrace,
} from "../src/curvature/lanczos.ts";
import { matrixOperator } from "../src/curvature/operators.ts";
import {
  complementTrace,
  hutchinsonDiagonal,
  hutchinsonTrace,
  hutchPlusPlusTrace,
  rademacher,
} from "../src/curvature/trace.ts";
import { dot } from "../src/curvature/vector.ts";
import { normals } from "../src/random.ts";
import { matVec, withSpectrum } from "./fixtures/dense.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

const rng = (step = 0) => testStream(1, step);

function randomMatrix(seed: number, spectrum: ArrayLike<number>) {
  const { matrix, eigenvectors } = withSpectrum(new Random(seed), spectrum);
  return { matrix, eigenvectors, operator: matrixOperator(matrix, spectrum.length), n: spectrum.length };
}

/** Decaying positive values and two negative ones, like the Hessian of a network. */
const NETWORK_LIKE = Float64Array.from({ length: 60 }, (_, i) => (i < 2 ? -1 - i : 20 * 0.8 ** i));

describe("extremeEigenpairs", () => {
  for (const which of ["largest", "smallest"] as const) {
    it(`finds the ${which} eigenvalues, orthonormal vectors and true residuals`, () => {
      const { matrix, operator, n } = randomMatrix(1, NETWORK_LIKE);
      const sorted = NETWORK_LIKE.slice().sort();
      const expected = which === "largest" ? sorted.reverse().slice(0, 5) : sorted.slice(0, 5);
      const pairs = extremeEigenpairs(operator, { k: 5, which, rng: rng(), tolerance: 1e-10 });
      expect(pairs.converged).toBe(true);
      pairs.eigenvectors.forEach((u, i) => {
        expect(pairs.eigenvalues[i]).toBeCloseTo(expected[i], 9);
        pairs.eigenvectors.forEach((w, j) => {
          expect(dot(u, w)).toBeCloseTo(i === j ? 1 : 0, 12);
        });
        const residual = matVec(matrix, n, u).map((x, j) => x - pairs.eigenvalues[i] * u[j]);
        expect(Math.hypot(...residual)).toBeLessThan(1e-8);
      });
    });
  }

  it("has no ghosts: with all steps the whole spectrum comes back, each value once", () => {
    const spectrum = Float64Array.from({ length: 40 }, (_, i) => 10 ** (3 - i / 4));
    const { operator } = randomMatrix(2, spectrum);
    const { eigenvalues } = extremeEigenpairs(operator, { k: 40, rng: rng() });
    eigenvalues.forEach((value, i) => {
      expect(Math.abs(value - spectrum[i])).toBeLessThan(1e-11 * spectrum[0]);
    });
  });

  it("finds multiple eigenvalues", () => {
    const spectrum = [5, 5, 5, 2, 2, 1, ...new Array<number>(20).fill(0)];
    const { operator } = randomMatrix(3, spectrum);
    const { eigenvalues, eigenvectors } = extremeEigenpairs(operator, { k: 5, rng: rng() });
    [5, 5, 5, 2, 2].forEach((value, i) => {
      expect(eigenvalues[i]).toBeCloseTo(value, 10);
    });
    expect(Math.abs(dot(eigenvectors[0], eigenvectors[1]))).toBeLessThan(1e-12);
  });

  /** All eigenvalues far from 0 and near each other: what is left of a locked vector would grow at every step. */
  const near = (values: number[], count: number) => [
    ...values,
    ...Array.from({ length: count }, (_, i) => Math.min(...values) - 0.01 - i / 100),
  ];
  it.each<[string, number[], number, "largest" | "smallest"]>([
    ["two pairs", near([9, 9, 8, 8], 50), 4, "largest"],
    ["two pairs among many", near([9, 9, 8, 8], 300), 4, "largest"],
    ["one by one", near([12], 60), 3, "largest"],
    ["three below 0", near([9, 9, 9], 40).map((x) => -x), 3, "smallest"],
    ["a shift of a thousand", near([2, 2, 2], 40).map((x) => x + 1000), 3, "largest"],
  ])("finds what is near each other and far from 0: %s", (_, spectrum, k, which) => {
    const values = Float64Array.from(spectrum);
    const operator = { size: values.length, matvec: (v: Float64Array) => v.map((x, i) => values[i] * x) };
    const { eigenvalues, eigenvectors } = extremeEigenpairs(operator, { k, which, rng: rng() });
    const sign = which === "largest" ? 1 : -1;
    const expected = spectrum.toSorted((a, b) => sign * (b - a)).slice(0, k);
    expected.forEach((value, i) => {
      expect(eigenvalues[i] / value).toBeCloseTo(1, 5);
      for (let j = 0; j < i; j++) expect(Math.abs(dot(eigenvectors[i], eigenvectors[j]))).toBeLessThan(1e-10);
    });
  });

  it("goes beyond the rank of a low-rank matrix", () => {
    const { operator } = randomMatrix(4, [3, 1, ...new Array<number>(10).fill(0)]);
    const { eigenvalues, iterations } = extremeEigenpairs(operator, { k: 4, rng: rng() });
    expect(Array.from(eigenvalues, (x) => Math.round(x * 1e9) / 1e9 + 0)).toEqual([3, 1, 0, 0]);
    expect(iterations).toBeLessThan(12);
  });

  it("says when it has not converged, and how far off the pairs are", () => {
    const { matrix, operator } = randomMatrix(
      5,
      Float64Array.from({ length: 60 }, (_, i) => 1 + i / 1000),
    );
    const pairs = extremeEigenpairs(operator, { k: 3, rng: rng(), tolerance: 1e-8, maxIterations: 4 });
    expect(pairs.converged).toBe(false);
    expect(pairs.iterations).toBe(4);
    pairs.eigenvectors.forEach((u, i) => {
      const off = matVec(matrix, 60, u).map((x, j) => x - pairs.eigenvalues[i] * u[j]);
      expect(Math.hypot(...off)).toBeGreaterThan(1e-6);
      expect(pairs.residuals[i] / Math.hypot(...off)).toBeCloseTo(1, 6);
    });
  });

  it("names what is wrong", () => {
    const { operator } = randomMatrix(6, [1, 2, 3]);
    expect(() => extremeEigenpairs(operator, { k: 4, rng: rng() })).toThrow(/k: got 4, must be .* 1 to 3/);
    expect(() => extremeEigenpairs(operator, { k: 0, rng: rng() })).toThrow(/k: got 0/);
    expect(() => extremeEigenpairs(operator, { k: 1, rng: rng(), tolerance: -1 })).toThrow(
      /tolerance: got -1/,
    );
    expect(() => extremeEigenpairs(operator, { k: 1, rng: rng(), which: "top" as "largest" })).toThrow(
      /which: got top, must be one of largest, smallest/,
    );
    const broken = { size: 3, matvec: () => Float64Array.of(Number.NaN, 0, 0) };
    expect(() => extremeEigenpairs(broken, { k: 1, rng: rng() })).toThrow(RangeError);
  });
});

describe("applyFunction", () => {
  it("is exact with as many steps as there are different eigenvalues", () => {
    const spectrum = [9, 4, 4, 1, 1, 1, 0.25];
    const { operator, eigenvectors } = randomMatrix(7, spectrum);
    const v = new Random(8).normals(7);
    const expected = new Float64Array(7);
    eigenvectors.forEach((u, k) => {
      const c = Math.sqrt(spectrum[k]) * dot(u, v);
      for (let i = 0; i < 7; i++) expected[i] += c * u[i];
    });
    const actual = applyFunction(operator, Math.sqrt, v, 4);
    actual.forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i], 10);
    });
    expect(applyFunction(operator, Math.sqrt, new Float64Array(7), 4)).toEqual(new Float64Array(7));
  });
});

describe("spectralDensity", () => {
  it("gives traces of functions within their standard error", () => {
    const { operator } = randomMatrix(9, NETWORK_LIKE);
    const density = spectralDensity(operator, { probes: 40, steps: 30, rng: rng() });
    for (const f of [(x: number) => x, (x: number) => Math.exp(-x), (x: number) => x * x]) {
      const exact = NETWORK_LIKE.reduce((sum, x) => sum + f(x), 0);
      const { estimate, standardError } = spectralTrace(density, f);
      expect(Math.abs(estimate - exact)).toBeLessThan(4 * standardError);
      expect(standardError).toBeLessThan(0.3 * Math.abs(exact));
    }
    expect(spectralTrace(density, () => 1).estimate).toBeCloseTo(60, 10);
    // Deviations -4/3, -1/3, 5/3: variance 7/3, of the mean 7/9.
    const { estimate, standardError } = meanWithError([1, 2, 4]);
    expect(estimate).toBeCloseTo(7 / 3, 14);
    expect(standardError).toBeCloseTo(Math.sqrt(7 / 9), 14);
    expect(meanWithError([1]).standardError).toBeNaN();
  });

  it("k steps integrate polynomials of degree 2 k - 1 exactly, and apply those of degree k - 1", () => {
    const { matrix, operator } = randomMatrix(14, [3, -2, 1.5, 1, 0.7, -0.4, 0.1]);
    const v = new Float64Array(7);
    normals(rng(), v);
    const [{ nodes, weights }] = spectralDensity(operator, { probes: 1, steps: 3, rng: rng() }).quadratures;
    const moment = (degree: number) => nodes.reduce((sum, x, i) => sum + weights[i] * x ** degree, 0);
    let power: Float64Array = v.slice();
    for (let degree = 0; degree <= 6; degree++) {
      const error = Math.abs(moment(degree) - dot(v, power) / dot(v, v));
      if (degree <= 5) expect(error, `degree ${degree}`).toBeLessThan(1e-11);
      else expect(error).toBeGreaterThan(1e-3);
      const off = applyFunction(operator, (x) => x ** degree, v, 3).map((x, i) => x - power[i]);
      if (degree <= 2) expect(Math.hypot(...off), `degree ${degree}`).toBeLessThan(1e-11);
      else expect(Math.hypot(...off)).toBeGreaterThan(1e-3);
      power = matVec(matrix, 7, power);
    }
  });

  it("is smoothed to a density", () => {
    const { operator } = randomMatrix(10, NETWORK_LIKE);
    const density = spectralDensity(operator, { probes: 4, steps: 20, rng: rng() });
    const step = 0.05;
    const grid = Float64Array.from({ length: 1000 }, (_, i) => -15 + i * step);
    const mass = smoothDensity(density, grid, 0.5).reduce((sum, x) => sum + x * step, 0);
    expect(mass).toBeCloseTo(1, 6);
    // A mixture of normals: its mean is that of the nodes, its variance theirs plus the square of the width.
    const moment = (degree: number) =>
      smoothDensity(density, grid, 0.5).reduce((sum, p, i) => sum + p * grid[i] ** degree * step, 0);
    const exact = (degree: number) => spectralTrace(density, (x) => x ** degree).estimate / 60;
    expect(moment(1)).toBeCloseTo(exact(1), 6);
    expect(moment(2)).toBeCloseTo(exact(2) + 0.25, 5);
    expect(() => smoothDensity(density, grid, 0)).toThrow(/width: got 0/);
  });
});

describe("stochastic traces", () => {
  const spectrum = Float64Array.from({ length: 50 }, (_, i) => 100 * 0.7 ** i);
  const { matrix, operator, eigenvectors } = randomMatrix(11, spectrum);
  const exact = spectrum.reduce((a, b) => a + b, 0);

  it("draws independent signs", () => {
    const z = rademacher(rng(), 10000);
    expect(z.every((x) => Math.abs(x) === 1)).toBe(true);
    expect(Math.abs(z.reduce((a, b) => a + b, 0))).toBeLessThan(4 * 100);
  });

  it("Hutchinson: unbiased, with the variance of sign vectors 2 (|A|_F^2 - |diag A|^2)", () => {
    let offDiagonal = 0;
    for (let i = 0; i < 50; i++)
      for (let j = 0; j < 50; j++) if (i !== j) offDiagonal += matrix[i * 50 + j] ** 2;
    const { estimate, standardError } = hutchinsonTrace(operator, { samples: 4000, rng: rng() });
    expect(Math.abs(estimate - exact)).toBeLessThan(4 * standardError);
    // One eigenvector dominates, so z'Az is nearly chi-square of one degree, whose kurtosis is 15: the sample standard
    // deviation has a relative error of sqrt(14 / (4 x 4000)) = 0.03.
    expect(Math.abs((standardError * Math.sqrt(4000)) / Math.sqrt(2 * offDiagonal) - 1)).toBeLessThan(0.12);
  });

  it("on a complement: the trace less what the vectors hold", () => {
    const basis = eigenvectors.slice(0, 10);
    const rest = exact - spectrum.slice(0, 10).reduce((a, b) => a + b, 0);
    const { estimate, standardError } = complementTrace(operator, basis, { samples: 400, rng: rng() });
    expect(Math.abs(estimate - rest)).toBeLessThan(4 * standardError);
    expect(standardError).toBeLessThan(0.1 * rest);
    expect(() => complementTrace(operator, basis, { samples: 0, rng: rng() })).toThrow(/samples: got 0/);
  });

  it("Hutch++: exact up to a third of the products in rank, and better on a decaying spectrum", () => {
    const lowRank = randomMatrix(12, [7, 5, 3, ...new Array<number>(30).fill(0)]);
    const few = hutchPlusPlusTrace(lowRank.operator, { products: 12, rng: rng() });
    expect(few.estimate).toBeCloseTo(15, 9);
    const error = (estimate: number) => Math.abs(estimate / exact - 1);
    let plain = 0;
    let better = 0;
    for (let i = 0; i < 20; i++) {
      plain += error(hutchinsonTrace(operator, { samples: 30, rng: rng(i) }).estimate);
      better += error(hutchPlusPlusTrace(operator, { products: 30, rng: rng(i) }).estimate);
    }
    expect(better).toBeLessThan(plain / 5);
  });

  it("Hutch++ is the exact trace when the subspace is the whole space, and unbiased before", () => {
    expect(hutchPlusPlusTrace(operator, { products: 150, rng: rng() }).estimate).toBeCloseTo(exact, 8);
    const flat = randomMatrix(
      13,
      Float64Array.from({ length: 50 }, (_, i) => 1 + i / 50),
    );
    const estimates = Array.from({ length: 300 }, (_, i) =>
      hutchPlusPlusTrace(flat.operator, { products: 12, rng: rng(i) }),
    );
    const mean = estimates.reduce((sum, { estimate }) => sum + estimate, 0) / 300;
    const variance = estimates.reduce((sum, { estimate }) => sum + (estimate - mean) ** 2, 0) / 299;
    expect(Math.abs(mean - 74.5)).toBeLessThan(4 * Math.sqrt(variance / 300));
    // The variance itself and the mean of its estimates from four probes have relative errors of 0.08 and 0.05.
    const stated = estimates.reduce((sum, { standardError }) => sum + standardError ** 2, 0) / 300;
    expect(Math.abs(stated / variance - 1)).toBeLessThan(0.4);
  });

  it("diagonal: within standard errors of the true one, exact for a diagonal matrix", () => {
    const { estimate, standardError } = hutchinsonDiagonal(operator, { samples: 2000, rng: rng() });
    const scores = Array.from(estimate, (x, i) => (x - matrix[i * 51]) / standardError[i]);
    const chiSquare = scores.reduce((sum, z) => sum + z * z, 0);
    // z_i (A z)_i has the variance sum of A_ij^2 over j other than i; 2000 such numbers, of a kurtosis of up to 15, leave
    // its root a relative error of 0.04.
    standardError.forEach((error, i) => {
      let off = -(matrix[i * 51] ** 2);
      for (let j = 0; j < 50; j++) off += matrix[i * 50 + j] ** 2;
      expect(Math.abs(error / Math.sqrt(off / 2000) - 1)).toBeLessThan(0.2);
    });
    // The errors are correlated through the few large eigenvalues: compare each one, and the mean square loosely.
    expect(Math.max(...scores.map(Math.abs))).toBeLessThan(4.5);
    expect(chiSquare / 50).toBeLessThan(3);
    const diagonal = matrixOperator(Float64Array.of(2, 0, 0, 0, -3, 0, 0, 0, 0.5), 3);
    expect(Array.from(hutchinsonDiagonal(diagonal, { samples: 2, rng: rng() }).estimate)).toEqual([
      2, -3, 0.5,
    ]);
  });

  it("names what is wrong", () => {
    expect(() => hutchinsonTrace(operator, { samples: 0, rng: rng() })).toThrow(/samples: got 0/);
    expect(() => hutchPlusPlusTrace(operator, { products: 10, rng: rng() })).toThrow(
      /products: got 10, must be a multiple of 3 from 3 to 150/,
    );
    expect(() => hutchPlusPlusTrace(operator, { products: 153, rng: rng() })).toThrow(/products: got 153/);
    expect(() => matrixOperator(new Float64Array(8), 3)).toThrow(/length of matrix: got 8, must be 9/);
  });
});
