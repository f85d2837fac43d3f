/** What the rule says of an evaluation whose estimates are known, as the class Diagnosis does. */
import { ALARM, combine, generalisedProbability, stateOf } from "../../dist/diagnosis/rule.js";
import { firstSustained } from "./events.mjs";

/** What the rule is given, beside predictions on unseen tasks; the estimates that go without what is not there. */
export const KNOWN = {
  cycle: { label: "asked back", missing: [] },
  seen: { label: "labels of seen tasks", missing: ["cycle"] },
  nothing: {
    label: "nothing",
    missing: ["cycle", "consensusDifference", "difference", "threshold"],
  },
};

/** @param run `{ prompts, classes, scale, known }`; `known` is one of KNOWN */
export function judged(evaluation, { prompts, classes, scale, known = "cycle" }) {
  const { members, statistics } = evaluation;
  const missing = KNOWN[known].missing.map((name) => [name, null]);
  const estimates = { ...evaluation.estimates, ...Object.fromEntries(missing) };
  const estimate = combine(estimates, prompts, scale);
  const generalised = generalisedProbability(estimate, scale, members > 1 || known !== "nothing");
  const state = stateOf(generalised, statistics.expectedEntropy / Math.log(classes));
  return { ...evaluation, estimates, estimate, generalised, state };
}

/** Its alarm; null if there is none. */
export function alarmOf(evaluations) {
  const speaks = evaluations.map(({ state, generalised }) => state !== "untrained" && generalised > ALARM);
  return evaluations[firstSustained(speaks)]?.step ?? null;
}
