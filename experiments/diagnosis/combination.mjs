/** In place of the rule without prompts asked back: a logistic regression on development runs, of what can be printed. */
import { fitLogistic } from "./regression.mjs";

const RIDGE = 1e-3;

/** The estimate, as a share of the way from chance to the ceiling, and the share of pairs of members that agree. */
const featuresOf = ({ withoutCycle: { estimate }, estimates }, { chance, ceiling }) => [
  (estimate.value - chance) / (ceiling - chance),
  estimates.agreement,
];

/** Of each evaluation that is not untrained and of which it is known whether it has generalised. */
export function fitCombination(development) {
  const items = development.flatMap(({ evaluations, generalised, scale }) =>
    evaluations.flatMap((evaluation, i) =>
      generalised[i] === null || evaluation.state === "untrained"
        ? []
        : [{ row: featuresOf(evaluation, scale), label: Number(generalised[i]) }],
    ),
  );
  const probability = fitLogistic(
    items.map(({ row }) => row),
    items.map(({ label }) => label),
    items.map(() => 1),
    RIDGE,
  );
  const logit = (row) => Math.log(probability(row) / (1 - probability(row)));
  const constant = logit([0, 0]);
  return {
    of: (evaluation, scale) => probability(featuresOf(evaluation, scale)),
    coefficients: { constant, estimate: logit([1, 0]) - constant, agreement: logit([0, 1]) - constant },
  };
}
