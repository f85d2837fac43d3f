/** What says that an ensemble has generalised: scores of an evaluation, the higher the more likely. */

const UNTRAINED = "untrained";
/** Evaluations over which a plateau is one. */
const PLATEAU = 2;

/**
 * `of(evaluation, { classes, members, before })`: the score, null where the run does not have it; `before` are the
 * evaluations up to this one, which is the last. `labels`: what it takes beside the predictions on unseen prompts.
 */
export const SIGNALS = {
  rule: { label: "**rule**: probability", of: ({ generalised }) => generalised },
  estimate: { label: "estimated accuracy", of: ({ estimate }) => estimate.value },
  withoutCycle: { label: "rule, nothing asked back", of: ({ withoutCycle }) => withoutCycle.generalised },
  combined: { label: "estimate of the latter and agreement, fitted", of: ({ combined }) => combined },
  consensus: { label: "consensus, without seen tasks", of: ({ estimates }) => estimates.consensus },
  difference: { label: "DoC", of: ({ estimates }) => estimates.difference },
  threshold: { label: "ATC", of: ({ estimates }) => estimates.threshold },
  agreement: { label: "GDE (less disagreement)", of: ({ estimates }) => estimates.agreement },
  confidence: { label: "mean confidence", of: ({ estimates }) => estimates.confidence },
  mutualInformation: {
    label: "less mutual information",
    of: ({ statistics }) => -statistics.mutualInformation,
  },
  expectedEntropy: { label: "less expected entropy", of: ({ statistics }) => -statistics.expectedEntropy },
  totalEntropy: { label: "less total entropy", of: ({ statistics }) => -statistics.totalEntropy },
  memberEntropy: { label: "less entropy of one member", of: ({ memberEntropy }) => -memberEntropy },
  collapse: { label: "collapse of mutual information", of: ({ collapsed }) => Number(collapsed) },
  distanceM: { label: "distance to M", of: ({ distanceM }) => distanceM },
  seenAccuracy: { label: "accuracy on fresh prompts of seen tasks", of: ({ seenAccuracy }) => seenAccuracy },
  weightNorm: { label: "less weight norm", of: (_, { before }) => negated(newestWeights(before)?.norm) },
  effectiveRank: {
    label: "less effective rank",
    of: (_, { before }) => negated(newestWeights(before)?.effectiveRank),
  },
  loss: { label: "less training loss", of: ({ loss }) => (loss === null ? -Infinity : -loss) },
  plateau: { label: "plateau of the training loss", of: (_, { before }) => -changeOfLoss(before) },
  time: { label: "steps (a constant time)", of: ({ step }) => step },
};

const negated = (value) => (value === undefined ? null : -value);

const newestWeights = (before) => before.findLast(({ weights }) => weights !== null)?.weights;

/** Of its logarithm. */
function changeOfLoss(before) {
  const [first, last] = [before.at(-1 - PLATEAU)?.loss, before.at(-1).loss];
  return first && last ? Math.abs(Math.log(last / first)) : Infinity;
}

/**
 * Scores at all evaluations of a run; null if it does not have them. Every signal is given the rule's knowledge of who is
 * untrained: such an evaluation has the lowest score.
 */
export function scoresOf(name, { evaluations }) {
  const scores = evaluations.map((evaluation, i) =>
    SIGNALS[name].of(evaluation, { before: evaluations.slice(0, i + 1) }),
  );
  if (scores.some((score) => score === null)) return null;
  return scores.map((score, i) => (evaluations[i].state === UNTRAINED ? -Infinity : score));
}
