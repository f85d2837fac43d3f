/**
 * All that the benchmark needs of a run, from one reading of its predictions: estimates and statistics at every evaluation
 * beside the truth, what the baselines score, single prompts, and the same with fewer members and prompts.
 */
import { accuracyOf, answersOf, estimatesOf } from "../../dist/diagnosis/estimators.js";
import { decompose, GrokkingDetector, readRun } from "../../dist/index.js";
import { UNLABELLED_STATISTICS } from "../../dist/uncertainty/statistics.js";
import { labelsOf, part, predictionsAt, subsets } from "./predictions.mjs";
import { mean } from "./ranking.mjs";
import { singlePrompts } from "./single-prompts.mjs";
import { weightsAt } from "./weights.mjs";

/** In the table of sizes: fewer prompts, for all members. */
const PROMPTS = [64, 16];

/** @param withSizes whether to try fewer members and prompts */
export async function measure(directory, withSizes) {
  const { config, records, references } = await readRun(directory);
  const { chance, ceiling } = references.unseenTasks;
  const trained = references.trainPrompts ?? references.seenTasks;
  const classes = config.task.modulus;
  const labels = labelsOf(config);
  const detector = new GrokkingDetector();
  const sizes = (withSizes ? sizesOf(config) : []).map((size) => ({ ...size, evaluations: [] }));
  const evaluations = [];
  for (const { step, members, ensemble } of records) {
    const kept = predictionsAt(directory, step);
    const unseen = predictionOf(kept.unseen, labels.unseenTasks);
    const seen = predictionOf(kept.seen, labels.seenTasks);
    for (const size of sizes) size.evaluations.push(sized(size, step, kept, seen, labels));
    const statistics = Object.fromEntries(
      UNLABELLED_STATISTICS.map((name) => [name, ensemble.unseenTasks[name]]),
    );
    detector.push({ ...statistics, step, members: unseen.members, classes });
    evaluations.push({
      ...{ step, members: unseen.members, statistics },
      ...{ accuracy: accuracyOf(unseen), seenAccuracy: accuracyOf(seen) },
      trainedAccuracy: (ensemble.trainPrompts ?? ensemble.seenTasks).accuracy,
      estimates: estimatesOf(unseen, seen),
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

/** @param seen of all members */
function sized({ members, prompts }, step, kept, seen, labels) {
  const unseen = predictionOf(part(kept.unseen, members, prompts), labels.unseenTasks.subarray(0, prompts));
  const ownSeen =
    members.length === seen.members
      ? seen
      : predictionOf(part(kept.seen, members, kept.seen.shape[1]), labels.seenTasks);
  return {
    ...{ step, members: members.length, accuracy: accuracyOf(unseen) },
    estimates: estimatesOf(unseen, ownSeen),
    statistics: { expectedEntropy: mean([...unseen.expectedEntropy]) },
  };
}

/** What the estimates take: as in the class Diagnosis. */
function predictionOf({ shape: [members, prompts, classes], data }, targets) {
  const parts = decompose(data, { members, prompts, classes });
  const size = prompts * classes;
  return {
    ...{ ...parts, members, classes, targets },
    memberAnswers: Array.from({ length: members }, (_, m) =>
      answersOf(data.subarray(m * size, (m + 1) * size), classes),
    ),
    answers: answersOf(parts.mean, classes),
  };
}
