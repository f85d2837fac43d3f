/** What settings can be made of: data as JSON has it. */
import { UsageError } from "../errors.ts";

/** Far deeper than any configuration. */
const MOST_LEVELS = 16;

export const ENDLESS = `contains itself, or nests more than ${MOST_LEVELS} levels deep`;

/** A plain object; of another realm too, whose Object is another one. */
export function isSection(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** @throws UsageError naming the source of a value that is no data, or data without end */
export function requireData(value: unknown, source: string, levels = MOST_LEVELS): void {
  if (["bigint", "function", "symbol"].includes(typeof value))
    throw new UsageError(`${source}: contains a ${typeof value}, which no setting is`);
  if (typeof value !== "object" || value === null) return;
  if (!isSection(value) && !Array.isArray(value))
    throw new UsageError(`${source}: contains a ${value.constructor?.name}, which no setting is`);
  if (levels === 0) throw new UsageError(`${source}: ${ENDLESS}`);
  for (const inner of Object.values(value)) requireData(inner, source, levels - 1);
}
