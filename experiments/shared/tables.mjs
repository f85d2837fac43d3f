/** Markdown tables of numbers with their intervals. */

export const number = (value, digits = 2) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
export const step = (value) => (value === null || value === undefined ? "never" : String(Math.round(value)));
export const share = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);

/** `value [low, high]`; an end that is null is "never", or not known. @param cell how a number is written */
export function withInterval({ value, interval }, cell = number) {
  return `${cell(value)} [${interval.map((end) => cell(end)).join(", ")}]`;
}

export function table(header, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Of `task.promptPool`. */
export const poolName = (pool) => (pool === 0 ? "fresh" : pool);
