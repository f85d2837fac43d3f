/** The scores of the benchmark, each of runs as `collect` gives them. */
import { ESTIMATOR_NAMES } from "../../dist/diagnosis/estimators.js";
import { alarmsAbove, chooseThreshold, cost, FAR, summary } from "./alarms.mjs";
import { solvedFlags } from "./collect.mjs";
import { firstSustained, lowestInRow, outcome } from "./events.mjs";
import { alarmOf } from "./judge.mjs";
import { bootstrap, mean, median, quantile, Ranking } from "./ranking.mjs";
import { SIGNALS, scoresOf } from "./signals.mjs";
import { UNCERTAINTIES } from "./single-prompts.mjs";

const NAMES = Object.keys(SIGNALS);
/** A run whose estimates are further off, in the mean over its evaluations, is told of. */
const FAR_ESTIMATE = 0.1;
const THRESHOLDS = [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95];

const stepsOf = ({ evaluations }) => evaluations.map(({ step }) => step);

/** Runs that have the signal, with it. */
const withScores = (name, runs) =>
  runs.flatMap((run) => {
    const scores = scoresOf(name, run);
    return scores ? [{ ...run, scores, steps: stepsOf(run) }] : [];
  });

/** Rankings of evaluations, of those after memorising, and of runs. */
export function scoreSignals(runs) {
  return Object.fromEntries(
    NAMES.map((name) => {
      const having = withScores(name, runs);
      const items = having.flatMap(({ scores, generalised, memorised, steps }, group) =>
        scores.flatMap((score, i) =>
          generalised[i] === null
            ? []
            : [{ score, label: generalised[i], group, late: memorised !== null && steps[i] >= memorised }],
        ),
      );
      const evaluations = new Ranking(items);
      const late = new Ranking(items.filter((item) => item.late));
      const whole = new Ranking(
        having.flatMap(({ scores, event, censored }, group) =>
          censored ? [] : [{ score: Math.max(...lowestInRow(scores)), label: event !== null, group }],
        ),
      );
      return [
        name,
        {
          runs: having.length,
          evaluations: {
            auroc: evaluations.auroc(),
            interval: bootstrap(having.length, (times) => evaluations.auroc(times)),
            averagePrecision: evaluations.averagePrecision(),
          },
          memorised: {
            auroc: late.auroc(),
            interval: bootstrap(having.length, (times) => late.auroc(times)),
          },
          whole: {
            auroc: whole.auroc(),
            interval: bootstrap(having.length, (times) => whole.auroc(times)),
            averagePrecision: whole.averagePrecision(),
          },
        },
      ];
    }),
  );
}

/** The rule and the detector have alarms of their own; of the others thresholds are chosen on development runs. */
const OWN_ALARMS = { rule: ({ alarmStep }) => alarmStep, collapse: ({ collapseStep }) => collapseStep };

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
      const far = outcomes.map((each) => (each.kind === "found" ? Math.abs(each.lead) : null));
      return [
        name,
        {
          ...{ runs: having.length, threshold, ...summary(outcomes) },
          interval: bootstrap(having.length, (times) =>
            median(far.flatMap((value, i) => (value === null ? [] : Array(times[i]).fill(value)))),
          ),
          costInterval: bootstrap(having.length, (times) =>
            mean(outcomes.flatMap((each, i) => Array(times[i]).fill(cost(each)))),
          ),
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
    const values = runs.map(of).filter((value) => value !== null);
    return {
      value: mean(values),
      interval: bootstrap(values.length, (times) =>
        mean(values.flatMap((value, i) => Array(times[i]).fill(value))),
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

/** By number of members and prompts, with and without labels of seen tasks: means over all subsets. */
export function scoreSizes(runs) {
  const sized = runs.flatMap((run) =>
    run.sizes.map((size) => ({
      ...{ ...size, run, event: eventOf(size.evaluations, run.scale) },
      prompts: size.prompts === run.config.evaluation.prompts ? "all" : size.prompts,
    })),
  );
  const keys = [
    ...new Set(sized.map(({ members, prompts, withSeen }) => JSON.stringify({ members, prompts, withSeen }))),
  ];
  return keys
    .map((key) => {
      const wanted = JSON.parse(key);
      const own = sized.filter(
        ({ members, prompts, withSeen }) =>
          members === wanted.members && prompts === wanted.prompts && withSeen === wanted.withSeen,
      );
      const rows = own.flatMap(({ evaluations }) => evaluations);
      const items = own.flatMap(({ evaluations, run }) =>
        evaluations.flatMap(({ generalised, state }, i) =>
          run.generalised[i] === null
            ? []
            : [
                {
                  score: state === "untrained" ? -Infinity : generalised,
                  label: run.generalised[i],
                  group: 0,
                },
              ],
        ),
      );
      const outcomes = own.map(({ evaluations, event }) => outcome(alarmOf(evaluations), event));
      return {
        ...{ ...wanted, runs: new Set(own.map(({ run }) => run.name)).size, ensembles: own.length },
        auroc: new Ranking(items).auroc(),
        error: mean(rows.map(({ estimate, accuracy }) => Math.abs(estimate.value - accuracy))),
        coverage: mean(
          rows.map(({ estimate: { low, high }, accuracy }) => Number(low <= accuracy && accuracy <= high)),
        ),
        ...summary(outcomes),
      };
    })
    .sort(
      (a, b) =>
        b.members - a.members ||
        (promptsOf(a) === promptsOf(b) ? 0 : promptsOf(b) - promptsOf(a)) ||
        Number(b.withSeen) - Number(a.withSeen),
    );
}

const promptsOf = ({ prompts }) => (prompts === "all" ? Infinity : prompts);

function eventOf(evaluations, scale) {
  return evaluations[firstSustained(solvedFlags(evaluations, scale))]?.step ?? null;
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
