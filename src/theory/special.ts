/** Special functions in double precision. */
import { requireOpenFraction } from "../validate.ts";

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

/** Where the series hands over to the continued fraction. */
const crossover = 2;

/** Error function; relative error a few 1e-16. */
export function erf(x: number): number {
  if (x < 0) return -erf(-x);
  return x < crossover ? erfSeries(x) : 1 - erfc(x);
}

/** Complementary error function, relatively accurate until it underflows near x = 26.5. */
export function erfc(x: number): number {
  return x < crossover ? 1 - erf(x) : Math.exp(-x * x) * erfcxFraction(x);
}

/** exp(x^2) erfc(x), which does not underflow. */
export function erfcx(x: number): number {
  return x < crossover ? Math.exp(x * x) * erfc(x) : erfcxFraction(x);
}

/** erf x = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (1 3 5 ... (2n+1)): all terms have one sign. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-x * x) * sum;
}

/** exp(x^2) erfc(x) = 1/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))), from the tail upwards. */
function erfcxFraction(x: number): number {
  let tail = x;
  for (let k = Math.ceil(30 + 400 / (x * x)); k >= 1; k--) tail = x + k / 2 / tail;
  return 1 / (Math.sqrt(Math.PI) * tail);
}

/**
 * Inverse error function for 0 < y < 1.
 *
 * @throws RangeError for y outside (0, 1)
 */
export function erfinv(y: number): number {
  requireOpenFraction("y", y);
  // Winitzki's closed approximation, then Halley steps on erfc for y near 1, on erf otherwise.
  const log = Math.log1p(-y * y);
  const a = 2 / (Math.PI * 0.147) + log / 2;
  let x = Math.sqrt(Math.sqrt(a * a - log / 0.147) - a);
  for (let i = 0; i < 3; i++) {
    const error = y > 0.5 ? 1 - y - erfc(x) : erf(x) - y;
    const delta = error / (TWO_OVER_SQRT_PI * Math.exp(-x * x));
    x -= delta / (1 + x * delta);
  }
  return x;
}

/**
 * W(exp(x)) for real x, with W the principal branch of Lambert's function: the w > 0 with w + log w = x. Taking the
 * logarithm as argument avoids overflow.
 */
export function lambertWExp(x: number): number {
  if (x < -30) return Math.exp(x) * (1 - Math.exp(x));
  // Newton on log w for small w, on w for large w: each is nearly linear there.
  let w = x < 1 ? Math.exp(x) / (1 + Math.exp(x) / Math.E) : x - Math.log(x);
  for (let i = 0; i < 60; i++) {
    const next = (w * (1 + x - Math.log(w))) / (1 + w);
    const change = Math.abs(next - w);
    w = next;
    if (change <= 2e-16 * w) break;
  }
  return w;
}
