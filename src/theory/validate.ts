/** Checks of numeric arguments. Each throws a RangeError that names the field, the value and what is allowed. */

function fail(name: string, value: unknown, allowed: string): never {
  throw new RangeError(`${name} must be ${allowed}, got ${String(value)}`);
}

/** Positive and finite. */
export function requirePositive(name: string, value: number): number {
  return value > 0 && value < Infinity ? value : fail(name, value, "a finite number above 0");
}

/** At least 0 and finite. */
export function requireNonNegative(name: string, value: number): number {
  return value >= 0 && value < Infinity ? value : fail(name, value, "a finite number of at least 0");
}

/** Positive; Infinity is allowed. */
export function requirePositiveOrInfinite(name: string, value: number): number {
  return value > 0 ? value : fail(name, value, "above 0 (Infinity: a flat prior)");
}

/** An integer of at least 1. */
export function requireCount(name: string, value: number): number {
  return Number.isSafeInteger(value) && value >= 1 ? value : fail(name, value, "an integer of at least 1");
}

/** Strictly between 0 and 1. */
export function requireFraction(name: string, value: number): number {
  return value > 0 && value < 1 ? value : fail(name, value, "strictly between 0 and 1");
}

/** One of a list of words. */
export function requireOneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  return allowed.includes(value) ? value : fail(name, value, `one of ${allowed.join(", ")}`);
}
