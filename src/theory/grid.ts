/** Grids of times and of ratios. */

/** `count` values from `from` to `to`, both included, with equal differences. */
export function linearlySpaced(from: number, to: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}

/** `count` values from `from` to `to`, both included, with equal ratios. */
export function logSpaced(from: number, to: number, count: number): number[] {
  return linearlySpaced(0, 1, count).map((x) => from * (to / from) ** x);
}
