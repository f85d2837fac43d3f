/** When accuracy or a score was high enough for three evaluations in a row, and what alarms are against events. */
import { SUSTAINED_EVALUATIONS } from "../../dist/uncertainty/events.js";

/**
 * Whether an evaluation is one of at least three in a row that hold. null: one of fewer at the end of the run, of which
 * nobody knows how they go on.
 */
export function sustained(holds) {
  const result = holds.map(() => false);
  for (let begin = 0; begin < holds.length; ) {
    let end = begin;
    while (end < holds.length && holds[end]) end++;
    const enough = end - begin >= SUSTAINED_EVALUATIONS;
    for (let i = begin; i < end; i++) result[i] = enough || (end === holds.length ? null : false);
    begin = end + 1;
  }
  return result;
}

/** Index of the first of three in a row; -1 if there is none. */
export const firstSustained = (holds) => sustained(holds).indexOf(true);

/** For each evaluation the lowest of a score at it and the two before: what three in a row are all at least. */
export function lowestInRow(scores) {
  const before = SUSTAINED_EVALUATIONS - 1;
  return scores.map((_, i) => (i < before ? -Infinity : Math.min(...scores.slice(i - before, i + 1))));
}

/**
 * What an alarm was worth: with its lead in octaves, log2(alarm / event), where there are both.
 * @param alarm step, or null
 * @param event step, or null; at step 0 there is none
 */
export function outcome(alarm, event) {
  if (event === null) return { kind: alarm === null ? "none due" : "false" };
  if (alarm === null) return { kind: "missed" };
  // An alarm at the very start is one an evaluation earlier than can be.
  return { kind: "found", lead: Math.log2(Math.max(alarm, 1) / event) };
}
