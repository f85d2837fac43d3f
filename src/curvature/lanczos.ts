/**
 * The Lanczos process with full reorthogonalisation, and what is read off it: extreme eigenpairs, spectral density,
 * and functions of a matrix. Every basis vector is kept (steps x size float64); without reorthogonalisation converged
 * eigenvalues would come back as ghosts.
 */
import { normals, type RandomGenerator } from "../random.ts";
import {
  refuse,
  requireCount,
  requireFunction,
  requireInteger,
  requireKept,
  requireKeys,
  requireLength,
  requireList,
  requireNonEmpty,
  requireObject,
  requireOneOf,
  requirePositive,
  requireVector,
} from "../validate.ts";
import { type LinearOperator, requireOperator } from "./operators.ts";
import { addScaled, dot, norm, orthogonalise, type SymmetricEigen, scale, symmetricEigen } from "./vector.ts";

/** Off-diagonal elements below this fraction of the largest eigenvalue mean an invariant subspace. */
const BREAKDOWN = 1e-12;

/**
 * Grows an orthonormal basis Q of a Krylov space in which A is tridiagonal: Q' A Q = T. Of an operator with a root the
 * projection is (R Q)' R Q instead: rounding of its products then leaves eigenvalues near 0 what its square does.
 */
class LanczosProcess {
  readonly basis: Float64Array[] = [];
  readonly #operator: LinearOperator;
  readonly #locked: readonly Float64Array[];
  /** R Q. */
  readonly #images: Float64Array[] = [];
  /** The lower triangle of the projection, by rows: those of T, or of (R Q)' R Q. */
  readonly #rows: number[][] = [];
  /** Length of what is left of A q of the newest vector, the next one. */
  #beta = Number.POSITIVE_INFINITY;
  #next: Float64Array;
  #largest: number;

