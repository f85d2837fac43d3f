/** The settings in which the runs of a sweep differ. */
import { nearestName } from "../../config/nearest-name.ts";
import { UsageError } from "../../errors.ts";
import type { Settings } from "../../sweep/definition.ts";

export interface ReportAxis {
  key: string;
  /** Numbers ascending, everything else in the order of the sweep. */
  values: unknown[];
}

/** Repetitions of a run, over which others are taken together. */
const REPETITION = "seed";

/** Those with more than one value; the seed last. */
export function axesOf(runs: readonly { settings: Settings }[]): ReportAxis[] {
  const keys = [...new Set(runs.flatMap(({ settings }) => Object.keys(settings)))];
  const axes = keys
    .map((key) => ({ key, values: valuesOf(runs, key) }))
    .filter(({ values }) => values.length > 1);
  return [...axes.filter(({ key }) => key !== REPETITION), ...axes.filter(({ key }) => key === REPETITION)];
}

function valuesOf(runs: readonly { settings: Settings }[], key: string): unknown[] {
  const distinct = new Map(
    runs.flatMap(({ settings }) => (key in settings ? [[JSON.stringify(settings[key]), settings[key]]] : [])),
  );
  const values = [...distinct.values()];
  return values.every((value) => typeof value === "number") ? values.sort((a, b) => a - b) : values;
}

export const axesInWords = (axes: readonly ReportAxis[]): string =>
  axes.map(({ key, values }) => `${values.length} of ${key}`).join(", ");

/** Which two axes a picture has; null for one that the sweep does not have. */
export interface ChosenAxes {
  x: ReportAxis | null;
  y: ReportAxis | null;
}

/**
 * Those that were asked for, else the first ones that are no repetitions.
 * @throws UsageError for a setting in which the runs do not differ
 */
export function chooseAxes(axes: readonly ReportAxis[], asked: { x?: string; y?: string }): ChosenAxes {
  const named = (flag: string, key: string | undefined) => {
    if (key === undefined) return undefined;
    const found = axes.find((axis) => axis.key === key);
    if (found) return found;
    const names = axes.map((axis) => axis.key);
    const near = nearestName(key, names);
    throw new UsageError(
      `--${flag}: the runs do not differ in ${key}; ${near ? `did you mean ${near}?` : `they do in: ${names.join(", ") || "nothing"}`}`,
    );
  };
  const x = named("x", asked.x);
  const y = named("y", asked.y);
  if (x && x === y) throw new UsageError(`--y: got ${asked.y}, must be another setting than --x`);
  const rest = axes.filter((axis) => axis !== x && axis !== y && axis.key !== REPETITION);
  const first = x ?? rest.shift() ?? null;
  return { x: first, y: y ?? rest.shift() ?? null };
}
