/**
 * Early warning: while an ensemble has memorised and does not yet grok, the step at which it will, and whether it will
 * within an octave, from what needs no labels of unseen tasks. All is fitted on development runs.
 */
import { bootstrap, mean, median, quantile, Ranking, repeated } from "./ranking.mjs";
import { fitLinear, fitLogistic } from "./regression.mjs";

const QUARTERS = [0.25, 0.5, 0.75];
/** Evaluations over which slopes are taken. */
const BACK = 3;
/** In place of no decay, and of an endless pool. */
const LEAST_DECAY = 0.01;
const FRESH_POOL = 1e5;
const RIDGES = [1e-3, 1e-2, 1e-1, 1];

const rateTimesDecay = ({ training }) => training.learningRate * Math.max(training.weightDecay, LEAST_DECAY);

/** Known before training, and when it memorised. */
function settingFeatures({ config, memorised }, t) {
  const { task, model } = config;
  return [
    Math.log2(t),
    Math.log2(Math.max(memorised, 1)),
    Math.log2(rateTimesDecay(config)),
    Math.log2(config.training.learningRate),
    Math.log2(task.promptPool || FRESH_POOL),
    task.promptPool ? 1 : 0,
    Math.log2(task.trainTasks),
    Math.log2(task.modulus),
    task.examples,
    Math.log2(model.dModel),
  ];
}

/** Seen at the evaluation, and how it changes with the logarithm of the step. */
function courseFeatures({ evaluations, members }, i) {
  const now = evaluations[i];
  const then = evaluations[Math.max(0, i - BACK)];
  const octaves = Math.log2(now.step / Math.max(then.step, 1)) || 1;
  const levels = ({ estimate, statistics, seenAccuracy, loss }) => [
    estimate.value,
    statistics.mutualInformation / Math.log(members),
    statistics.expectedEntropy,
    statistics.disagreement,
    seenAccuracy,
    Math.log(Math.max(loss ?? 1, 1e-6)),
  ];
  const [a, b] = [levels(then), levels(now)];
  const norms = evaluations.slice(0, i + 1).flatMap(({ weights }) => (weights ? [weights.norm] : []));
  const norm = norms.length < 2 ? 0 : Math.log(norms.at(-1) / norms.at(-2));
  const rise = norms.length === 0 ? 0 : Math.log(norms.at(-1) / norms[0]);
  return [...b, ...b.map((value, j) => (value - a[j]) / octaves), norm, rise];
}

/** Names of what may be regressed on. */
const FEATURES = {
  settings: (run, i) => settingFeatures(run, run.evaluations[i].step),
  course: (run, i) => [
    Math.log2(run.evaluations[i].step),
    Math.log2(Math.max(run.memorised, 1)),
    ...courseFeatures(run, i),
  ],
  both: (run, i) => [...settingFeatures(run, run.evaluations[i].step), ...courseFeatures(run, i)],
};

/** Evaluations from memorising to before the event, or to the end where there is none. */
function waiting({ evaluations, memorised, event }) {
  if (memorised === null) return [];
  return evaluations.flatMap(({ step }, i) =>
    step >= memorised && step > 0 && !(step >= event && event !== null) ? [i] : [],
  );
}

/** The newest evaluation at a share of the delay, of those at least one after memorising; -1 if there is none. */
const atShare = (run, share) =>
  waiting(run).findLast(
    (i) => run.evaluations[i].step <= run.memorised + share * (run.event - run.memorised),
  ) ?? -1;

const delays = (runs) =>
  runs.filter(({ memorised, event }) => memorised !== null && event !== null && event > memorised);

/** Predictors of the step, as functions of a run and an evaluation; never before the next evaluation. */
function predictors(development) {
  const grokking = delays(development);
  const c = median(grokking.map((run) => (run.event - run.memorised) * rateTimesDecay(run.config)));
  const constant = 2 ** median(grokking.map(({ event }) => Math.log2(event)));
  const ratio =
    2 ** median(grokking.map(({ event, memorised }) => Math.log2(event / Math.max(memorised, 1))));
  const ahead = grokking.flatMap((run) => {
    const steps = waiting(run).map((i) => run.evaluations[i].step);
    return steps.length === 0 ? [] : [median(steps.map((step) => Math.log2(run.event / step)))];
  });
  const multiple = 2 ** median(ahead);
  const regressions = Object.fromEntries(
    Object.keys(FEATURES).map((name) => [name, regression(name, grokking)]),
  );
  return {
    ...{ c, multiple },
    byName: {
      now: () => 0,
      constant: () => constant,
      "constant delay": (run) => ratio * Math.max(run.memorised, 1),
      // Known shares of the delay give the step away to whoever multiplies by their inverse: the others must beat this.
      "multiple of the step": (run, i) => multiple * run.evaluations[i].step,
      law: (run) => run.memorised + c / rateTimesDecay(run.config),
      ...Object.fromEntries(
        Object.entries(regressions).map(([name, { predict }]) => [`regression on ${name}`, predict]),
      ),
    },
    ridges: Object.fromEntries(Object.entries(regressions).map(([name, { ridge }]) => [name, ridge])),
  };
}

