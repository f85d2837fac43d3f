/** What the members of a run say on more prompts of unseen tasks than it was evaluated on, from its checkpoints. */
import { answersOf } from "../../dist/diagnosis/estimators.js";
import { createProbeSets, loadCheckpoint, readRun } from "../../dist/index.js";
import { askedBack } from "../../dist/tasks/cycle.js";
import { askedOf } from "./asked-back.mjs";
import { predictionsAt } from "./predictions.mjs";

const SET = "unseenTasks";

/**
 * @param prompts drawn as the run drew its own, which are the first of them
 * @returns at every evaluation that kept a checkpoint (members, prompts, classes) on unseen tasks, on these asked back, and
 *   on seen tasks; the answers on unseen tasks, what these prompts show that is asked for, and what an exact predictor
 *   knows of both
 */
export async function unseenFromCheckpoints(directory, prompts) {
  const { config, records } = await readRun(directory);
  // A pool could not do without as many prompts of seen tasks, and these are not asked for.
  const task = { ...config.task, promptPool: 0 };
  const sets = createProbeSets({ task, seed: config.seed, evaluation: { prompts } });
  const asked = sets.find(({ name }) => name === SET);
  const { batch, reference } = asked;
  const { modulus: classes, variables } = config.task;
  const last = batch.positions.length - 1;
  const members = [...Array(config.ensemble.members).keys()];
  const evaluations = [];
  for (const { step } of records) {
    const [data, back] = [0, 1].map(() => new Float32Array(members.length * prompts * classes));
    for (const member of members) {
      const { model } = await loadCheckpoint(directory, { member, step });
      const probabilities = model.probabilities(batch);
      const from = member * prompts * classes;
      for (let b = 0; b < prompts; b++) {
        const row = (b * batch.positions.length + last) * classes;
        data.set(probabilities.subarray(row, row + classes), from + b * classes);
      }
      const answers = answersOf(data.subarray(from, from + prompts * classes), classes);
      back.set(model.probabilities(askedBack(batch, variables, answers)), from);
    }
    const shape = [members.length, prompts, classes];
    evaluations.push({
      ...{ step, unseen: { shape, data }, cycle: { shape, data: back } },
      seen: predictionsAt(directory, step).seen,
    });
  }
  return {
    ...{ config, evaluations, scale: { chance: reference.chance, ceiling: reference.ceiling } },
    cycle: askedOf(task, asked),
    labels: batch.targets.filter((_, i) => i % batch.positions.length === last),
  };
}
