/** Records in long format: a row for each number. */
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { MetricsRecord } from "./records.ts";

export interface MetricNumber {
  /** Parts of a measure have a name each, such as `distanceG.totalVariation`. */
  metric: string;
  /** Of a prompt, from 0; null: the last one, or none. */
  position: number | null;
  value: number | null;
}

/** A number of an evaluation. */
export interface MetricRow extends MetricNumber {
  step: number;
  /** null: of the ensemble. */
  member: number | null;
  /** null for what is of none. */
  set: ProbeSetName | null;
}

/** Every number of an evaluation that is there: the ensemble's, then each member's. */
export function metricRows({ step, tokens, learningRate, members, ensemble }: MetricsRecord): MetricRow[] {
  const rows = (member: number | null, own: object, sets: object): MetricRow[] => [
    ...numbersIn(own).map((number) => ({ step, member, set: null, ...number })),
    ...Object.entries(sets).flatMap(([set, measures]) =>
      numbersIn(measures).map((number) => ({ step, member, set: set as ProbeSetName, ...number })),
    ),
  ];
  return [
    ...rows(null, { tokens, learningRate }, ensemble),
    ...members.flatMap(({ member, sets, ...own }) => rows(member, own, sets)),
  ];
}

/** Of measures by name: `accuracyByPosition` is accuracy at each position. */
export const numbersIn = (measures: object): MetricNumber[] =>
  Object.entries(measures).flatMap(([name, value]) => numbersOf(name, value));

function numbersOf(name: string, value: unknown): MetricNumber[] {
  if (Array.isArray(value)) {
    const metric = name.replace(/ByPosition$/, "");
    return value.map((number, position) => ({ metric, position, value: number }));
  }
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([part, inner]) => numbersOf(`${name}.${part}`, inner));
  return typeof value === "number" ? [{ metric: name, position: null, value }] : [];
}
