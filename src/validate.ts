/**
 * Checks of arguments. Each returns the value, or throws a RangeError in the one form of all refusals,
 * `name: got VALUE, must be WHAT IS ALLOWED`.
 */

/** Refuses a value by a rule that no check below states. `allowed` continues "must be". */
export function refuse(name: string, value: unknown, allowed: string): never {
  throw new RangeError(`${name}: got ${shown(value)}, must be ${allowed}`);
}

/** Texts that would be taken for a value of another type. */
const AMBIGUOUS = /^\s*([+-]?(\d*\.?\d+([eE][+-]?\d+)?|Infinity)|NaN|null|undefined|true|false)?\s*$/;

/**
 * Objects by their kind: their content may be of any size, or refuse to be shown. Short vectors as they are, texts in
 * quotes where they could be something else.
 */
function shown(value: unknown): string {
  if (typeof value === "string" && AMBIGUOUS.test(value)) return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value) && value.length <= 8 && value.every(isNumber)) return value.join();
  const kind = Object.prototype.toString.call(value).slice("[object ".length, -1);
  return Array.isArray(value) ? `a list of ${value.length}` : `an object (${kind})`;
}

/** Comparisons take texts, lists and null for numbers too. */
const isNumber = (value: unknown) => typeof value === "number";

/** Above `bound` and finite. */
export function requireAbove(name: string, value: number, bound: number): number {
  return isNumber(value) && value > bound && value < Infinity
    ? value
    : refuse(name, value, `a finite number above ${bound}`);
}

/** Above 0 and finite. */
export function requirePositive(name: string, value: number): number {
  return requireAbove(name, value, 0);
}

/** Above 0; Infinity is allowed. */
export function requirePositiveOrInfinite(name: string, value: number): number {
  return isNumber(value) && value > 0 ? value : refuse(name, value, "a number above 0 or Infinity");
}

/** At least 0 and finite. */
export function requireNonNegative(name: string, value: number): number {
  return isNumber(value) && value >= 0 && value < Infinity
    ? value
    : refuse(name, value, "a finite number of at least 0");
}

/** From 0 to 1, both included: [0, 1]. */
export function requireFraction(name: string, value: number): number {
  return isNumber(value) && value >= 0 && value <= 1 ? value : refuse(name, value, "from 0 to 1");
}

/** Strictly between 0 and 1: (0, 1). */
export function requireOpenFraction(name: string, value: number): number {
  return isNumber(value) && value > 0 && value < 1 ? value : refuse(name, value, "strictly between 0 and 1");
}

/** Above 0 and at most 1: (0, 1]. */
export function requirePositiveFraction(name: string, value: number): number {
  return isNumber(value) && value > 0 && value <= 1 ? value : refuse(name, value, "above 0 and at most 1");
}

/** A rate of decay or of dropout: [0, 1). */
export function requireRate(name: string, value: number): number {
  return isNumber(value) && value >= 0 && value < 1 ? value : refuse(name, value, "at least 0 and below 1");
}

/** An integer from `min` to `max`. */
export function requireInteger(
  name: string,
  value: number,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  const bounded = max < Number.MAX_SAFE_INTEGER;
  return refuse(name, value, bounded ? `an integer from ${min} to ${max}` : `an integer of at least ${min}`);
}

/** An integer from 1 to `max`. */
export function requireCount(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  return requireInteger(name, value, 1, max);
}

/** An integer from 0 to `max`. */
export function requireWhole(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  return requireInteger(name, value, 0, max);
}

/** An unsigned integer of 32 bits, as the random streams are keyed by. */
export function requireWord(name: string, value: number): number {
  return requireInteger(name, value, 0, 0xffffffff);
}

/** @param meaning where the length comes from, for the message */
export function requireLength(
  name: string,
  array: ArrayLike<unknown>,
  length: number,
  meaning?: string,
): void {
  if (array?.length !== length)
    refuse(`length of ${name}`, array?.length, meaning ? `${length}, ${meaning}` : `${length}`);
}

/** A typed array of one of these kinds, of whatever realm; `Int32Array` for instance. */
export function requireTypedArray(name: string, array: ArrayLike<number>, ...kinds: string[]): void {
  const given = Object.prototype.toString.call(array).slice("[object ".length, -1);
  if (!kinds.includes(given)) refuse(name, given, `of type ${kinds.join(" or ")}`);
}

/** At least one element. */
export function requireNonEmpty(name: string, array: ArrayLike<unknown>): void {
  if (!(array?.length > 0)) refuse(`length of ${name}`, array?.length, "at least 1");
}

/** The options of a function, or what else it takes by name. */
export function requireObject<T extends object>(name: string, value: T): T {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value
    : refuse(name, value, "an object");
}

/** An object with no other keys than these. */
export function requireKeys(name: string, value: object, allowed: readonly string[]): void {
  const unknown = Object.keys(requireObject(name, value)).find((key) => !allowed.includes(key));
  if (unknown !== undefined) refuse(`key of ${name}`, unknown, `one of ${allowed.join(", ")}`);
}

/** The path of a file or directory. */
export function requirePath(name: string, value: string): string {
  return typeof value === "string" && value !== "" ? value : refuse(name, value, "a path");
}

/** One of a list of words. */
export function requireOneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  return allowed.includes(value) ? value : refuse(name, value, `one of ${allowed.join(", ")}`);
}

/** A setting that its own range allows, but not the settings it goes with. */
export interface Contradiction {
  /** Of the setting, dotted. */
  path: string;
  value: unknown;
  /** What it must be, as in the messages above. */
  allowed: string;
  /** Paths of the settings it goes with. */
  given: string[];
}

/** @throws RangeError for the first contradiction */
export function requireConsistent(contradictions: readonly Contradiction[]): void {
  for (const { path, value, allowed } of contradictions) refuse(path, value, allowed);
}
