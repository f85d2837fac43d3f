/** What is known of prompts that are asked back, of a probe set with its references. */
import { cycleCeiling, shownFirst } from "../../dist/tasks/cycle.js";

/** @returns what the prompts show, and how many come back by chance and can come back; as the diagnosis of a run has it */
export function askedOf(task, probe) {
  return {
    labels: shownFirst(probe.batch, task.variables),
    scale: { chance: probe.reference.ceilingByPosition[0], ceiling: cycleCeiling(task, probe) },
  };
}
