/** What the stream of a progress can show, and lines that fit it. */

/** Where the lines go. */
export type ProgressStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** Whether lines can be drawn over: a terminal that calls itself dumb shows the movements of the cursor as text. */
export function canRedraw(stream: ProgressStream): boolean {
  return stream.isTTY === true && process.env.TERM !== "dumb";
}

/**
 * Columns of a line. A terminal that does not know its width says 0, or nothing; the last column stays free, because
 * clearing what follows a full line clears its last letter.
 */
export const columnsOf = ({ columns }: ProgressStream) => (columns || 80) - 1;

/** What cli-progress is told; the lines themselves are made here. */
export const BAR_STYLE = { hideCursor: true, gracefulExit: false };

/** One part of a line; of those that do not fit, the one with the lowest weight goes first. */
export interface Part {
  text: string;
  weight: number;
}

/** The parts that fit a line, two spaces apart; what is left of a single one that does not. */
export function fitted(columns: number, parts: readonly Part[]): string {
  const join = (some: readonly Part[]) => some.map(({ text }) => text).join("  ");
  let kept = [...parts];
  while (kept.length > 1 && join(kept).length > columns) {
    const lightest = Math.min(...kept.map(({ weight }) => weight));
    kept = kept.filter(({ weight }) => weight > lightest);
  }
  return join(kept).slice(0, columns);
}

const LONGEST_BAR = 24;
const SHORTEST_BAR = 8;

/** A bar with a share from 0 to 1 done, between a label and as many parts as leave room for it. */
export function barLine(columns: number, label: string, share: number, parts: readonly Part[]): string {
  const taken = label.length + "[] ".length;
  const rest = fitted(Math.max(1, columns - taken - SHORTEST_BAR), parts);
  const size = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, columns - taken - rest.length));
  const done = Math.round(Math.min(1, Math.max(0, share)) * size);
  return `${label}[${"=".repeat(done)}${"-".repeat(size - done)}] ${rest}`;
}
