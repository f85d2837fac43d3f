/** What the text or number of a flag means. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { StepChoice } from "../analysis/selection.ts";
import { nearestName } from "../config/nearest-name.ts";
import { UsageError } from "../errors.ts";

/** Beyond it not every integer is a number. */
const below = (value: number) => (value > Number.MAX_SAFE_INTEGER ? " and below 2^53" : "");

/** @throws UsageError unless it is a positive integer */
export function positiveInteger(flag: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new UsageError(`--${flag}: got ${value}, must be a positive integer${below(value)}`);
}

/** @throws UsageError unless it is an integer from 0 on */
export function nonNegativeInteger(flag: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new UsageError(`--${flag}: got ${value}, must be an integer of at least 0${below(value)}`);
}

/** All cores unless stated. @throws UsageError unless it is a positive integer */
export function workerCount(given: number | undefined): number {
  return given === undefined ? availableParallelism() : positiveInteger("workers", given);
}

/** @throws UsageError unless it is `all` or a positive integer */
export function memberCount(text: string): number | "all" {
  if (text === "all") return "all";
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`--members: got "${text}", must be all or a positive integer`);
}

/** @throws UsageError for anything but `all`, `grok` or step numbers separated by commas */
export function stepChoice(text: string): StepChoice {
  if (text === "all" || text === "grok") return text;
  return text.split(",").map((part) => {
    if (!/^\d+$/.test(part.trim()))
      throw new UsageError(`--steps: got "${text}", must be all, grok, or step numbers such as 500,1000`);
    return Number(part);
  });
}

/**
 * Names separated by commas, in the order of `known`.
 * @param what they are, for the message
 * @throws UsageError for a name that is not known
 */
export function namesIn<Name extends string>(text: string, known: readonly Name[], what: string): Name[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if ((known as readonly string[]).includes(name)) continue;
    const near = nearestName(name, known);
    throw new UsageError(
      `unknown ${what} "${name}"; ${near ? `did you mean "${near}"?` : `there are: ${known.join(", ")}`}`,
    );
  }
  return known.filter((name) => names.includes(name));
}

/** One and the same directory counts once, however it is written. */
export function distinctPaths(paths: readonly string[]): string[] {
  const absolute = paths.map((path) => resolve(path));
  return paths.filter((_, i) => absolute.indexOf(absolute[i]) === i);
}

/** A value outside its range is a mistake in the flags. */
export async function asUsage<T>(compute: () => T | Promise<T>): Promise<T> {
  try {
    return await compute();
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message) : error;
  }
}
