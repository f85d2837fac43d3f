/** Bayesian linear regression in the numeric core: gradient descent on the negative ELBO, in float32. */
import { requireLength } from "../validate.ts";
import type { CoreExports } from "./exports.ts";
import { instantiateCore } from "./instance.ts";
import type { CoreModule } from "./module.ts";

export interface LinearElboProblem {
  /** Dimension and number of points. */
  d: number;
  N: number;
  /** X (N, d), row-major. */
  inputs: Float32Array;
  /** y (N). */
  labels: Float32Array;
  /** w* (d). The errors G and T are measured against it; training does not use it. */
  teacher: Float32Array;
  /** m (d) at the start. */
  mean: Float32Array;
  /** R (d, d), row-major, a regular matrix; or d standard deviations, for a diagonal covariance. */
  factor: Float32Array;
}

/** What one step needs to know besides the state. */
export interface LinearElboStep {
  /** Step size. */
  eta: number;
  /** `fixed` uses `sig2`; `residual` the mean squared residual R; `elbo` R + tr SC. */
  noise: "fixed" | "residual" | "elbo";
  /** Likelihood noise, for `fixed`. */
  sig2: number;
  /** gam/sig2 = d/(N wp2): 0 for a flat prior. */
  prior: number;
}

export interface LinearElboMeasures {
  G: number;
  T: number;
  R: number;
  V: number;
  VS: number;
}

const noiseCodes = { fixed: 0, residual: 1, elbo: 2 } as const;

/**
 * The state (m, R) of the posterior N(m, RR') and plain gradient descent on
 *
 *   |y - Xm|^2/2N + tr(SC)/2 + (gam/2)(|m|^2 + tr C) - (tau/2) log det C,   C = RR', tau = sig2/N.
 *
 * A step costs about six products of (d, d) matrices, or O(Nd) with a diagonal factor. Sums are taken in float64; state
 * and matrices are float32, which limits two things. The mean stalls once a step moves a coordinate by less than its
 * resolution: G stays above about (2^-24/(eta s))^2 |w*|^2 for the slowest mode s. The factor may have a condition
 * number of some ten thousand (eigenvalues of C over nine decades), beyond which `step` throws. V keeps its relative
 * accuracy however small it becomes; VS has an absolute accuracy of about 1e-7 V.
 */
export class LinearElbo {
  readonly #core: CoreExports;
  readonly #d: number;
  readonly #full: boolean;
  readonly #stride: number;

  /** @throws RangeError for arrays of the wrong length, or for a problem beyond 4 GiB */
  constructor(core: CoreModule, problem: LinearElboProblem) {
    const { d, N, inputs, labels, teacher, mean, factor } = problem;
    requireLength("inputs", inputs, N * d, "N x d");
    requireLength("labels", labels, N, "N");
    requireLength("teacher", teacher, d, "d");
    requireLength("mean", mean, d, "d");
    this.#full = factor.length !== d || d === 1;
    requireLength("factor", factor, this.#full ? d * d : d, "d x d or d");
    this.#d = d;
    // A fresh instance: what lies between d and the stride has to be 0.
    this.#core = instantiateCore(core);
    const bytes = this.#core.elboPlan(d, N, this.#full);
    if (bytes > 2 ** 32 || !this.#core.grow(bytes))
      throw new RangeError(`d: got ${d} with N ${N}, which does not fit into memory`);
    this.#stride = this.#core.elboStride();
    this.#write(this.#core.elboInputs(), inputs, N);
    this.#write(this.#core.elboTeacher(), teacher, 1);
    this.#write(this.#core.elboMean(), mean, 1);
    this.#write(this.#core.elboFactor(), factor, this.#full ? d : 1);
    new Float32Array(this.#core.memory.buffer, this.#core.elboLabels(), N).set(labels);
    this.#core.elboBegin();
  }

  /** @throws Error if the factor is too close to a singular matrix for float32 */
  step({ eta, noise, sig2, prior }: LinearElboStep): void {
    if (!this.#core.elboStep(eta, noiseCodes[noise], sig2, prior))
      throw new Error(
        "the covariance became singular in float32: its eigenvalues spread over more than nine decades, or eta is too large",
      );
  }

  /** G = |m - w*|^2, T = (m - w*)'S(m - w*), R = |y - Xm|^2/N, V = tr C and VS = tr SC. */
  measure(): LinearElboMeasures {
    this.#core.elboMeasure();
    const [G, T, R, V, VS] = new Float64Array(this.#core.memory.buffer, this.#core.elboMeasures(), 5);
    return { G, T, R, V, VS };
  }

  /** A copy of m (d). */
  get mean(): Float32Array {
    return this.#read(this.#core.elboMean(), 1);
  }

  /** A copy of R (d, d), or of the standard deviations (d). */
  get factor(): Float32Array {
    return this.#read(this.#core.elboFactor(), this.#full ? this.#d : 1);
  }

  #write(address: number, values: Float32Array, rows: number): void {
    const target = new Float32Array(this.#core.memory.buffer, address, rows * this.#stride);
    for (let i = 0; i < rows; i++)
      target.set(values.subarray(i * this.#d, (i + 1) * this.#d), i * this.#stride);
  }

  #read(address: number, rows: number): Float32Array {
    const source = new Float32Array(this.#core.memory.buffer, address, rows * this.#stride);
    const values = new Float32Array(rows * this.#d);
    for (let i = 0; i < rows; i++)
      values.set(source.subarray(i * this.#stride, i * this.#stride + this.#d), i * this.#d);
    return values;
  }
}
