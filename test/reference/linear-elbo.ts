/** Bayesian linear regression by gradient descent on the negative ELBO, float64: densely, and mode by mode. */

export interface ElboProblem {
  d: number;
  N: number;
  /** X (N, d) and y (N). */
  inputs: ArrayLike<number>;
  labels: ArrayLike<number>;
}

/** m (d) and R (d, d), row-major. */
export interface ElboState {
  mean: Float64Array;
  factor: Float64Array;
}

/** y - X m. */
function residuals({ d, N, inputs, labels }: ElboProblem, mean: Float64Array): Float64Array {
  return Float64Array.from({ length: N }, (_, n) => {
    let r = labels[n];
    for (let i = 0; i < d; i++) r -= inputs[n * d + i] * mean[i];
    return r;
  });
}

/** X'X/N. */
function gramOf({ d, N, inputs }: ElboProblem): Float64Array {
  const gram = new Float64Array(d * d);
  for (let n = 0; n < N; n++)
    for (let i = 0; i < d; i++)
      for (let j = 0; j < d; j++) gram[i * d + j] += (inputs[n * d + i] * inputs[n * d + j]) / N;
  return gram;
}

function product(a: Float64Array, b: Float64Array, d: number): Float64Array {
  const c = new Float64Array(d * d);
  for (let i = 0; i < d; i++)
    for (let k = 0; k < d; k++) for (let j = 0; j < d; j++) c[i * d + j] += a[i * d + k] * b[k * d + j];
  return c;
}

function inner(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** Gauss-Jordan elimination with row pivoting: the inverse and log |det|. */
function invert(matrix: Float64Array, d: number): { inverse: Float64Array; logDet: number } {
  const rows = Array.from({ length: d }, (_, i) => [
    ...matrix.slice(i * d, (i + 1) * d),
    ...Array.from({ length: d }, (_, j) => (i === j ? 1 : 0)),
  ]);
  let logDet = 0;
  for (let k = 0; k < d; k++) {
    let pivot = k;
    for (let i = k; i < d; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    const scale = rows[k][k];
    logDet += Math.log(Math.abs(scale));
    rows[k] = rows[k].map((value) => value / scale);
    for (let i = 0; i < d; i++) {
      if (i === k) continue;
      const factor = rows[i][k];
      rows[i] = rows[i].map((value, j) => value - factor * rows[k][j]);
    }
  }
  return { inverse: Float64Array.from(rows.flatMap((row) => row.slice(d))), logDet };
}

/** R = |y - Xm|^2/N, V = tr C and VS = tr SC. */
export function denseMeasures(problem: ElboProblem, { mean, factor }: ElboState) {
  const r = residuals(problem, mean);
  return {
    R: inner(r, r) / problem.N,
    V: inner(factor, factor),
    VS: inner(product(gramOf(problem), factor, problem.d), factor),
  };
}

/** |y - Xm|^2/2N + tr(SC)/2 + (gam/2)(|m|^2 + tr C) - (tau/2) log det C, C = RR'. */
export function negativeElbo(problem: ElboProblem, state: ElboState, sig2: number, prior: number): number {
  const { R, V, VS } = denseMeasures(problem, state);
  const gam = prior * sig2;
  const { logDet } = invert(state.factor, problem.d);
  const size = inner(state.mean, state.mean) + V;
  return (R + VS + gam * size) / 2 - (sig2 / problem.N) * logDet;
}

/** Its gradient in m and R. */
export function elboGradient(problem: ElboProblem, state: ElboState, sig2: number, prior: number): ElboState {
  const { d, N, inputs } = problem;
  const { mean, factor } = state;
  const r = residuals(problem, mean);
  const gam = prior * sig2;
  const { inverse } = invert(factor, d);
  const gramFactor = product(gramOf(problem), factor, d);
  return {
    mean: mean.map((m, i) => {
      let sum = gam * m;
      for (let n = 0; n < N; n++) sum -= (inputs[n * d + i] * r[n]) / N;
      return sum;
    }),
    factor: factor.map((value, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      return gramFactor[at] + gam * value - (sig2 / N) * inverse[j * d + i];
    }),
  };
}

export interface ModeProblem {
  /** Eigenvalues of S. */
  s: ArrayLike<number>;
  N: number;
  /** Components of X'y/N and of the teacher. */
  target: ArrayLike<number>;
  teacher: ArrayLike<number>;
  /** |y|^2/N. */
  labelPower: number;
  u0: number;
  noise: "fixed" | "residual" | "elbo";
  sig2: number;
  prior: number;
}

/**
 * The same descent from m = 0, R = sqrt(u0/d) I in the eigenbasis of S, where R stays diagonal: exact in discrete time,
 *
 *   m <- m - eta (a m - h),   r <- r - eta (a r - tau/r),   a = s + gam.
 *
 * G, T, R, V and VS after each list of steps.
 */
export function descendModes(problem: ModeProblem, segments: readonly { steps: number; eta: number }[]) {
  const { s, N, target, teacher, labelPower, u0, noise, prior } = problem;
  const d = s.length;
  const m = new Float64Array(d);
  const r = new Float64Array(d).fill(Math.sqrt(u0 / d));
  const measure = () => {
    const sums = { G: 0, T: 0, R: labelPower, V: 0, VS: 0 };
    for (let i = 0; i < d; i++) {
      const error = m[i] - teacher[i];
      sums.G += error ** 2;
      sums.T += s[i] * error ** 2;
      sums.R += m[i] * (s[i] * m[i] - 2 * target[i]);
      sums.V += r[i] ** 2;
      sums.VS += s[i] * r[i] ** 2;
    }
    return sums;
  };
  return segments.map(({ steps, eta }) => {
    for (let k = 0; k < steps; k++) {
      const { R, VS } = measure();
      const sig2 = { fixed: problem.sig2, residual: R, elbo: R + VS }[noise];
      for (let i = 0; i < d; i++) {
        const a = s[i] + prior * sig2;
        m[i] -= eta * (a * m[i] - target[i]);
        r[i] -= eta * (a * r[i] - sig2 / N / r[i]);
      }
    }
    return measure();
  });
}
