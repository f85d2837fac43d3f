/** Checks of arguments. Each throws a RangeError that names the field, the value and what is allowed. */

function fail(name: string, value: unknown, allowed: string): never {
  throw new RangeError(`${name}: got ${String(value)}, must be ${allowed}`);
}

/** Above 0 and finite. */
export function requirePositive(name: string, value: number): number {
  return value > 0 && value < Infinity ? value : fail(name, value, "a finite number above 0");
}

/** At least 0 and finite. */
export function requireNonNegative(name: string, value: number): number {
  return value >= 0 && value < Infinity ? value : fail(name, value, "a finite number of at least 0");
}

/** A decay rate: 0 <= value < 1. */
export function requireRate(name: string, value: number): number {
  return value >= 0 && value < 1 ? value : fail(name, value, "at least 0 and below 1");
}

function requireInteger(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  const bounded = max < Number.MAX_SAFE_INTEGER;
  return fail(name, value, bounded ? `an integer from ${min} to ${max}` : `an integer of at least ${min}`);
}

/** An integer from 1 to `max`. */
export function requireCount(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  return requireInteger(name, value, 1, max);
}

/** An integer from 0 to `max`. */
export function requireWhole(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  return requireInteger(name, value, 0, max);
}

/** From 0 to 1, both included. */
export function requireFraction(name: string, value: number): number {
  return value >= 0 && value <= 1 ? value : fail(name, value, "from 0 to 1");
}

/** @param meaning where the length comes from, for the message */
export function requireLength(
  name: string,
  array: ArrayLike<number>,
  length: number,
  meaning?: string,
): void {
  if (array.length !== length)
    fail(`length of ${name}`, array.length, meaning ? `${length}, ${meaning}` : `${length}`);
}

export function requireOneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  return allowed.includes(value) ? value : fail(name, value, `one of ${allowed.join(", ")}`);
}
