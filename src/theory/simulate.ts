/**
 * Finite-size draws of the linear model: X is drawn and its S = X'X/N decomposed; the dynamics of each eigenmode are
 * then exact (fixed noise) or integrated (learned noise).
 */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { normals, type RandomGenerator, stream } from "../random.ts";
import {
  keysOf,
  refuse,
  requireCount,
  requireKept,
  requireKeys,
  requireLength,
  requireList,
  requireNonNegative,
  requireOneOf,
  requirePositive,
  requirePositiveOrInfinite,
} from "../validate.ts";
import { fixedNoiseParameters } from "./fixed-noise.ts";
import {
  fixedModes,
  learnedModes,
  type ModeCurves,
  type ModeSystem,
  type NoiseMode,
  noiseModes,
} from "./modes.ts";

/** What `simulate` draws, and at which times. */
export interface SimulationInput {
  /** Input dimension. */
  d: number;
  /** Number of training points. */
  N: number;
  /** Times; in non-decreasing order unless `noise` is `fixed`. */
  t: readonly number[];
  /** How sig2 is set. */
  noise: NoiseMode;
  /** |w*|^2 exactly, in a uniformly random direction; 1 by default. */
  w2?: number;
  /** E|m(0)|^2; 0 by default. */
  k2?: number;
  /** Variance of the label noise; 0 by default. */
  sn2?: number;
  /** Likelihood noise, for `fixed` only; `sn2` by default. */
  sig2?: number;
  /** Total prior variance d/alpha: by default `w2` for `fixed` and Infinity, the flat prior, otherwise. */
  wp2?: number;
  /** Initial tr C; by default `w2 + k2` for `fixed` and 0.01 (w2 + k2) otherwise. */
  u0?: number;
  /** Independent draws of X, teacher, initial mean and label noise; 5 by default. */
  draws?: number;
  /** Root of the random streams; draw i uses (seed, i). */
  seed?: number;
  /** Eigenvalues per draw from `sampleSpectra` with the same d, N and seed, to use them in several calls. */
  spectra?: readonly Float64Array[];
  /** Local relative error per step of the integrator, for learned noise; 1e-8 by default. */
  tolerance?: number;
}

const SIMULATION = keysOf<SimulationInput>({
  ...{ d: true, N: true, t: true, noise: true, draws: true, seed: true, spectra: true, tolerance: true },
  ...{ w2: true, k2: true, sn2: true, sig2: true, wp2: true, u0: true },
});

/** The curves of `simulate`: those of `fixedNoise`, and sig2. */
export type SimulationField = keyof ModeCurves;

/** One list over the times per field. */
export type SimulationCurves = Record<SimulationField, number[]>;

/** The curves of every draw of `simulate`, with their mean and spread. */
export interface Simulation {
  lambda: number;
  t: number[];
  draws: SimulationCurves[];
  mean: SimulationCurves;
  /** Standard deviation over draws (n - 1 in the denominator); 0 for a single draw. */
  sd: SimulationCurves;
}

const fields = ["G", "T", "R", "V", "VS", "MI", "sig2"] as const satisfies readonly SimulationField[];

/**
 * Simulate draws of size (d, N) and summarise them. Fields as in `fixedNoise` and `residualNoise`; MI is NaN while
 * sig2 = 0. An eigen-decomposition of order min(d, N) per draw dominates the cost; with learned noise the work also
 * grows like the largest t.
 *
 * @throws RangeError for d or N that are not positive integers and for values outside their range
 */
export function simulate(input: SimulationInput): Simulation {
  requireKeys("simulate", input, SIMULATION);
  requireList("t", input.t);
  const d = requireCount("d", input.d);
  const N = requireCount("N", input.N);
  const draws = requireKept("draws", input.draws ?? 5);
  const noise = requireOneOf("noise", input.noise, noiseModes);
  for (const time of input.t) requireNonNegative("t", time);
  const lambda = d / N;
  const p = drawParameters(input, noise, lambda);
  const tolerance = requirePositive("tolerance", input.tolerance ?? 1e-8);
  const seed = input.seed ?? 0;
  if (input.spectra && input.spectra.length < draws)
    refuse("length of spectra", input.spectra.length, `at least the ${draws} draws`);
  for (const s of input.spectra ?? []) requireLength("a spectrum", s, d, "the eigenvalues of S");
  const results = Array.from({ length: draws }, (_, draw) => {
    const s = input.spectra?.[draw] ?? sampleSpectrum(d, N, seed, draw);
    const system = drawSystem(s, N, p, stream(seed, draw, "theorySystem"));
    return collect(
      noise === "fixed"
        ? fixedModes(system, input.t, p.sig2)
        : learnedModes(system, input.t, noise, tolerance),
    );
  });
  return { lambda, t: [...input.t], draws: results, ...summarise(results) };
}

export type Parameters = Omit<ReturnType<typeof fixedNoiseParameters>, "gam" | "q">;

/** Fill in the defaults of a finite-size draw and check the ranges. */
export function drawParameters(
  input: Pick<SimulationInput, keyof Parameters>,
  noise: NoiseMode,
  lambda: number,
): Parameters {
  if (noise === "fixed") return fixedNoiseParameters(input, lambda);
  const w2 = requireNonNegative("w2", input.w2 ?? 1);
  const k2 = requireNonNegative("k2", input.k2 ?? 0);
  requirePositive("w2 + k2", w2 + k2);
  return {
    w2,
    k2,
    sn2: requireNonNegative("sn2", input.sn2 ?? 0),
    sig2: 0,
    wp2: requirePositiveOrInfinite("wp2", input.wp2 ?? Infinity),
    u0: requireNonNegative("u0", input.u0 ?? 0.01 * (w2 + k2)),
  };
}

