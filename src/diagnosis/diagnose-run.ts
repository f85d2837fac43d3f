/** The diagnosis of a run directory, from the predictions that it has kept. */
import type { RunData } from "../run/read.ts";
import { Diagnosis } from "./diagnose.ts";
import { keptEvaluations } from "./kept-evaluations.ts";

/**
 * The ceiling is that of the exact Bayesian predictor. Answers on unseen tasks are shown beside the estimate, and have no
 * part in it.
 *
 * @returns null for a run that has kept no predictions
 * @throws UsageError if a file of it is damaged
 */
export async function diagnoseRun(run: RunData): Promise<Diagnosis | null> {
  const { chance, ceiling } = run.references.unseenTasks ?? {};
  const diagnosis = new Diagnosis({ chance, ceiling });
  let found = false;
  for await (const evaluation of keptEvaluations(run)) {
    found = true;
    diagnosis.push(evaluation);
  }
  return found ? diagnosis : null;
}
