/** What the members of a run say on more prompts of unseen tasks than it was evaluated on, from its checkpoints. */
import { createProbeSets, loadCheckpoint, readRun } from "../../dist/index.js";
import { predictionsAt } from "./predictions.mjs";

const SET = "unseenTasks";

/**
 * @param prompts drawn as the run drew its own, which are the first of them
 * @returns at every evaluation that kept a checkpoint (members, prompts, classes) on unseen and on seen tasks; the answers
 *   on unseen tasks, and what an exact predictor knows of them
 */
export async function unseenFromCheckpoints(directory, prompts) {
  const { config, records } = await readRun(directory);
  // A pool could not do without as many prompts of seen tasks, and these are not asked for.
  const task = { ...config.task, promptPool: 0 };
  const sets = createProbeSets({ task, seed: config.seed, evaluation: { prompts } });
  const { batch, reference } = sets.find(({ name }) => name === SET);
  const { modulus: classes } = config.task;
  const last = batch.positions.length - 1;
  const members = [...Array(config.ensemble.members).keys()];
  const evaluations = [];
  for (const { step } of records) {
    const data = new Float32Array(members.length * prompts * classes);
    for (const member of members) {
      const { model } = await loadCheckpoint(directory, { member, step });
      const probabilities = model.probabilities(batch);
      for (let b = 0; b < prompts; b++) {
        const from = (b * batch.positions.length + last) * classes;
        data.set(probabilities.subarray(from, from + classes), (member * prompts + b) * classes);
      }
    }
    const unseen = { shape: [members.length, prompts, classes], data };
    evaluations.push({ step, unseen, seen: predictionsAt(directory, step).seen });
  }
  return {
    ...{ config, evaluations, scale: { chance: reference.chance, ceiling: reference.ceiling } },
    labels: batch.targets.filter((_, i) => i % batch.positions.length === last),
  };
}
