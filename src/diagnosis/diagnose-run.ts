/** The diagnosis of a run directory, from the predictions that it has kept. */
import type { RunData } from "../run/read.ts";
import { CYCLE_SET, canBeAskedBack, cycleCeiling } from "../tasks/cycle.ts";
import { drawProbePrompts } from "../tasks/probe-prompts.ts";
import { Diagnosis, type DiagnosisSettings } from "./diagnose.ts";
import { keptEvaluations } from "./kept-evaluations.ts";

/**
 * The ceilings are those of the exact Bayesian predictor. Answers on unseen tasks are shown beside the estimate, and have no
 * part in it.
 *
 * @returns null for a run that has kept no predictions
 * @throws UsageError if a file of it is damaged
 */
export async function diagnoseRun(run: RunData): Promise<Diagnosis | null> {
  const { chance, ceiling } = run.references.unseenTasks ?? {};
  const diagnosis = new Diagnosis({ chance, ceiling, ...cycleScaleOf(run) });
  let found = false;
  for await (const evaluation of keptEvaluations(run)) {
    found = true;
    diagnosis.push(evaluation);
  }
  return found ? diagnosis : null;
}

/** Chance is to know what all tasks have in common, and nothing of the prompt's own. */
function cycleScaleOf({ config, references }: RunData): DiagnosisSettings {
  const { task, seed, evaluation } = config;
  if (!canBeAskedBack(task)) return {};
  const asked = drawProbePrompts(task, seed, evaluation.prompts).find(({ name }) => name === CYCLE_SET)!;
  return {
    cycleChance: references[CYCLE_SET]?.ceilingByPosition[0],
    cycleCeiling: cycleCeiling(task, asked),
  };
}
