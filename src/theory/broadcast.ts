/** Scalars and lists for t and lambda. */

import { refuse, requireNonEmpty, requireNonNegative } from "../validate.ts";
import { type Spectrum, spectrum } from "./quadrature.ts";

/** A number or a list of numbers. */
export type Values = number | readonly number[] | Float64Array;

/** The result for two broadcast arguments: a number if both are numbers, otherwise a list. */
export type Broadcast<A extends Values, B extends Values> = A extends number
  ? B extends number
    ? number
    : number[]
  : number[];

/** Named results, each of the broadcast shape. */
export type Curves<K extends string, A extends Values, B extends Values> = Record<K, Broadcast<A, B>>;

/**
 * Evaluate `curve` at every pair (t, lambda). Scalars are repeated; two lists must have the same length and are
 * paired element by element. `prepare` is called once for each run of equal lambda.
 *
 * @throws RangeError for t < 0, lambda <= 0, values that are not finite, and lists of different lengths
 */
export function broadcast<K extends string, T extends Values, L extends Values>(
  t: T,
  lambda: L,
  prepare: (spectrum: Spectrum) => (t: number) => Record<K, number>,
): Curves<K, T, L> {
  requireValues("t", t);
  requireValues("lambda", lambda);
  if (typeof t === "number" && typeof lambda === "number") {
    requireNonNegative("t", t);
    return prepare(spectrum(lambda))(t) as Curves<K, T, L>;
  }
  const rows: Record<K, number>[] = [];
  const length = broadcastLength("t", t, "lambda", lambda);
  let previous = Number.NaN;
  let curve: ((t: number) => Record<K, number>) | undefined;
  for (let i = 0; i < length; i++) {
    const ratio = at(lambda, i);
    if (curve === undefined || ratio !== previous) curve = prepare(spectrum(ratio));
    previous = ratio;
    rows.push(curve(requireNonNegative("t", at(t, i))));
  }
  return columns(rows) as Curves<K, T, L>;
}

/** Evaluate `curve` at a lambda or at each of a list. */
export function mapLambda<K extends string, L extends Values>(
  lambda: L,
  curve: (spectrum: Spectrum) => Record<K, number>,
): Curves<K, L, number> {
  requireValues("lambda", lambda);
  if (typeof lambda === "number") return curve(spectrum(lambda)) as Curves<K, L, number>;
  return columns(Array.from(lambda, (ratio) => curve(spectrum(ratio)))) as Curves<K, L, number>;
}

function requireValues(name: string, values: Values): void {
  if (typeof values !== "number" && !Array.isArray(values) && !ArrayBuffer.isView(values))
    refuse(name, values, "a number or a list of numbers");
}

function broadcastLength(nameA: string, a: Values, nameB: string, b: Values): number {
  const lengths = [a, b].flatMap((values) => (typeof values === "number" ? [] : [values.length]));
  if (lengths.some((length) => length !== lengths[0])) {
    refuse(`lengths of ${nameA} and ${nameB}`, lengths.join(" and "), "equal");
  }
  if (lengths[0] === 0) refuse(`length of ${nameA} and ${nameB}`, 0, "at least 1");
  return lengths[0];
}

function at(values: Values, i: number): number {
  return typeof values === "number" ? values : values[i];
}

function columns<K extends string>(rows: Record<K, number>[]): Record<K, number[]> {
  requireNonEmpty("lambda", rows);
  const names = Object.keys(rows[0]) as K[];
  return Object.fromEntries(names.map((name) => [name, rows.map((row) => row[name])])) as Record<K, number[]>;
}
