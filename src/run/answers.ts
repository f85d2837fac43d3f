/** From the members' answers at one step to a line of answers.jsonl. */
import type { AnswerTable } from "../tasks/answer-table.ts";
import type { MemberAnswers } from "../training/messages.ts";
import type { AnswerRecord, CellAnswers } from "./records.ts";

export function measureAnswers(
  step: number,
  members: readonly MemberAnswers[],
  table: AnswerTable,
): AnswerRecord {
  const { tasks, seenTasks, inputs, seenInputs, cells, pooled } = table;
  const fresh = cells.length - pooled;
  const over = (from: number, to: number): CellAnswers => {
    const size = tasks.length * inputs.length;
    const answers: CellAnswers = {
      right: new Array(size).fill(null),
      confidence: new Array(size).fill(null),
    };
    for (let prompt = from; prompt < to; prompt++) {
      const sum = (part: keyof MemberAnswers) => members.reduce((total, own) => total + own[part][prompt], 0);
      answers.right[cells[prompt]] = sum("right");
      answers.confidence[cells[prompt]] = Math.round((100 * sum("confidence")) / members.length) / 100;
    }
    return answers;
  };
  return {
    ...{ step, members: members.length },
    ...{ tasks: Array.from(tasks), seenTasks, inputs: Array.from(inputs), seenInputs },
    fresh: over(0, fresh),
    ...(pooled > 0 && { pool: over(fresh, cells.length) }),
  };
}
