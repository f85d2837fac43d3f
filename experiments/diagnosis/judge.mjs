/** What the rule says of an evaluation whose estimates are known, as the class Diagnosis does. */
import { ALARM, combine, generalisedProbability, stateOf } from "../../dist/diagnosis/rule.js";
import { firstSustained } from "./events.mjs";

/** @param run `{ prompts, classes, scale, withSeen }`; without labels of seen tasks some estimates are not there */
export function judged(evaluation, { prompts, classes, scale, withSeen = true }) {
  const { members, statistics } = evaluation;
  const estimates = withSeen
    ? evaluation.estimates
    : { ...evaluation.estimates, consensusDifference: null, difference: null, threshold: null };
  const estimate = combine(estimates, prompts, scale);
  const generalised = generalisedProbability(estimate, scale, members > 1 || withSeen);
  const state = stateOf(generalised, statistics.expectedEntropy / Math.log(classes));
  return { ...evaluation, estimates, estimate, generalised, state };
}

/** Its alarm; null if there is none. */
export function alarmOf(evaluations) {
  const speaks = evaluations.map(({ state, generalised }) => state !== "untrained" && generalised > ALARM);
  return evaluations[firstSustained(speaks)]?.step ?? null;
}
