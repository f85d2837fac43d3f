/**
 * The Lanczos process with full reorthogonalisation, and what is read off it: extreme eigenpairs, spectral density,
 * and functions of a matrix. Every basis vector is kept (steps x size float64); without reorthogonalisation converged
 * eigenvalues would come back as ghosts.
 */
import { normals, type RandomGenerator } from "../random.ts";
import { requireCount, requireLength, requireOneOf, requirePositive } from "../validate.ts";
import type { LinearOperator } from "./operators.ts";
import {
  addScaled,
  dot,
  norm,
  orthogonalise,
  type SymmetricEigen,
  scale,
  tridiagonalEigen,
} from "./vector.ts";

/** Off-diagonal elements below this fraction of the tridiagonal matrix' norm mean an invariant subspace. */
const BREAKDOWN = 1e-12;

/** Grows an orthonormal basis Q of a Krylov space in which A is tridiagonal: Q' A Q = T. */
class LanczosProcess {
  readonly basis: Float64Array[] = [];
  /** Diagonal of T. */
  readonly alpha: number[] = [];
  /** beta[j] couples basis vectors j and j+1; the last one belongs to the vector that comes next. */
  readonly beta: number[] = [];
  readonly #operator: LinearOperator;
  #next: Float64Array;
  #scale = 0;

  constructor(operator: LinearOperator, start: Float64Array) {
    requireLength("start", start, operator.size);
    const length = requirePositive("norm of start", norm(start));
    this.#operator = operator;
    this.#next = start.map((x) => x / length);
  }

  /** Whether the space is invariant: there is no next vector. */
  get complete(): boolean {
    return this.beta.length > 0 && this.beta[this.beta.length - 1] === 0;
  }

