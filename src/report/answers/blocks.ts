/** The parts of an answer table: rows that belong together, and how many of their cells are right. */
import type { AnswerRecord, CellAnswers } from "../../run/records.ts";

export interface Block {
  label: string;
  columns: number;
  /** By cell of the block, in rows. */
  cells: Cell[];
  /** Share of the answers of all members that are right; null for a block without prompts. */
  right: number | null;
}

/** null: no prompt. */
export type Cell = {
  /** Share of the members that answer right. */
  right: number;
  /** Mean probability that they give their own answers. */
  confidence: number;
} | null;

/** What is trained, with a pool; what has to be inferred of seen tasks; and of unseen ones. */
export function blocksOf(record: AnswerRecord): Block[] {
  const { tasks, seenTasks, fresh, pool } = record;
  return [
    ...(pool ? [block("trained prompts", record, pool, 0, seenTasks)] : []),
    block(pool ? "seen tasks, fresh" : "seen tasks", record, fresh, 0, seenTasks),
    block("unseen tasks", record, fresh, seenTasks, tasks.length),
  ].filter(({ cells }) => cells.length > 0);
}

function block(
  label: string,
  { members, inputs: { length: columns } }: AnswerRecord,
  { right, confidence }: CellAnswers,
  fromRow: number,
  toRow: number,
): Block {
  const cells = Array.from({ length: (toRow - fromRow) * columns }, (_, i): Cell => {
    const cell = fromRow * columns + i;
    const [hits, sure] = [right[cell], confidence[cell]];
    return hits === null || sure === null ? null : { right: hits / members, confidence: sure };
  });
  const asked = cells.filter((cell) => cell !== null);
  const hits = asked.reduce((sum, cell) => sum + cell.right, 0);
  return { label, columns, cells, right: asked.length > 0 ? hits / asked.length : null };
}
