/** An explicit Runge-Kutta integrator with step-size control. */
import { refuse } from "../validate.ts";

/** Dormand and Prince, J. Comput. Appl. Math. 6 (1980) 19: order 5 with an embedded order 4; the last stage is reused. */
const stages = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const abscissae = [1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

/** Writes dy/dt at (t, y) into `dy`. */
export type Derivative = (t: number, y: Float64Array, dy: Float64Array) => void;

/**
 * Solve y' = f(t, y) from t = 0 and return copies of y at the given times, which must not decrease. The local error of
 * a component is kept below tolerance * (|y| + 1e-3) per step. The number of steps grows like the last time times the
 * fastest rate.
 *
 * @throws RangeError if the times decrease, are negative or are not finite
 */
export function solveOde(
  f: Derivative,
  start: Float64Array,
  times: readonly number[],
  tolerance = 1e-10,
): Float64Array[] {
  const size = start.length;
  let y = start.slice();
  let trial = new Float64Array(size);
  const errors = new Float64Array(size);
  let k = Array.from({ length: 7 }, () => new Float64Array(size));
  let t = 0;
  f(t, y, k[0]);
  let step = initialStep(y, k[0], tolerance);
  const results: Float64Array[] = [];
  for (const target of times) {
    if (!(target >= t && target < Infinity)) {
      refuse("times", `${target} after ${t}`, "finite, from 0 on, and never decrease");
    }
    while (t < target) {
      const remaining = target - t;
      const h = Math.min(step, remaining);
      attempt(f, t, y, h, k, trial);
      const error = scaledError(y, trial, k, h, tolerance, errors);
      if (error <= 1) {
        t = h === remaining ? target : t + h;
        [y, trial] = [trial, y];
        k = [k[6], ...k.slice(1, 6), k[0]];
      }
      // A step cut short by a target says nothing against the longer one tried before.
      const proposed = h * Math.min(5, Math.max(0.2, 0.9 * error ** -0.2));
      step = error <= 1 && h < step ? Math.max(step, proposed) : proposed;
    }
    results.push(y.slice());
  }
  return results;
}

function attempt(
  f: Derivative,
  t: number,
  y: Float64Array,
  h: number,
  k: Float64Array[],
  trial: Float64Array,
): void {
  for (let stage = 0; stage < stages.length; stage++) {
    const row = stages[stage];
    trial.set(y);
    for (let j = 0; j < row.length; j++) addScaled(trial, h * row[j], k[j]);
    f(t + abscissae[stage] * h, trial, k[stage + 1]);
  }
}

function addScaled(sum: Float64Array, factor: number, term: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += factor * term[i];
}

/** The largest estimated error of a component, in units of what is allowed. `error` is overwritten. */
function scaledError(
  y: Float64Array,
  trial: Float64Array,
  k: Float64Array[],
  h: number,
  tolerance: number,
  error: Float64Array,
): number {
  error.fill(0);
  for (let j = 0; j < k.length; j++) addScaled(error, h * errorWeights[j], k[j]);
  let worst = 1e-12;
  for (let i = 0; i < y.length; i++) {
    const scale = tolerance * (Math.max(Math.abs(y[i]), Math.abs(trial[i])) + 1e-3);
    const ratio = Math.abs(error[i]) / scale;
    // Also true for NaN, which then rejects the step.
    if (!(ratio <= worst)) worst = ratio;
  }
  return Number.isNaN(worst) ? 1e6 : worst;
}

function initialStep(y: Float64Array, dy: Float64Array, tolerance: number): number {
  let rate = 1e-6;
  for (let i = 0; i < y.length; i++) rate = Math.max(rate, Math.abs(dy[i]) / (Math.abs(y[i]) + 1e-3));
  return tolerance ** 0.2 / rate;
}
