/**
 * How far one draw of the linear model of dimension d lies from the limit, to leading order in 1/d; teacher of unit
 * norm, no initial mean.
 *
 * Two sources: the eigenvalues, through linear statistics sum phi(s_i) (Bai and Silverstein, Ann. Probab. 32 (2004) 553,
 * real case), and the directions of teacher and label noise, which enter each mode as the square of a Gaussian.
 */

const nodes = 400;
const harmonics = 60;

/** Of one draw from the limit: in the mean, and its standard deviation. */
export interface Deviation {
  bias: number;
  sd: number;
}

/** Midpoints of theta in s = 1 + lambda + 2 sqrt(lambda) cos(theta), with the weights of the continuous part. */
function chebyshev(lambda: number) {
  return Array.from({ length: nodes }, (_, i) => {
    const theta = ((i + 0.5) * Math.PI) / nodes;
    const s = 1 + lambda + 2 * Math.sqrt(lambda) * Math.cos(theta);
    return { theta, s, weight: (2 * Math.sin(theta) ** 2) / (nodes * s) };
  });
}

/** Bias and standard deviation of the average of phi over d eigenvalues; phi smooth on the scale d^(-2/3) of the edges. */
function linearStatistic(d: number, lambda: number, phi: (s: number) => number): Deviation {
  const grid = chebyshev(lambda);
  const values = grid.map(({ s }) => phi(s));
  const root = Math.sqrt(lambda);
  const edges = phi((1 - root) ** 2) + phi((1 + root) ** 2);
  const bias = edges / 4 - values.reduce((a, b) => a + b, 0) / (2 * nodes);
  let variance = 0;
  for (let k = 1; k <= harmonics; k++) {
    const coefficient = (2 / nodes) * values.reduce((sum, v, i) => sum + v * Math.cos(k * grid[i].theta), 0);
    variance += (k * coefficient ** 2) / 2;
  }
  return { bias: bias / d, sd: Math.sqrt(variance) / d };
}

/** Eigenvalues through phi, and directions with a variance of 2 square/d. */
function combined(d: number, lambda: number, phi: (s: number) => number, square: number): Deviation {
  const { bias, sd } = linearStatistic(d, lambda, phi);
  return { bias, sd: Math.sqrt((2 / d) * Math.max(0, square) + sd * sd) };
}

/** Deviations of G, T and V with fixed noise: wp2 = u0 = 1 and sig2 = sn2. */
export function fixedDeviation(
  d: number,
  lambda: number,
  t: number,
  sn2: number,
): Record<"G" | "T" | "V", Deviation> {
  const gam = lambda * sn2;
  const left = (s: number) => (gam + s * Math.exp(-(s + gam) * t)) / (s + gam);
  const fitted = (s: number) => -Math.expm1(-(s + gam) * t) / (s + gam);
  const error = (s: number) => left(s) ** 2 + gam * s * fitted(s) ** 2;
  const grid = chebyshev(lambda);
  const atom = Math.max(0, 1 - 1 / lambda);
  const average = (h: (s: number) => number) =>
    grid.reduce((sum, { s, weight }) => sum + weight * h(s), atom > 0 ? atom * h(0) : 0);
  // The norm of the teacher is fixed, which takes the part of its fluctuations away that all modes share.
  const deviation = (weight: (s: number) => number) =>
    combined(
      d,
      lambda,
      (s) => weight(s) * error(s),
      average((s) => (weight(s) * error(s)) ** 2) - average((s) => weight(s) * left(s) ** 2) ** 2,
    );
  return {
    G: deviation(() => 1),
    T: deviation((s) => s),
    V: linearStatistic(d, lambda, (s) => (gam + s * Math.exp(-2 * (s + gam) * t)) / (s + gam)),
  };
}

/**
 * Deviation of V with residual noise and a flat prior. The squared residual of a mode, p = s + lambda sn2 in the mean,
 * decays like exp(-2st), and V answers to it with phi = 2 lambda int_0^t f0(t - t') exp(-2st') dt'.
 */
export function residualDeviation(d: number, lambda: number, t: number, sn2: number, u0: number): Deviation {
  const modes = chebyshev(lambda);
  const atom = Math.max(0, 1 - 1 / lambda);
  const unfitted = Math.max(0, 1 - lambda);
  const power = (s: number) => s + lambda * sn2;
  const phi = (s: number) =>
    lambda *
    modes.reduce(
      (sum, mode) => sum + mode.weight * overlap(s, mode.s, t),
      atom > 0 ? atom * overlap(s, 0, t) : 0,
    );
  let square = unfitted * lambda * (sn2 * phi(0)) ** 2;
  let teacher = 0;
  for (const { s, weight } of modes) {
    const answer = phi(s);
    square += weight * (answer * power(s)) ** 2;
    teacher += weight * answer * s;
  }
  // What one eigenvalue more at s adds: its own variance under the common noise, and its residual's effect on all.
  const response = (s: number) =>
    u0 * Math.exp(-2 * s * t) +
    lambda *
      modes.reduce(
        (sum, mode) => sum + mode.weight * power(mode.s) * overlap(s, mode.s, t),
        unfitted * sn2 * overlap(s, 0, t),
      ) +
    phi(s) * power(s);
  return combined(d, lambda, response, square - teacher ** 2);
}

/** 2 int_0^t exp(-2a(t - t') - 2bt') dt'. */
function overlap(a: number, b: number, t: number): number {
  const gap = Math.abs(b - a) * t;
  return Math.exp(-2 * Math.min(a, b) * t) * (gap < 1e-6 ? 2 * t : (-Math.expm1(-2 * gap) * t) / gap);
}