/**
 * The eigenvalues that `simulate` uses for each draw of a (d, N, seed).
 *
 * @throws RangeError for d, N or draws that are not positive integers
 */
export function sampleSpectra(input: { d: number; N: number; draws: number; seed?: number }): Float64Array[] {
  requireKeys("sampleSpectra", input, ["d", "N", "draws", "seed"]);
  const d = requireCount("d", input.d);
  const N = requireCount("N", input.N);
  return Array.from({ length: requireKept("draws", input.draws) }, (_, draw) =>
    sampleSpectrum(d, N, input.seed ?? 0, draw),
  );
}

/** Of one draw: 1 GiB. */
const MOST_INPUTS = 2 ** 27;

/**
 * One draw of X, of shape (N, d) with standard normal entries. It is stored along its short side, as X' (d, N) for
 * d <= N and as X (N, d) otherwise; (n, i) are the strides of a point and of a coordinate.
 */
export function drawInputs(d: number, N: number, seed: number, draw: number) {
  if (d * N > MOST_INPUTS) refuse("N", N, `at most ${Math.floor(MOST_INPUTS / d)} with d = ${d}`);
  const values = new Float64Array(d * N);
  normals(stream(seed, draw, "theoryInputs"), values);
  return { values, n: d <= N ? 1 : d, i: d <= N ? N : 1 };
}

/** Eigenvalues of X'X/N, `d` values with zeros first. The smaller of X'X and XX' is decomposed. */
function sampleSpectrum(d: number, N: number, seed: number, draw: number): Float64Array {
  const size = Math.min(d, N);
  const other = Math.max(d, N);
  const { values: x } = drawInputs(d, N, seed, draw);
  const gram = new Matrix(size, size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let n = 0; n < other; n++) dot += x[i * other + n] * x[j * other + n];
      gram.set(i, j, dot / N);
      gram.set(j, i, dot / N);
    }
  }
  const values = new EigenvalueDecomposition(gram, { assumeSymmetric: true }).realEigenvalues;
  const result = new Float64Array(d);
  // Rounding may leave an eigenvalue of a singular S just below 0.
  result.set(Float64Array.from(values, (value) => Math.max(0, value)).sort(), d - size);
  return result;
}

/**
 * One draw as a mode system. X is rotation invariant, so teacher, initial mean and noise are drawn directly in the
 * eigenbasis.
 */
function drawSystem(s: Float64Array, N: number, p: Parameters, rng: RandomGenerator): ModeSystem {
  const d = s.length;
  const gaussian = (count: number, scale: number) => {
    const values = new Float64Array(count);
    normals(rng, values);
    return values.map((value) => scale * value);
  };
  const direction = gaussian(d, 1);
  const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const teacher = direction.map((value) => (Math.sqrt(p.w2) * value) / length);
  const initial = gaussian(d, Math.sqrt(p.k2 / d));
  // Noise in the coordinates of the N left singular vectors, divided by sqrt(N): the first min(d, N) meet a mode.
  const noise = gaussian(N, Math.sqrt(p.sn2 / N));
  const zeros = Math.max(0, d - N);
  let outside = 0;
  for (let i = d - zeros; i < N; i++) outside += noise[i] * noise[i];
  return {
    lambda: d / N,
    s,
    u0: p.u0,
    wp2: p.wp2,
    observe: ({ b, k, z, u }) => {
      const sums = { G: 0, T: 0, R: outside, V: 0, VS: 0 };
      for (let i = 0; i < d; i++) {
        const root = Math.sqrt(s[i]);
        const xi = i >= zeros ? noise[i - zeros] : 0;
        const error = -b[i] * teacher[i] + k[i] * initial[i] + z[i] * root * xi;
        sums.G += error * error;
        sums.T += s[i] * error * error;
        sums.V += u[i] / d;
        sums.VS += (s[i] * u[i]) / d;
        if (i < zeros) continue;
        const residual = root * (-b[i] * teacher[i] + k[i] * initial[i]) - (1 - s[i] * z[i]) * xi;
        sums.R += residual * residual;
      }
      return sums;
    },
  };
}

/** One list per field out of one record per time. */
export function collect(rows: ModeCurves[]): SimulationCurves {
  return perField((field) => rows.map((row) => row[field]));
}

/** Mean and standard deviation over draws, time by time. */
export function summarise(draws: SimulationCurves[]): { mean: SimulationCurves; sd: SimulationCurves } {
  const n = draws.length;
  const mean = perField((field) =>
    draws[0][field].map((_, i) => draws.reduce((sum, draw) => sum + draw[field][i], 0) / n),
  );
  const sd = perField((field) =>
    mean[field].map((centre, i) => {
      const squares = draws.reduce((sum, draw) => sum + (draw[field][i] - centre) ** 2, 0);
      return n > 1 ? Math.sqrt(squares / (n - 1)) : 0;
    }),
  );
  return { mean, sd };
}

function perField(values: (field: SimulationField) => number[]): SimulationCurves {
  return Object.fromEntries(fields.map((field) => [field, values(field)])) as SimulationCurves;
}
