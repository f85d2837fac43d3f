/**
 * Independent references for averages over the Marchenko-Pastur law: Bessel series in exact integer arithmetic, and the
 * Gauss-Chebyshev rule of the second kind.
 */

const bits = 1200n;
const one = 1n << bits;

/** A double as a fixed-point number, exactly. */
function fixed(x: number): bigint {
  return BigInt(x * 2 ** 100) << (bits - 100n);
}

function multiply(a: bigint, b: bigint): bigint {
  return (a * b) >> bits;
}

function exponential(x: bigint): bigint {
  let term = one;
  let sum = one;
  for (let n = 1n; term > 0n; n++) {
    term = multiply(term, x) / n;
    sum += term;
  }
  return sum;
}

/** first * sum over k of j! x^k / (k! (k + j)!): with first = (z/2)^j / j! and x = (z/2)^2 this is I_j(z). */
function besselSeries(x: bigint, j: number, first: bigint): bigint {
  let term = first;
  let sum = term;
  for (let k = 1n; term > 0n; k++) {
    term = multiply(term, x) / (k * (k + BigInt(j)));
    sum += term;
  }
  return sum;
}

function ratio(a: bigint, b: bigint): number {
  return Number((a << 300n) / b) / 2 ** 300;
}

/** f0, f1, f2 for t up to a few tens; correct to double precision. */
export function exactSpectral(t: number, lambda: number): { f0: number; f1: number; f2: number } {
  const l = fixed(lambda);
  const time = fixed(t);
  const x = 4n * multiply(l, multiply(time, time));
  const scale = exponential(2n * multiply(one + l, time));
  // I_1(z)/(z/2) and I_2(z)/(z/2)^2 at z = 4 sqrt(lambda) t.
  const f1 = besselSeries(x, 1, one);
  const f2 = multiply(one + l, f1) - multiply(4n * multiply(l, time), besselSeries(x, 2, one / 2n));
  // The idle probability of an M/M/1 queue with arrival rate 1 and service rate lambda has this law as its spectrum.
  const step = 2n * multiply(l, time);
  let f0 = besselSeries(x, 0, one) + multiply(step, f1);
  let tail = 0n;
  let first = step;
  for (let j = 2; ; j++) {
    first = multiply(first, step) / BigInt(j);
    const term = besselSeries(x, j, first);
    tail += term;
    if (term < tail >> 400n) break;
  }
  f0 += tail - (tail << bits) / l;
  return { f0: ratio(f0, scale), f1: ratio(f1, scale), f2: ratio(f2, scale) };
}

/** <h> with the midpoint rule in theta, s = 1 + lambda + 2 sqrt(lambda) cos(theta), and `n` nodes. */
export function chebyshevAverage(lambda: number, n: number, h: (s: number) => number): number {
  const root = Math.sqrt(lambda);
  const edge = (1 - root) ** 2;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const theta = ((i + 0.5) * Math.PI) / n;
    const s = edge + 4 * root * Math.cos(theta / 2) ** 2;
    const density =
      lambda === 1
        ? (2 / Math.PI) * Math.sin(theta / 2) ** 2
        : (4 * lambda * Math.sin(theta) ** 2) / (2 * Math.PI * lambda * s);
    sum += ((density * Math.PI) / n) * h(s);
  }
  return lambda > 1 ? sum + (1 - 1 / lambda) * h(0) : sum;
}

/** Enough nodes for a relative error of 1e-12 in averages of exp(-2st). */
export function chebyshevNodes(lambda: number, t: number): number {
  const forTime = 64 + 10 * Math.sqrt(2 * Math.sqrt(lambda) * t);
  const forPole = lambda === 1 ? 0 : 45 / Math.abs(Math.log(lambda));
  return Math.ceil(Math.max(256, forTime, forPole));
}
