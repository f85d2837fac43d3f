/**
 * Bayesian linear regression trained for real: data are drawn, and the numeric core descends the gradient of the
 * negative ELBO in the mean and in a square root of the covariance, in float32. Nothing here knows an eigenvalue; that
 * the curves follow the closed forms is a result.
 */
import { loadCoreModule } from "../core/build.ts";
import { LinearElbo } from "../core/linear-elbo.ts";
import type { MathMode } from "../core/module.ts";
import { normals, stream } from "../random.ts";
import {
  keysOf,
  refuse,
  requireCount,
  requireKept,
  requireKeys,
  requireLength,
  requireList,
  requireNonNegative,
  requireNonNegativeFloat32,
  requireOneOf,
  requirePositive,
  requirePositiveFloat32,
} from "../validate.ts";
import { type NoiseMode, noiseModes, withNoise } from "./modes.ts";
import {
  collect,
  drawInputs,
  drawParameters,
  type Parameters,
  type Simulation,
  type SimulationInput,
  summarise,
} from "./simulate.ts";
import { maxStepSize } from "./spectral.ts";

/** `full`: C = RR' with any square R. `meanField`: one standard deviation per coordinate of x. */
export type Covariance = "full" | "meanField";

/** A teacher and its student of finite size, and how `trainRegression` trains it. */
export interface RegressionInput
  extends Pick<SimulationInput, "w2" | "k2" | "sn2" | "sig2" | "wp2" | "u0" | "draws" | "seed"> {
  /** Input dimension. */
  d: number;
  /** d/N asked for; N is the nearest integer, and the result holds the ratio that it gives. */
  lambda: number;
  /** How sig2 is set at every step. */
  noiseModel: NoiseMode;
  /** `full` by default. */
  covariance?: Covariance;
  /**
   * Largest step size, or one for the steps up to each time. Times are reached exactly, by equal steps in between. Below
   * 1/(s_+ + gam), where the covariance becomes unstable; accurate if it is also well below u0/(lambda sig2), the time
   * in which the initial covariance changes.
   */
  eta: number | readonly number[];
  /** Times t = sum of step sizes, in non-decreasing order. */
  times: readonly number[];
  /** `fast` by default; `strict` gives the same bytes on every machine. */
  math?: MathMode;
}

const REGRESSION = keysOf<RegressionInput>({
  ...{ d: true, lambda: true, noiseModel: true, covariance: true, eta: true, times: true, math: true },
  ...{ w2: true, k2: true, sn2: true, sig2: true, wp2: true, u0: true, draws: true, seed: true },
});

/**
 * Train regressions on independent draws and summarise them. Inputs of draw i are those that `simulate` decomposes for
 * the same (d, N, seed); the teacher has the exact norm w2. Fields as in `simulate`.
 *
 * A step costs about 12 d^3 floating-point operations with a full covariance. For the limits of float32 see
 * `LinearElbo`.
 *
 * @throws RangeError for values outside their range, u0 = 0 included; Error if training leaves the range of float32
 */