  /**
   * @param locked orthonormal vectors to whose complement A is restricted
   * @param largest of the |eigenvalues| of A, as far as they are known
   */
  constructor(
    operator: LinearOperator,
    start: Float64Array,
    { locked = [], largest = 0 }: { locked?: readonly Float64Array[]; largest?: number } = {},
  ) {
    requireLength("start", start, operator.size);
    this.#operator = operator;
    this.#locked = locked;
    this.#largest = largest;
    this.#next = start.slice();
    orthogonalise(this.#next, locked);
    scale(this.#next, 1 / requirePositive("norm of start", norm(this.#next)));
  }

  /** Whether the space is invariant: there is no next vector. */
  get complete(): boolean {
    return this.#beta === 0;
  }

  /** Largest |eigenvalue| seen, a lower bound. */
  get largest(): number {
    return this.#largest;
  }

  step(): void {
    const q = this.#next;
    const w = this.#project(q);
    const m = this.basis.push(q);
    // Of both together: what is left of the locked ones in q would otherwise come back with it, larger at every step by
    // the eigenvalues over their spread.
    orthogonalise(w, [...this.#locked, ...this.basis]);
    const beta = norm(w);
    this.#largest = Math.max(this.#largest, Math.abs(this.#rows[m - 1][m - 1]));
    const whole = m + this.#locked.length === this.#operator.size;
    // Of the first vector alone nothing says how large A is.
    const size = Math.max(this.#largest, beta);
    this.#beta = whole || beta <= BREAKDOWN * size ? 0 : beta;
    if (this.#beta > 0) scale(w, 1 / beta);
    this.#next = w;
  }

  /** Appends the row of q to the projection; returns A q. */
  #project(q: Float64Array): Float64Array {
    const { root } = this.#operator;
    const row = new Array<number>(this.basis.length).fill(0);
    let w: Float64Array;
    if (root) {
      const y = root.product(q);
      this.#images.forEach((image, i) => {
        row[i] = dot(image, y);
      });
      row.push(dot(y, y));
      this.#images.push(y);
      w = root.transposed(y);
    } else {
      w = this.#operator.matvec(q);
      if (row.length > 0) row[row.length - 1] = this.#beta;
      row.push(dot(q, w));
    }
    if (!Number.isFinite(row[row.length - 1]))
      throw new RangeError("the operator gave a product that is not finite");
    this.#rows.push(row);
    return w;
  }

  /** Eigen-decomposition of the projection of A. */
  ritz(): SymmetricEigen {
    const m = this.#rows.length;
    const matrix = new Float64Array(m * m);
    this.#rows.forEach((row, i) => {
      row.forEach((x, j) => {
        matrix[i * m + j] = matrix[j * m + i] = x;
      });
    });
    return symmetricEigen(matrix, m);
  }

  /** Eigenpairs of the projection; in the order of their eigenvalues times `sign`, descending. */
  pairs(sign: number): RitzPair[] {
    const { eigenvalues, eigenvectors } = this.ritz();
    for (const value of eigenvalues) this.#largest = Math.max(this.#largest, Math.abs(value));
    const pairs = Array.from(eigenvalues, (value, i): RitzPair => {
      const coefficients = eigenvectors[i];
      return {
        value,
        residual: this.#beta * Math.abs(coefficients[coefficients.length - 1]),
        vector: () => combine(this.basis, coefficients),
      };
    });
    return pairs.sort((a, b) => sign * (b.value - a.value));
  }
}

/** An eigenpair (value, u) of a projection of A, with |A u - value u|. */
interface RitzPair {
  value: number;
  residual: number;
  /** Makes u. */
  vector: () => Float64Array;
}

/** An eigenpair taken in. */
interface Eigenpair {
  value: number;
  residual: number;
  u: Float64Array;
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
  /** Products with A at most, at least k. Default 20 k + 200. */
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
  /**
   * Whether all residuals met the tolerance and a search on the complement of the pairs, from a random direction, found
   * nothing beyond them. If not, the pairs are the best found: others may be missing among them.
   */
  converged: boolean;
}

/**
 * The k largest or smallest eigenpairs. One Krylov space knows a multiple eigenvalue once, and of near copies only one
 * for long. So once k pairs are accurate they are locked, and a new process from a random direction searches their
 * complement; what it finds beyond them takes its place among them, until a search finds nothing.
 *
 * @throws RangeError if k is not in 1 .. size, or fewer products are allowed than pairs are asked for
 */
export function extremeEigenpairs(operator: LinearOperator, options: EigenpairOptions): Eigenpairs {
  requireOperator(operator);
  requireKeys("extremeEigenpairs", options, ["k", "rng", "which", "tolerance", "maxIterations"]);
  const { k, rng, which = "largest", tolerance = 1e-6, maxIterations = 20 * k + 200 } = options;
  const { size } = operator;
  requireCount("k", k, size);
  requireOneOf("which", which, ["largest", "smallest"]);
  requirePositive("tolerance", tolerance);
  requireInteger("maxIterations", maxIterations, k);
  const sign = which === "largest" ? 1 : -1;
  let found: Eigenpair[] = [];
  let [iterations, largest, converged] = [0, 0, false];
  while (!converged && iterations < maxIterations) {
    const start = new Float64Array(size);
    normals(rng, start);
    const process = new LanczosProcess(operator, start, { locked: found.map(({ u }) => u), largest });
    const worst = found.length === k ? found[k - 1].value : undefined;
    let search: Search | undefined;
    while (!search) {
      process.step();
      search = searched(process, { sign, worst, wanted: k - found.length, tolerance });
      if (++iterations === maxIterations) search ??= { pairs: process.pairs(sign), over: false };
    }
    largest = process.largest;
    found = [...found, ...search.pairs.map(({ vector, ...pair }) => ({ ...pair, u: vector() }))]
      .sort((a, b) => sign * (b.value - a.value))
      .slice(0, k);
    const accurate = found.length === k && found.every(({ residual }) => residual <= tolerance * largest);
    converged = accurate && (search.over || k === size);
  }
  return {
    eigenvalues: Float64Array.from(found, ({ value }) => value),
    eigenvectors: found.map(({ u }) => u),
    residuals: Float64Array.from(found, ({ residual }) => residual),
    iterations,
    converged,
  };
}

/** What a process on the complement of the pairs found so far has come to. */
interface Search {
  /** To be taken in. */
  pairs: RitzPair[];
  /** Whether there is nothing beyond the pairs there are. */
  over: boolean;
}

/** undefined: not done yet. `worst` is the last of k pairs, undefined as long as pairs are `wanted`. */
function searched(
  process: LanczosProcess,
  { sign, worst, wanted, tolerance }: { sign: number; worst?: number; wanted: number; tolerance: number },
): Search | undefined {
  const m = process.basis.length;
  const due = m >= 2 * wanted && m % Math.max(5, Math.ceil(m / 10)) === 0;
  if (!due && !process.complete) return undefined;
  const pairs = process.pairs(sign);
  const resolution = tolerance * process.largest;
  const accurate = ({ residual }: RitzPair) => residual <= resolution;
  if (worst === undefined) {
    const top = pairs.slice(0, wanted);
    const enough = top.length === wanted && top.every(accurate);
    return enough || process.complete ? { pairs: top, over: false } : undefined;
  }
  const beyond = pairs.filter(({ value }) => sign * (value - worst) > resolution);
  if (beyond.length > 0)
    return accurate(beyond[0]) ? { pairs: beyond.filter(accurate), over: false } : undefined;
  const nothing =
    process.complete ||
    accurate(pairs[0]) ||
    furthest(pairs, sign, process.basis[0].length) <= sign * worst + resolution;
  return nothing ? { pairs: [], over: true } : undefined;
}

/** Probability with which an eigenvalue may lie beyond `furthest`. */
const OVERSIGHT = 1e-6;

/**
 * How far out (times `sign`) the end of a spectrum may be, by the Ritz pairs of m steps from a random direction of n
 * dimensions: the relative error of the outermost one exceeds e with a probability of at most 1.648 sqrt(n)
 * exp(-sqrt(e) (2 m - 1)) (Kuczynski and Wozniakowski 1992).
 */
function furthest(pairs: readonly RitzPair[], sign: number, n: number): number {
  const error = (Math.log((1.648 * Math.sqrt(n)) / OVERSIGHT) / (2 * pairs.length - 1)) ** 2;
  if (error >= 0.5) return Number.POSITIVE_INFINITY;
  const [first, last] = [sign * pairs[0].value, sign * pairs[pairs.length - 1].value];
  // The other end of the spectrum is known as well as this one.
  return first + (error * (first - last)) / (1 - 2 * error);
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
  options: { probes: number; steps: number; rng: RandomGenerator },
): SpectralDensity {
  requireOperator(operator);
  requireKeys("spectralDensity", options, ["probes", "steps", "rng"]);
  const { probes, steps, rng } = options;
  requireKept("probes", probes);
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
  density: SpectralDensity,
  f: (eigenvalue: number) => number,
): { estimate: number; standardError: number } {
  requireFunction("f", f);
  const { size, quadratures } = requireDensity(density);
  const values = quadratures.map(
    ({ nodes, weights }) => size * nodes.reduce((sum, node, i) => sum + weights[i] * f(node), 0),
  );
  return meanWithError(values);
}

function requireDensity(density: SpectralDensity): SpectralDensity {
  const { size, quadratures } = requireObject("density", density);
  requireCount("density.size", size);
  if (!Array.isArray(quadratures)) refuse("density.quadratures", quadratures, "a list");
  requireNonEmpty("density.quadratures", quadratures);
  return density;
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
  density: SpectralDensity,
  grid: ArrayLike<number>,
  width: number,
): Float64Array {
  const { quadratures } = requireDensity(density);
  requireList("grid", grid);
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
  requireOperator(operator);
  requireFunction("f", f);
  requireVector("v", v);
  requireCount("steps", steps);
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
