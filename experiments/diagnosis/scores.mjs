/** The scores of the benchmark, each of runs as `collect` gives them. */
import { ESTIMATOR_NAMES } from "../../dist/diagnosis/estimators.js";
import {
  alarmsAbove,
  chooseThreshold,
  cost,
  FAR,
  falseShare,
  medianOff,
  missedShare,
  summary,
} from "./alarms.mjs";
import { outcome } from "./events.mjs";
import { bootstrap, bootstrapShare, mean, median, quantile, repeated } from "./ranking.mjs";
import { rankingsOf, withScores } from "./rankings.mjs";
import { SIGNALS } from "./signals.mjs";
import { UNCERTAINTIES } from "./single-prompts.mjs";

const NAMES = Object.keys(SIGNALS);
/** A run whose estimates are further off, in the mean over its evaluations, is told of. */
const FAR_ESTIMATE = 0.1;
const THRESHOLDS = [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95];

/** Rankings of evaluations, of those after memorising, and of runs. */
export function scoreSignals(runs) {
  return Object.fromEntries(
    NAMES.map((name) => {
      const having = withScores(name, runs);
      const settings = having.map(({ setting }) => setting);
      const { evaluations, memorised, whole } = rankingsOf(having);
      return [
        name,
        {
          runs: having.length,
          evaluations: {
            auroc: evaluations.auroc(),
            interval: bootstrap(settings, (times) => evaluations.auroc(times)),
            averagePrecision: evaluations.averagePrecision(),
          },
          memorised: {
            auroc: memorised.auroc(),
            interval: bootstrap(settings, (times) => memorised.auroc(times)),
          },
          whole: {
            auroc: whole.auroc(),
            interval: bootstrap(settings, (times) => whole.auroc(times)),
            averagePrecision: whole.averagePrecision(),
          },
        },
      ];
    }),
  );
}

/** Rules and the detector have alarms of their own; of the others thresholds are chosen on development runs. */
const OWN_ALARMS = {
  rule: ({ alarmStep }) => alarmStep,
  withoutCycle: ({ withoutCycleAlarmStep }) => withoutCycleAlarmStep,
  collapse: ({ collapseStep }) => collapseStep,
};

export function scoreAlarms(development, test) {
  return Object.fromEntries(
    NAMES.map((name) => {
      const having = withScores(name, test).filter(({ censored }) => !censored);
      const own = OWN_ALARMS[name];
      const known = own ? [] : withScores(name, development).filter(({ censored }) => !censored);
      const threshold = known.length > 0 ? chooseThreshold(known) : null;
      const outcomes = own
        ? having.map((run) => outcome(own(run), run.event))
        : alarmsAbove(threshold ?? Infinity, having);
      /** Of outcomes of these kinds, which may all be of one setting. */
      const over = (intervalFor, kinds, statistic) => {
        const those = having
          .map(({ setting }, i) => ({ setting, ...outcomes[i] }))
          .filter(({ kind }) => kinds.includes(kind));
        return intervalFor(
          those.map(({ setting }) => setting),
          (times) => statistic(repeated(those, times)),
        );
      };
      return [
        name,
        {
          ...{ runs: having.length, threshold, ...summary(outcomes) },
          interval: over(bootstrap, ["found"], medianOff),
          missedInterval: over(bootstrapShare, ["found", "missed"], missedShare),
          falseInterval: over(bootstrapShare, ["none due", "false"], falseShare),
        },
      ];
    }),
  );
}

/** What other thresholds of its probability would have made of the rule's alarms: false ones against late ones. */
export function scoreThresholds(runs) {
  const having = withScores("rule", runs).filter(({ censored }) => !censored);
  return THRESHOLDS.map((threshold) => ({ threshold, ...summary(alarmsAbove(threshold, having)) }));
}

/** Mean absolute errors over evaluations, each run weighing the same; of the rule also how often its interval holds. */
export function scoreEstimates(runs) {
  const names = ["rule", ...ESTIMATOR_NAMES];
  const errorOf = (name) => (evaluation) =>
    Math.abs(
      (name === "rule" ? evaluation.estimate.value : evaluation.estimates[name]) - evaluation.accuracy,
    );
  const late = ({ evaluations, memorised }) =>
    memorised === null ? [] : evaluations.filter(({ step }) => step >= memorised);
  const overRuns = (of) => {
    const having = runs.filter((run) => of(run) !== null);
    const values = having.map(of);
    return {
      value: mean(values),
      interval: bootstrap(
        having.map(({ setting }) => setting),
        (times) => mean(repeated(values, times)),
      ),
    };
  };
  const holds = ({ estimate: { low, high }, accuracy }) => Number(low <= accuracy && accuracy <= high);
  return {
    errors: Object.fromEntries(
      names.map((name) => [
        name,
        {
          all: overRuns(({ evaluations }) => mean(evaluations.map(errorOf(name)))),
          memorised: overRuns((run) => mean(late(run).map(errorOf(name)))),
        },
      ]),
    ),
    coverage: {
      all: overRuns(({ evaluations }) => mean(evaluations.map(holds))),
      memorised: overRuns((run) => mean(late(run).map(holds))),
    },
    width: mean(
      runs.map(({ evaluations }) => mean(evaluations.map(({ estimate: { low, high } }) => high - low))),
    ),
  };
}

