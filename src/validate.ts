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

/** Any but NaN and the infinite ones. */
export function requireFinite(name: string, value: number): number {
  return Number.isFinite(value) ? value : refuse(name, value, "a finite number");
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

/** What the core computes with, in float32, must become neither infinite there, nor 0 unless it is. */
export const FLOAT32 = {
  holds: (x: number) => x === 0 || (Math.fround(x) !== 0 && Number.isFinite(Math.fround(x))),
  allowed: "in the range of float32, 1.4e-45 to 3.4e38",
  /** A rate below 1 that is 1 in float32 would divide by 0. */
  holdsRate: (x: number) => Math.fround(x) < 1,
  allowedRate: "below 1 in float32, at most 0.99999997",
} as const;

/** Above 0, in float32 as well. */
export function requirePositiveFloat32(name: string, value: number): number {
  return FLOAT32.holds(requirePositive(name, value)) ? value : refuse(name, value, FLOAT32.allowed);
}

/** At least 0, and in the range of float32. */
export function requireNonNegativeFloat32(name: string, value: number): number {
  return FLOAT32.holds(requireNonNegative(name, value)) ? value : refuse(name, value, FLOAT32.allowed);
}

/** [0, 1) in float32. */
export function requireRateFloat32(name: string, value: number): number {
  if (!FLOAT32.holds(requireRate(name, value))) refuse(name, value, FLOAT32.allowed);
  return FLOAT32.holdsRate(value) ? value : refuse(name, value, FLOAT32.allowedRate);
}

/** (0, 1) in float32. */
export function requireOpenFractionFloat32(name: string, value: number): number {
  return requireRateFloat32(name, requireOpenFraction(name, value));
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

/** Of draws, chains or random vectors, a result for each of which is kept: more would not fit into memory. */
const MOST_KEPT = 2 ** 24;

/** An integer from 1 to as many as can be kept. */
export function requireKept(name: string, value: number): number {
  return requireCount(name, value, MOST_KEPT);
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

/** A list of float32 or float64 numbers. */
export function requireVector(name: string, vector: ArrayLike<number>): void {
  requireTypedArray(name, vector, "Float32Array", "Float64Array");
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

/** The names of all keys of T: a list that lacks one, or has another, does not compile. */
export const keysOf = <T>(keys: { readonly [Key in keyof T]-?: true }): readonly string[] =>
  Object.keys(keys);

/** An array of any kind. */
export function requireList(name: string, value: ArrayLike<unknown>): void {
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) refuse(name, value, "a list");
}

export function requireFunction(name: string, value: unknown): void {
  if (typeof value !== "function") refuse(name, value, "a function");
}

export function requireSignal(value: AbortSignal): void {
  if (!(value instanceof AbortSignal)) refuse("signal", value, "an AbortSignal");
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