  step(): void {
    const q = this.#next;
    const w = this.#operator.matvec(q);
    const alpha = dot(q, w);
    if (!Number.isFinite(alpha)) throw new RangeError("the operator gave a product that is not finite");
    this.basis.push(q);
    orthogonalise(w, this.basis);
    let beta = norm(w);
    this.#scale = Math.max(this.#scale, Math.abs(alpha), beta);
    if (beta <= BREAKDOWN * this.#scale || this.basis.length === this.#operator.size) beta = 0;
    else scale(w, 1 / beta);
    this.alpha.push(alpha);
    this.beta.push(beta);
    this.#next = w;
  }

  /** Go on from a random direction orthogonal to the invariant space found so far. */
  restart(rng: RandomGenerator): void {
    normals(rng, this.#next as Float64Array<ArrayBuffer>);
    orthogonalise(this.#next, this.basis);
    scale(this.#next, 1 / norm(this.#next));
  }

  /** Eigen-decomposition of T from row `first` on. */
  ritz(first = 0): SymmetricEigen {
    return tridiagonalEigen(this.alpha.slice(first), this.beta.slice(first, -1));
  }
}

/** At most `steps` steps from `start`; fewer if the Krylov space ends before. */
function run(operator: LinearOperator, start: Float64Array, steps: number): LanczosProcess {
  const process = new LanczosProcess(operator, start);
  while (process.basis.length < steps && !process.complete) process.step();
  return process;
}

export interface EigenpairOptions {
  /** Number of eigenpairs, 1 .. size. */
  k: number;
  rng: RandomGenerator;
  /** Which end of the spectrum. Default `largest`. */
  which?: "largest" | "smallest";
  /** Largest residual |A u - lambda u| as a fraction of the largest |eigenvalue|. Default 1e-6. */
  tolerance?: number;
  /** Products with A at most. Default 10 k + 100. */
  maxIterations?: number;
}

/** What `extremeEigenpairs` has found. */
export interface Eigenpairs {
  /** (k), from the wanted end inwards: descending for `largest`, ascending for `smallest`. */
  eigenvalues: Float64Array;
  /** Orthonormal. */
  eigenvectors: Float64Array[];
  /** (k): Lanczos' estimate of |A u - lambda u|. */
  residuals: Float64Array;
  /** Products with A. */
  iterations: number;
  /** Whether all residuals met the tolerance; if not, the pairs are the best found. */
  converged: boolean;
}

/**
 * The k largest or smallest eigenpairs. A multiple eigenvalue shows up once per invariant subspace, so after each one
 * the process goes on in a random new direction until that finds nothing better than the k pairs there are.
 *
 * @throws RangeError if k is not in 1 .. size
 */
export function extremeEigenpairs(
  operator: LinearOperator,
  { k, rng, which = "largest", tolerance = 1e-6, maxIterations = 10 * k + 100 }: EigenpairOptions,
): Eigenpairs {
  const { size } = operator;
  requireCount("k", k, size);
  requireOneOf("which", which, ["largest", "smallest"]);
  requirePositive("tolerance", tolerance);
  const most = Math.min(size, Math.max(k, requireCount("maxIterations", maxIterations)));
  const sign = which === "largest" ? 1 : -1;
  const start = new Float64Array(size);
  normals(rng, start);
  const process = new LanczosProcess(operator, start);
  /** First row of the part of T that is coupled to the newest vector. */
  let block = 0;
  for (;;) {
    process.step();
    const m = process.basis.length;
    const due = m === most || process.complete || (m >= 2 * k && m % Math.max(5, Math.ceil(m / 10)) === 0);
    if (due && m >= k) {
      const all = process.ritz();
      const order = Array.from(all.eigenvalues, (_, i) => i)
        .sort((a, b) => sign * (all.eigenvalues[b] - all.eigenvalues[a]))
        .slice(0, k);
      const residual = (vector: Float64Array) => process.beta[m - 1] * Math.abs(vector[vector.length - 1]);
      const largest = all.eigenvalues.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const residuals = Float64Array.from(order, (i) => residual(all.eigenvectors[i]));
      const accurate = residuals.every((r) => r <= tolerance * largest);
      const worst = sign * all.eigenvalues[order[k - 1]];
      const exhausted =
        block === 0 || !improves(process.ritz(block), sign, worst, tolerance * largest, residual);
      const converged = m === size || (accurate && (process.complete ? block > 0 && exhausted : exhausted));
      if (converged || m === most) {
        return {
          eigenvalues: Float64Array.from(order, (i) => all.eigenvalues[i]),
          eigenvectors: order.map((i) => combine(process.basis, all.eigenvectors[i])),
          residuals,
          iterations: m,
          converged,
        };
      }
    }
    if (process.complete) {
      process.restart(rng);
      block = m;
    }
  }
}

/** Whether the newest part of T has, or may still get, a value beyond the worst of the k kept. */
function improves(
  part: SymmetricEigen,
  sign: number,
  worst: number,
  tolerance: number,
  residual: (vector: Float64Array) => number,
): boolean {
  const best = sign > 0 ? part.eigenvalues.length - 1 : 0;
  const reach = sign * part.eigenvalues[best] + residual(part.eigenvectors[best]);
  return reach > worst + tolerance;
}

/** sum_j coefficients[j] basis[j]. */
function combine(basis: readonly Float64Array[], coefficients: Float64Array): Float64Array {
  const sum = new Float64Array(basis[0].length);
  basis.forEach((q, j) => {
    addScaled(sum, coefficients[j], q);
  });
  return sum;
}

/** Several discrete measures on the real line whose average approximates the spectral density. */
export interface SpectralDensity {
  size: number;
  /** One Gauss quadrature per probe: its nodes, and weights that sum to 1. */
  quadratures: { nodes: Float64Array; weights: Float64Array }[];
}

/**
 * Stochastic Lanczos quadrature (Ubaru, Chen, Saad 2017; for networks Ghorbani et al., arXiv 1901.10159).
 * `probes` are random start vectors: the error falls as 1 / sqrt(probes). `steps` are the Lanczos steps of each:
 * polynomials up to degree 2 steps - 1 are integrated exactly.
 */
export function spectralDensity(
  operator: LinearOperator,
  { probes, steps, rng }: { probes: number; steps: number; rng: RandomGenerator },
): SpectralDensity {
  requireCount("probes", probes);
  requireCount("steps", steps);
  const start = new Float64Array(operator.size);
  const quadratures = Array.from({ length: probes }, () => {
    normals(rng, start);
    const { eigenvalues, eigenvectors } = run(operator, start, steps).ritz();
    return { nodes: eigenvalues, weights: Float64Array.from(eigenvectors, (u) => u[0] ** 2) };
  });
  return { size: operator.size, quadratures };
}

/** tr f(A) from the density, with the standard error over the probes (NaN for one probe). */
export function spectralTrace(
  { size, quadratures }: SpectralDensity,
  f: (eigenvalue: number) => number,
): { estimate: number; standardError: number } {
  const values = quadratures.map(
    ({ nodes, weights }) => size * nodes.reduce((sum, node, i) => sum + weights[i] * f(node), 0),
  );
  return meanWithError(values);
}

/** Mean and its standard error (NaN for a single value). */
export function meanWithError(values: readonly number[]): { estimate: number; standardError: number } {
  const n = values.length;
  const estimate = values.reduce((a, b) => a + b, 0) / n;
  const squares = values.reduce((sum, x) => sum + (x - estimate) ** 2, 0);
  return { estimate, standardError: n > 1 ? Math.sqrt(squares / (n - 1) / n) : Number.NaN };
}

/** The density at the grid points, each node spread to a normal of standard deviation `width`; integrates to 1. */
export function smoothDensity(
  { quadratures }: SpectralDensity,
  grid: ArrayLike<number>,
  width: number,
): Float64Array {
  requirePositive("width", width);
  const peak = 1 / (Math.sqrt(2 * Math.PI) * width * quadratures.length);
  return Float64Array.from(grid, (x) => {
    let sum = 0;
    for (const { nodes, weights } of quadratures)
      for (let i = 0; i < nodes.length; i++)
        sum += weights[i] * Math.exp(-0.5 * ((x - nodes[i]) / width) ** 2);
    return peak * sum;
  });
}

/**
 * f(A) v by Lanczos: |v| Q f(T) e_1. Exact when `steps` reaches the number of different eigenvalues, and for
 * polynomials of degree below `steps`.
 */
export function applyFunction(
  operator: LinearOperator,
  f: (eigenvalue: number) => number,
  v: Float64Array,
  steps: number,
): Float64Array {
  const length = norm(v);
  if (length === 0) return new Float64Array(v.length);
  const process = run(operator, v, steps);
  const { eigenvalues, eigenvectors } = process.ritz();
  const coefficients = new Float64Array(process.basis.length);
  eigenvectors.forEach((u, i) => {
    addScaled(coefficients, length * u[0] * f(eigenvalues[i]), u);
  });
  return combine(process.basis, coefficients);
}
