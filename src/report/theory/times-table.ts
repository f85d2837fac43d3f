/** Times over lambda as a table. */
import type { TextTable } from "../text-table.ts";
import type { TimesRow } from "./times-row.ts";

/** Rows of times as text cells, with a heading row. */
export function timesTable(rows: TimesRow[]): TextTable {
  return {
    caption:
      "Without label noise. ∞: never. t U is the first time from the peak on at which V has fallen to the level.",
    head: ["λ", "t train", "t gen", "residual: t peak", "V peak", "t U", "ELBO: t peak", "V peak", "t U"],
    rows: rows.map((row) => [
      String(row.lambda),
      ...[row.tTrain, row.tGen].map(formatTime),
      ...[row.residual, row.elbo].flatMap(({ tPeak, vPeak, tU }) => [
        formatTime(tPeak),
        vPeak === null ? "–" : vPeak.toPrecision(3),
        formatTime(tU),
      ]),
    ]),
  };
}

/** Four significant digits; ∞ for a time that does not exist. */
export function formatTime(t: number): string {
  if (t === Infinity) return "∞";
  return t >= 1e4 ? t.toExponential(3) : t.toPrecision(4);
}
