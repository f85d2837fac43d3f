/**
 * Whether an interval tells how the rule does elsewhere: some settings give the interval, others are the new grid. Nothing of
 * the rule is chosen on any of them.
 */
import { stream, uniformInt } from "../../dist/random.js";
import { falseShare, medianOff, missedShare } from "./alarms.mjs";
import { outcome } from "./events.mjs";
import { intervalOver, mean, repeated, shareIntervalOver } from "./ranking.mjs";
import { rankingsOf, withScores } from "./rankings.mjs";

/** What is resampled, and how often draws are drawn from. */
export const KINDS = {
  runs: { groupOf: (_, i) => i, draws: 1 },
  settings: { groupOf: ({ setting }) => setting, draws: 1 },
  "settings, twice": { groupOf: ({ setting }) => setting, draws: 2 },
};

/** Which runs a share is of; other statistics are of all. */
const SHARES = {
  "missed, of those due": ["found", "missed"],
  "false, of those not due": ["none due", "false"],
};

/** Of the rule, functions of how often each run counts. */
function statisticsOf(runs) {
  const { evaluations, whole } = rankingsOf(withScores("rule", runs));
  const outcomes = runs.map(outcomeOf);
  const errors = runs.map((run) =>
    mean(run.evaluations.map(({ estimate, accuracy }) => Math.abs(estimate.value - accuracy))),
  );
  const held = runs.map((run) =>
    mean(
      run.evaluations.map(({ estimate: { low, high }, accuracy }) =>
        Number(low <= accuracy && accuracy <= high),
      ),
    ),
  );
  return {
    "AUROC, evaluations": (times) => evaluations.auroc(times),
    "AUROC, runs": (times) => whole.auroc(times),
    "missed, of those due": (times) => missedShare(repeated(outcomes, times)),
    "false, of those not due": (times) => falseShare(repeated(outcomes, times)),
    "octaves off": (times) => medianOff(repeated(outcomes, times)),
    "error of the accuracy": (times) => mean(repeated(errors, times)),
    "accuracies in the interval": (times) => mean(repeated(held, times)),
  };
}

const outcomeOf = ({ alarmStep, event, censored }) => (censored ? {} : outcome(alarmStep, event));

/** @param count of groups in the last draw */
function intervalOf(name, runs, statistic, { groupOf, draws }, count) {
  const kinds = SHARES[name];
  if (!kinds) return intervalOver(runs.map(groupOf), draws, statistic, count);
  const places = runs.flatMap((run, i) => (kinds.includes(outcomeOf(run).kind) ? [i] : []));
  return shareIntervalOver(
    places.map((i) => groupOf(runs[i], i)),
    draws,
    (times) => {
      const all = new Int32Array(runs.length);
      places.forEach((place, i) => {
        all[place] = times[i];
      });
      return statistic(all);
    },
    count,
  );
}

/** What a grid scores that nobody has looked at, and where it should, from all others. */
export function scoreUnknown(known, unknown) {
  const count = new Set(unknown.map(({ setting }) => setting)).size;
  const [ofKnown, ofUnknown] = [known, unknown].map(statisticsOf);
  return Object.keys(ofKnown).map((name) => ({
    name,
    here: ofKnown[name](known.map(() => 1)),
    interval: intervalOf(name, known, ofKnown[name], KINDS["settings, twice"], count),
    there: ofUnknown[name](unknown.map(() => 1)),
  }));
}

const isWithin = (value, interval) => interval[0] <= value && value <= interval[1];

/**
 * @returns of each statistic its value on either side, the intervals from development settings, and how often each kind
 *   holds the other half's value when all settings are split in halves at random
 */
export function scoreIntervals(development, test, splitCount = 100) {
  const runs = [...development, ...test];
  const settings = [...new Set(runs.map(({ setting }) => setting))];
  const splits = [
    development.map(({ setting }) => setting),
    ...halves(settings, splitCount, stream(0, 0, "evaluation", 1)),
  ].map((chosen) => {
    const isKnown = ({ setting }) => chosen.includes(setting);
    const known = runs.filter(isKnown);
    return {
      ...{ known, ofKnown: statisticsOf(known) },
      ofNew: statisticsOf(runs.filter((run) => !isKnown(run))),
      newRuns: runs.length - known.length,
    };
  });
  return Object.keys(splits[0].ofKnown).map((name) => {
    const [first, ...others] = splits.map(({ known, ofKnown, ofNew, newRuns }) => ({
      ...{ here: ofKnown[name](known.map(() => 1)), there: ofNew[name](Array(newRuns).fill(1)) },
      intervals: Object.values(KINDS).map((kind) => intervalOf(name, known, ofKnown[name], kind)),
    }));
    const known = others.filter(({ there, intervals }) => there !== null && !intervals.includes(null));
    return {
      ...{ name, ...first, splits: known.length },
      held: Object.keys(KINDS).map((_, kind) =>
        mean(known.map(({ there, intervals }) => Number(isWithin(there, intervals[kind])))),
      ),
    };
  });
}

function halves(settings, count, rng) {
  return Array.from({ length: count }, () => {
    const left = [...settings];
    return Array.from({ length: Math.floor(settings.length / 2) }, () =>
      left.splice(uniformInt(rng, left.length), 1).at(0),
    );
  });
}