/** Of the probability of the rule: evaluations, its mean and how many have generalised, in each of its ranges. */
export function reliability(runs) {
  const ends = [0, 0.05, 1 / 3, 1 / 2, 2 / 3, 0.95, 1];
  const items = runs.flatMap(({ evaluations, generalised }) =>
    evaluations.flatMap((evaluation, i) =>
      generalised[i] === null || evaluation.state === "untrained"
        ? []
        : [{ p: evaluation.generalised, label: generalised[i] }],
    ),
  );
  return ends.slice(1).map((to, i) => {
    const own = items.filter(({ p }) => p <= to && (p > ends[i] || (i === 0 && p === 0)));
    return {
      from: ends[i],
      to,
      count: own.length,
      said: mean(own.map(({ p }) => p)),
      were: mean(own.map(({ label }) => Number(label))),
    };
  });
}

/** Means over evaluations with right and wrong answers, of those after memorising; bins over all of these. */
export function scoreSinglePrompts(runs) {
  const phases = {
    "before the event": ({ event }, step) => event === null || step < event,
    "after it": ({ event }, step) => event !== null && step >= event,
  };
  return Object.fromEntries(
    Object.entries(phases).map(([phase, belongs]) => {
      const singles = runs.flatMap((run) =>
        run.evaluations.flatMap(({ step, single }) =>
          single && run.memorised !== null && step >= run.memorised && belongs(run, step) ? [single] : [],
        ),
      );
      const over = (of) => mean(singles.map(of));
      return [
        phase,
        {
          evaluations: singles.length,
          uncertainties: Object.fromEntries(
            UNCERTAINTIES.map((name) => [
              name,
              {
                auroc: over(({ auroc }) => auroc[name]),
                area: over(({ riskCoverage }) => riskCoverage[name].area),
                risks:
                  singles.length === 0
                    ? null
                    : [0, 1, 2, 3].map((k) => over(({ riskCoverage }) => riskCoverage[name].at[k])),
              },
            ]),
          ),
          leastArea: over(({ leastArea }) => leastArea),
          ...Object.fromEntries(
            ["ece", "scaledEce", "nll", "scaledNll"].map((key) => [key, over((single) => single[key])]),
          ),
          temperature: median(singles.map(({ temperature }) => temperature)),
          bins: singles[0]?.bins.map((_, k) => {
            const [count, confidence, right] = [0, 1, 2].map((part) =>
              singles.reduce((sum, { bins }) => sum + bins[k][part], 0),
            );
            return {
              count,
              confidence: count > 0 ? confidence / count : null,
              accuracy: count > 0 ? right / count : null,
            };
          }),
        },
      ];
    }),
  );
}

/** Runs on which the rule is wrong, one by one, the worst first. */
export function failures(runs) {
  return runs
    .flatMap((run) => {
      const { name, words, group, config, members, event, memorised, alarmStep, evaluations, censored } = run;
      const { kind, lead } = outcome(alarmStep, event);
      const errors = evaluations.map(({ estimate, accuracy }) => estimate.value - accuracy);
      const error = mean(errors.map(Math.abs));
      const worst = errors.reduce((at, value, i) => (Math.abs(value) > Math.abs(errors[at]) ? i : at), 0);
      const faults = [
        ...(censored ? [] : kind === "false" ? ["false alarm"] : kind === "missed" ? ["missed"] : []),
        ...(kind === "found" && Math.abs(lead) > FAR ? [lead < 0 ? "early" : "late"] : []),
        ...(error > FAR_ESTIMATE ? ["accuracy"] : []),
      ];
      if (faults.length === 0) return [];
      const { step, estimate, accuracy, state } = evaluations[worst];
      return [
        {
          ...{
            name,
            group,
            setting: words,
            seed: config.seed,
            members,
            faults,
            event,
            memorised,
            alarmStep,
            lead: lead ?? null,
          },
          ...{ error, worst: { step, state, estimated: estimate.value, accuracy } },
          highest: quantile(
            evaluations.map((each) => each.accuracy),
            1,
          ),
        },
      ];
    })
    .sort(
      (a, b) =>
        cost(outcome(b.alarmStep, b.event)) - cost(outcome(a.alarmStep, a.event)) || b.error - a.error,
    );
}