/** Of the logarithm of the event's step, each run weighing the same; the ridge by leaving out settings in turn. */
function regression(name, runs) {
  const folds = [...new Set(runs.map(({ setting }) => setting))];
  const errorOf = (ridge) =>
    mean(
      Array.from({ length: 5 }, (_, fold) => {
        const isOut = ({ setting }) => folds.indexOf(setting) % 5 === fold;
        const [kept, out] = [runs.filter((run) => !isOut(run)), runs.filter(isOut)];
        if (kept.length === 0 || out.length === 0) return [];
        const predict = fitted(name, kept, ridge);
        return out.flatMap((run) =>
          QUARTERS.flatMap((share) => {
            const i = atShare(run, share);
            return i < 0 ? [] : [Math.abs(Math.log2(predict(run, i) / run.event))];
          }),
        );
      }).flat(),
    );
  const ridge = RIDGES.map((each) => ({ each, error: errorOf(each) })).sort((a, b) => a.error - b.error)[0]
    .each;
  return { ridge, predict: fitted(name, runs, ridge) };
}

function fitted(name, runs, ridge) {
  const items = runs.flatMap((run) => waiting(run).map((i, _, all) => ({ run, i, weight: 1 / all.length })));
  const predict = fitLinear(
    items.map(({ run, i }) => FEATURES[name](run, i)),
    items.map(({ run }) => Math.log2(run.event)),
    items.map(({ weight }) => weight),
    ridge,
  );
  return (run, i) => 2 ** predict(FEATURES[name](run, i));
}

/**
 * @param development, test runs: `{ setting, config, members, memorised, event, evaluations }`
 * @returns errors in octaves, of the event's step and of the steps that remain, at each share of the delay
 */
export function scoreWarning(development, test) {
  const { c, multiple, byName, ridges } = predictors(development);
  const runs = delays(test);
  const rows = QUARTERS.flatMap((share) => {
    const cases = runs.flatMap((run) => {
      const i = atShare(run, share);
      return i < 0 ? [] : [{ run, i }];
    });
    return Object.entries(byName).map(([name, predict]) => {
      const errors = cases.map(({ run, i }) => {
        const { step } = run.evaluations[i];
        const next = run.evaluations[i + 1].step;
        const predicted = Math.max(next, predict(run, i));
        return {
          event: Math.abs(Math.log2(predicted / run.event)),
          remaining: Math.abs(Math.log2((predicted - step) / (run.event - step))),
        };
      });
      const [event, remaining] = ["event", "remaining"].map((key) => errors.map((each) => each[key]));
      return {
        ...{ share, name, runs: cases.length },
        ...{ median: median(event), quartiles: [quantile(event, 0.25), quantile(event, 0.75)] },
        interval: bootstrap(
          cases.map(({ run }) => run.setting),
          (times) => median(repeated(event, times)),
        ),
        remaining: median(remaining),
      };
    });
  });
  return {
    ...{ c, multiple, ridges },
    developmentRuns: delays(development).length,
    rows,
    withinOctave: withinOctave(development, test, byName.law),
  };
}

/**
 * At every evaluation of the wait of which it is known: whether the event comes before twice the step. Runs without an
 * event count as far as they were watched.
 */
function withinOctave(development, test, law) {
  const itemsOf = (runs) =>
    runs.flatMap((run, group) => {
      const last = run.evaluations.at(-1).step;
      return waiting(run).flatMap((i, _, all) => {
        const { step } = run.evaluations[i];
        const label = run.event !== null && run.event <= 2 * step;
        return label || 2 * step <= last ? [{ run, i, label, group, weight: 1 / all.length }] : [];
      });
    });
  const [known, asked] = [itemsOf(development), itemsOf(test)];
  if (!known.some(({ label }) => label) || known.every(({ label }) => label)) return null;
  const logistic = (name) =>
    fitLogistic(
      known.map(({ run, i }) => FEATURES[name](run, i)),
      known.map(({ label }) => Number(label)),
      known.map(({ weight }) => weight),
      RIDGES[1],
    );
  const scorers = {
    steps: ({ run, i }) => run.evaluations[i].step,
    law: ({ run, i }) => run.evaluations[i].step / law(run),
    "estimated accuracy": ({ run, i }) => run.evaluations[i].estimate.value,
    "accuracy on seen tasks": ({ run, i }) => run.evaluations[i].seenAccuracy,
    ...Object.fromEntries(
      Object.keys(FEATURES).map((name) => {
        const predict = logistic(name);
        return [`regression on ${name}`, ({ run, i }) => predict(FEATURES[name](run, i))];
      }),
    ),
  };
  return {
    evaluations: asked.length,
    positive: asked.filter(({ label }) => label).length,
    rows: Object.entries(scorers).map(([name, scorer]) => {
      const ranking = new Ranking(asked.map((item) => ({ ...item, score: scorer(item) })));
      return {
        name,
        auroc: ranking.auroc(),
        interval: bootstrap(
          test.map(({ setting }) => setting),
          (times) => ranking.auroc(times),
        ),
        averagePrecision: ranking.averagePrecision(),
      };
    }),
  };
}
