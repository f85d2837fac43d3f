/** Tables for the terminal. */

/** Cells as text, with a heading row. */
export interface TextTable {
  head: string[];
  rows: string[][];
  caption: string;
}

/** Columns aligned to the right; the caption comes last. */
export function alignedText({ head, rows, caption }: TextTable): string {
  const lines = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const format = (line: string[]) => line.map((cell, i) => cell.padStart(widths[i])).join("  ");
  return [...lines.map(format), "", caption].join("\n");
}
