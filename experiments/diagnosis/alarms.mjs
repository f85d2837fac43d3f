/** Alarms of a signal: the first of three evaluations in a row above a threshold, which is chosen on development runs. */
import { firstSustained, outcome } from "./events.mjs";
import { mean, median, quantile } from "./ranking.mjs";

/** Octaves that an alarm costs that is missed or false; others cost how far they are off, up to as much. */
const WORST = 2;
/** An alarm that is further off, in octaves, is told case by case. */
export const FAR = 0.25;
/** How many thresholds are tried, evenly by rank. */
const CANDIDATES = 200;

/** @param runs `{ scores, steps, event }`; the event null if there is none */
export function alarmsAbove(threshold, runs) {
  return runs.map(({ scores, steps, event }) => {
    const alarm = steps[firstSustained(scores.map((score) => score > threshold))] ?? null;
    return { alarm, ...outcome(alarm, event) };
  });
}

export const cost = ({ kind, lead }) =>
  kind === "none due" ? 0 : kind === "found" ? Math.min(WORST, Math.abs(lead)) : WORST;

/** The least mean cost; of equal ones the threshold in the middle. */
export function chooseThreshold(runs) {
  const scores = runs.flatMap((run) => run.scores.filter(Number.isFinite));
  const candidates = [
    ...new Set(Array.from({ length: CANDIDATES + 1 }, (_, i) => quantile(scores, i / CANDIDATES))),
  ];
  const costs = candidates.map((threshold) => mean(alarmsAbove(threshold, runs).map(cost)));
  const least = Math.min(...costs);
  const best = candidates.filter((_, i) => costs[i] === least);
  return best[Math.floor(best.length / 2)];
}

const share = (kind, other) => (outcomes) => {
  const [some, rest] = [kind, other].map((each) => outcomes.filter((one) => one.kind === each).length);
  return some + rest === 0 ? null : some / (some + rest);
};
export const missedShare = share("missed", "found");
export const falseShare = share("false", "none due");

/** Octaves between alarm and event, of alarms that are due and there. */
export const medianOff = (outcomes) =>
  median(outcomes.flatMap(({ kind, lead }) => (kind === "found" ? [Math.abs(lead)] : [])));

/** Counts of outcomes, and leads in octaves: negative before the event. */
export function summary(outcomes) {
  const leads = outcomes.flatMap(({ kind, lead }) => (kind === "found" ? [lead] : []));
  const count = (kind) => outcomes.filter((each) => each.kind === kind).length;
  return {
    due: outcomes.filter(({ kind }) => kind === "found" || kind === "missed").length,
    missed: count("missed"),
    notDue: count("none due") + count("false"),
    false: count("false"),
    early: leads.filter((lead) => lead < -FAR).length,
    late: leads.filter((lead) => lead > FAR).length,
    medianLead: median(leads),
    quartiles: [quantile(leads, 0.25), quantile(leads, 0.75)],
    medianOff: medianOff(outcomes),
    cost: mean(outcomes.map(cost)),
  };
}
