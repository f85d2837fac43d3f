/** The metrics of runs through training in long format: a row for each number of each evaluation. */
import { type MetricRow, metricRows } from "../run/metric-rows.ts";
import { readMetrics } from "../run/read.ts";
import type { Column, Table } from "../run/table.ts";
import type { Settings } from "../sweep/definition.ts";
import { runColumns } from "../sweep/results.ts";

const COLUMNS = [
  { name: "step", type: "integer" },
  { name: "member", type: "integer" },
  { name: "set", type: "text" },
  { name: "position", type: "integer" },
  { name: "metric", type: "text" },
  { name: "value", type: "number" },
] as const satisfies (Column & { name: keyof MetricRow })[];

/** A run that is to be exported. */
export interface ExportedRun {
  directory: string;
  /** Of a sweep the hash of the run, else the last part of its directory's path. */
  run: string;
  /** What tells it from the other runs of its sweep. */
  settings: Settings;
}

/** Reads the runs one after the other, as the rows are asked for. */
export function metricsTable(runs: readonly ExportedRun[]): Table {
  const { columns, cells } = runColumns(runs);
  return {
    columns: [...columns, ...COLUMNS],
    async *rows() {
      for (const run of runs)
        for (const record of await readMetrics(run.directory))
          yield metricRows(record).map((row) => [...cells(run), ...COLUMNS.map(({ name }) => row[name])]);
    },
  };
}
