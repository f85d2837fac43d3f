/** Lanczos and stochastic traces on matrices whose spectrum is known. */
import { describe, expect, it } from "vitest";
import {
  applyFunction,
  extremeEigenpairs,
  smoothDensity,
  spectralDensity,
  spectralTrace,
} from "../src/posterior/lanczos.ts";
import { matrixOperator } from "../src/posterior/operators.ts";
import {
  complementTrace,
  hutchinsonDiagonal,
  hutchinsonTrace,
  hutchPlusPlusTrace,
  rademacher,
} from "../src/posterior/trace.ts";
import { dot } from "../src/posterior/vector.ts";
import { stream } from "../src/tasks/random.ts";
import { matVec, withSpectrum } from "./fixtures/dense.ts";
import { Random } from "./reference/random.ts";

const rng = (step = 0) => stream(1, 0, "posterior", step);

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

  it("goes beyond the rank of a low-rank matrix", () => {
    const { operator } = randomMatrix(4, [3, 1, ...new Array<number>(10).fill(0)]);
    const { eigenvalues, iterations } = extremeEigenpairs(operator, { k: 4, rng: rng() });
    expect(Array.from(eigenvalues, (x) => Math.round(x * 1e9) / 1e9 + 0)).toEqual([3, 1, 0, 0]);
    expect(iterations).toBeLessThan(12);
  });

  it("says when it has not converged", () => {
    const { operator } = randomMatrix(
      5,
      Float64Array.from({ length: 60 }, (_, i) => 1 + i / 1000),
    );
    const pairs = extremeEigenpairs(operator, { k: 3, rng: rng(), tolerance: 1e-8, maxIterations: 4 });
    expect(pairs.converged).toBe(false);
    expect(pairs.iterations).toBe(4);
  });

  it("names what is wrong", () => {
    const { operator } = randomMatrix(6, [1, 2, 3]);
    expect(() => extremeEigenpairs(operator, { k: 4, rng: rng() })).toThrow(/k: got 4, must be .* 1 to 3/);
    expect(() => extremeEigenpairs(operator, { k: 0, rng: rng() })).toThrow(/k: got 0/);
    expect(() => extremeEigenpairs(operator, { k: 1, rng: rng(), tolerance: -1 })).toThrow(
      /tolerance: got -1/,
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
  });

  it("is smoothed to a density", () => {
    const { operator } = randomMatrix(10, NETWORK_LIKE);
    const density = spectralDensity(operator, { probes: 4, steps: 20, rng: rng() });
    const step = 0.05;
    const grid = Float64Array.from({ length: 1000 }, (_, i) => -15 + i * step);
    const mass = smoothDensity(density, grid, 0.5).reduce((sum, x) => sum + x * step, 0);
    expect(mass).toBeCloseTo(1, 6);
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
    const estimates = Array.from(
      { length: 300 },
      (_, i) => hutchPlusPlusTrace(flat.operator, { products: 12, rng: rng(i) }).estimate,
    );
    const mean = estimates.reduce((a, b) => a + b, 0) / 300;
    const spread = Math.sqrt(estimates.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 299 / 300);
    expect(Math.abs(mean - 74.5)).toBeLessThan(4 * spread);
  });

  it("diagonal: within standard errors of the true one, exact for a diagonal matrix", () => {
    const { estimate, standardError } = hutchinsonDiagonal(operator, { samples: 2000, rng: rng() });
    const scores = Array.from(estimate, (x, i) => (x - matrix[i * 51]) / standardError[i]);
    const chiSquare = scores.reduce((sum, z) => sum + z * z, 0);
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
    expect(() => hutchPlusPlusTrace(operator, { products: 10, rng: rng() })).toThrow(/products \/ 3/);
    expect(() => matrixOperator(new Float64Array(8), 3)).toThrow(/length of matrix: got 8, must be 9/);
  });
});
