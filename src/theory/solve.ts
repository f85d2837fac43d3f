/** One-dimensional searches. */

/**
 * The t at which a decreasing function of t > 0 falls to 0: 0 if it is there from the start, Infinity if it never gets
 * there. `f(t) <= 0` counts as reached. Bisection in log t.
 */
export function crossing(f: (t: number) => number): number {
  if (f(0) <= 0) return 0;
  let low = 1;
  let high = 1;
  while (f(high) > 0) {
    low = high;
    high *= 4;
    if (high > latest) return Infinity;
  }
  while (low === high || f(low) <= 0) {
    high = low;
    low /= 4;
    if (low < earliest) return 0;
  }
  return bisect(f, low, high);
}

/** First t at which f falls to 0 or below, for f that need not be monotone: a logarithmic grid, then bisection. */
export function firstCrossing(f: (t: number) => number): number {
  if (f(0) <= 0) return 0;
  let low = earliest;
  for (let i = 0; ; i++) {
    const high = firstGridTime * 10 ** (i / pointsPerDecade);
    if (high > latest) return Infinity;
    if (f(high) <= 0) return bisect(f, low, high);
    low = high;
  }
}

/** Beyond this the quadrature no longer resolves the slowest modes. */
const latest = 1e34;
const earliest = 1e-300;
const firstGridTime = 1e-5;
const pointsPerDecade = 20;

/** f(low) > 0 >= f(high), to the resolution of a double. */
function bisect(f: (t: number) => number, low: number, high: number): number {
  let a = Math.log(low);
  let b = Math.log(high);
  while (true) {
    const middle = (a + b) / 2;
    if (middle <= a || middle >= b || b - a < 1e-15) return Math.exp(middle);
    if (f(Math.exp(middle)) > 0) a = middle;
    else b = middle;
  }
}

/** Location of the maximum of a function with a single peak between low and high; golden-section search. */
export function maximise(f: (x: number) => number, low: number, high: number): number {
  const ratio = (Math.sqrt(5) - 1) / 2;
  let a = low;
  let b = high;
  let x = b - ratio * (b - a);
  let y = a + ratio * (b - a);
  let fx = f(x);
  let fy = f(y);
  while (b - a > 1e-9 * (Math.abs(a) + Math.abs(b))) {
    if (fx > fy) {
      b = y;
      y = x;
      fy = fx;
      x = b - ratio * (b - a);
      fx = f(x);
    } else {
      a = x;
      x = y;
      fx = fy;
      y = a + ratio * (b - a);
      fy = f(y);
    }
  }
  return (a + b) / 2;
}
