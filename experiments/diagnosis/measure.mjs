/**
 * All that the benchmark needs of a run, from one reading of its predictions: estimates and statistics at every evaluation
 * beside the truth, what the baselines score, single prompts, and the same with fewer members and prompts.
 */
import { Diagnosis, readRun } from "../../dist/index.js";
import { labelsOf, part, predictionsAt, subsets } from "./predictions.mjs";
import { singlePrompts } from "./single-prompts.mjs";
import { weightsAt } from "./weights.mjs";

/** In the table of sizes: fewer prompts, for all members. */
const PROMPTS = [64, 16];

/** @param withSizes whether to try fewer members and prompts */
export async function measure(directory, withSizes) {
  const { config, records, references } = await readRun(directory);
  const { chance, ceiling } = references.unseenTasks;
  const trained = references.trainPrompts ?? references.seenTasks;
  const labels = labelsOf(config);
  const whole = new Diagnosis();
  const sizes = (withSizes ? sizesOf(config) : []).map((size) => ({ ...size, evaluations: [] }));
  const evaluations = [];
  for (const record of records) {
    const { step } = record;
    const kept = predictionsAt(directory, step);
    const said = whole.push({
      step,
      predictions: kept.unseen,
      seen: { predictions: kept.seen, labels: labels.seenTasks },
      labels: labels.unseenTasks,
    });
    for (const size of sizes)
      size.evaluations.push(
        briefly(
          new Diagnosis().push({
            step,
            predictions: part(kept.unseen, size.members, size.prompts),
            labels: labels.unseenTasks.subarray(0, size.prompts),
            seen: {
              predictions: part(kept.seen, size.members, kept.seen.shape[1]),
              labels: labels.seenTasks,
            },
          }),
        ),
      );
    evaluations.push({
      ...briefly(said),
      collapsed: whole.detector.collapseStep !== null,
      memberEntropy: record.members[0].sets.unseenTasks.entropy,
      seenAccuracy: said.seenAccuracy,
      trainedAccuracy: (record.ensemble.trainPrompts ?? record.ensemble.seenTasks).accuracy,
      loss: meanOf(record.members.map(({ loss }) => loss)),
      distanceM: record.ensemble.unseenTasks.distanceM?.jensenShannon ?? null,
      weights: weightsAt(directory, step),
      single: singlePrompts({ ...kept, labels }),
    });
  }
  return {
    ...{ config, scale: { chance, ceiling }, members: config.ensemble.members },
    trainedScale: { chance: trained.chance, ceiling: trained.lookUpCeiling ?? trained.ceiling },
    collapseStep: whole.result.collapseStep,
    evaluations,
    sizes: sizes.map((size) => ({ ...size, members: size.members.length })),
  };
}

/** All subsets of two members or more, with all prompts; all members with fewer. */
function sizesOf({ ensemble, evaluation }) {
  const all = [...Array(ensemble.members).keys()];
  return [
    ...all
      .slice(2)
      .flatMap((size) => subsets(all, size))
      .map((members) => ({ members, prompts: evaluation.prompts })),
    ...PROMPTS.filter((n) => n < evaluation.prompts).map((prompts) => ({ members: all, prompts })),
  ];
}

const briefly = ({ step, members, accuracy, estimates, statistics }) => ({
  ...{ step, members, accuracy, estimates, statistics },
});

const meanOf = (values) =>
  values.some((value) => value === null)
    ? null
    : values.reduce((sum, value) => sum + value, 0) / values.length;
