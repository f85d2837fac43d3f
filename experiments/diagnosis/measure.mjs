/**
 * All that the benchmark needs of a run, from one reading of its predictions: estimates and statistics at every evaluation
 * beside the truth, what the baselines score, and single prompts.
 */
import { accuracyOf, answersOf, estimatesOf } from "../../dist/diagnosis/estimators.js";
import { createProbeSets, decompose, GrokkingDetector, readRun } from "../../dist/index.js";
import { UNLABELLED_STATISTICS } from "../../dist/uncertainty/statistics.js";
import { askedOf } from "./asked-back.mjs";
import { labelsOf, predictionsAt } from "./predictions.mjs";
import { mean } from "./ranking.mjs";
import { singlePrompts } from "./single-prompts.mjs";
import { weightsAt } from "./weights.mjs";

export async function measure(directory) {
  const { config, records, references } = await readRun(directory);
  const { chance, ceiling } = references.unseenTasks;
  const trained = references.trainPrompts ?? references.seenTasks;
  const classes = config.task.modulus;
  const labels = labelsOf(config);
  const unseenTasks = createProbeSets(config).find(({ name }) => name === "unseenTasks");
  const asked = askedOf(config.task, unseenTasks);
  const detector = new GrokkingDetector();
  const evaluations = [];
  for (const { step, members, ensemble } of records) {
    const kept = predictionsAt(directory, step);
    const unseen = predictionOf(kept.unseen, labels.unseenTasks);
    const seen = predictionOf(kept.seen, labels.seenTasks);
    const cycle = kept.cycle && { ...predictionOf(kept.cycle, asked.labels), scale: asked.scale };
    const statistics = Object.fromEntries(
      UNLABELLED_STATISTICS.map((name) => [name, ensemble.unseenTasks[name]]),
    );
    detector.push({ ...statistics, step, members: unseen.members, classes });
    evaluations.push({
      ...{ step, members: unseen.members, statistics },
      ...{ accuracy: accuracyOf(unseen), seenAccuracy: accuracyOf(seen) },
      trainedAccuracy: (ensemble.trainPrompts ?? ensemble.seenTasks).accuracy,
      estimates: estimatesOf(unseen, { seen, cycle }, { chance, ceiling }),
      collapsed: detector.state.collapseStep !== null,
      memberEntropy: members[0].sets.unseenTasks.entropy,
      loss: members.some(({ loss }) => loss === null) ? null : mean(members.map(({ loss }) => loss)),
      distanceM: ensemble.unseenTasks.distanceM?.jensenShannon ?? null,
      weights: weightsAt(directory, step),
      single: singlePrompts(unseen, seen),
    });
  }
  return {
    ...{ config, scale: { chance, ceiling }, members: config.ensemble.members },
    trainedScale: { chance: trained.chance, ceiling: trained.lookUpCeiling ?? trained.ceiling },
    collapseStep: detector.state.collapseStep,
    evaluations,
  };
}

/** What the estimates take: as in the class Diagnosis. */
export function predictionOf({ shape: [members, prompts, classes], data }, targets) {
  const parts = decompose(data, { members, prompts, classes });
  const size = prompts * classes;
  const memberProbabilities = Array.from({ length: members }, (_, m) =>
    data.subarray(m * size, (m + 1) * size),
  );
  return {
    ...{ ...parts, members, classes, targets, memberProbabilities },
    memberAnswers: memberProbabilities.map((p) => answersOf(p, classes)),
    answers: answersOf(parts.mean, classes),
  };
}