export async function trainRegression(input: RegressionInput): Promise<Simulation> {
  requireKeys("trainRegression", input, REGRESSION);
  requireList("times", input.times);
  const d = requireCount("d", input.d);
  const N = requireCount("N = d/lambda", Math.round(d / requirePositive("lambda", input.lambda)));
  const lambda = d / N;
  const noise = requireOneOf("noiseModel", input.noiseModel, noiseModes);
  const covariance = requireOneOf("covariance", input.covariance ?? "full", ["full", "meanField"]);
  const p = drawParameters(input, noise, lambda);
  requirePositiveFloat32("u0", p.u0);
  for (const name of ["w2", "k2", "sn2", "sig2"] as const) requireNonNegativeFloat32(name, p[name]);
  if (p.wp2 !== Infinity) requirePositiveFloat32("wp2", p.wp2);
  const draws = requireKept("draws", input.draws ?? 5);
  const segments = stepPlan(input.times, input.eta, lambda, noise === "fixed" ? p.sig2 : 0, p.wp2);
  const core = await loadCoreModule(input.math ?? "fast");
  const results = Array.from({ length: draws }, (_, draw) => {
    const data = drawData(d, N, p, input.seed ?? 0, draw);
    const factor = initialFactor(d, p.u0, covariance);
    const regression = new LinearElbo(core, { d, N, ...data, factor });
    const rows = segments.map(({ steps, eta }, i) => {
      for (let k = 0; k < steps; k++) {
        regression.step({ eta, noise, sig2: p.sig2, prior: lambda / p.wp2 });
      }
      const sums = regression.measure();
      if (!Object.values(sums).every(Number.isFinite)) {
        throw new Error(`training diverged before t = ${input.times[i]}: eta is too large`);
      }
      return withNoise(sums, { fixed: p.sig2, residual: sums.R, elbo: sums.R + sums.VS }[noise]);
    });
    return collect(rows);
  });
  return { lambda, t: [...input.times], draws: results, ...summarise(results) };
}

/** How many steps of what size lead to each time. */
function stepPlan(
  times: readonly number[],
  eta: number | readonly number[],
  lambda: number,
  sig2: number,
  wp2: number,
): { steps: number; eta: number }[] {
  if (typeof eta !== "number") requireLength("eta", eta, times.length, "that of times");
  // The covariance relaxes twice as fast as the mean.
  const bound = maxStepSize(lambda, (lambda * sig2) / wp2) / 2;
  return times.map((time, i) => {
    const largest = requirePositiveFloat32("eta", typeof eta === "number" ? eta : eta[i]);
    if (largest >= bound) refuse("eta", largest, `below 1/(s_+ + gam) = ${bound}`);
    const span = requireNonNegative("times", time) - (i > 0 ? times[i - 1] : 0);
    if (span < 0) refuse("times", `${time} after ${times[i - 1]}`, "in an order that does not decrease");
    // The margin keeps a multiple of eta from taking one step more for rounding.
    const steps = Math.ceil(span / largest - 1e-9);
    return { steps, eta: steps > 0 ? span / steps : 0 };
  });
}

/** Inputs, labels, teacher and initial mean of one draw, rounded to float32 before the labels are computed. */
export function drawData(
  d: number,
  N: number,
  p: Pick<Parameters, "w2" | "k2" | "sn2">,
  seed: number,
  draw: number,
) {
  const x = drawInputs(d, N, seed, draw);
  const inputs = new Float32Array(N * d);
  for (let n = 0; n < N; n++) {
    for (let i = 0; i < d; i++) inputs[n * d + i] = x.values[n * x.n + i * x.i];
  }
  const rng = stream(seed, draw, "theoryTeacher");
  const gaussian = (count: number) => {
    const values = new Float64Array(count);
    normals(rng, values);
    return values;
  };
  const direction = gaussian(d);
  const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const teacher = Float32Array.from(direction, (value) => (Math.sqrt(p.w2) * value) / length);
  const mean = Float32Array.from(gaussian(d), (value) => Math.sqrt(p.k2 / d) * value);
  const labels = Float32Array.from(gaussian(N), (value, n) => {
    let label = Math.sqrt(p.sn2) * value;
    for (let i = 0; i < d; i++) label += inputs[n * d + i] * teacher[i];
    return label;
  });
  return { inputs, labels, teacher, mean };
}

/** sqrt(u0/d) I, or its diagonal. */
function initialFactor(d: number, u0: number, covariance: Covariance): Float32Array {
  const deviation = Math.sqrt(u0 / d);
  if (covariance === "meanField") return new Float32Array(d).fill(deviation);
  const factor = new Float32Array(d * d);
  for (let i = 0; i < d; i++) factor[i * (d + 1)] = deviation;
  return factor;
}
