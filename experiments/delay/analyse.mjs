/**
 * Claim: one mechanism sets delay and peak of uncertainty. What moves the delay, against the law
 * T_grok - T_mem ~ log(V_mem / V*) / (2 k lr wd), in which it is inverse to learning rate times weight decay, and against
 * the linear model, in which a ratio of unknowns to observations sets delay and peak together.
 */
import { seenInputCount } from "../../dist/tasks/family.js";
import { countTrainingPrompts } from "../../dist/tasks/prompt-count.js";
import { times } from "../../dist/theory/times.js";
import { intervalPlot } from "../shared/figures.mjs";
import { outcomesTable } from "../shared/outcomes.mjs";
import { groupBy, withDigests } from "../shared/runs.mjs";
import {
  bootstrap,
  bySeed,
  leastSquares,
  mean,
  median,
  overSeeds,
  pearson,
  spearman,
} from "../shared/statistics.mjs";
import { number, table, withInterval } from "../shared/tables.mjs";

export function analyse(runs) {
  const read = withDigests(runs);
  const grid = outcomesTable(
    groupBy(read, KEYS),
    ["pool", "decay", "rate", "p", "width", "initial std"],
    [
      "seeds",
      "members that generalise",
      "members that grok",
      "memorised",
      "generalised",
      "grokked",
      "delay (grok / memorised)",
      "peak of MI",
      "MI at the end",
    ],
  );
  return {
    text: [grid, law(read), together(read)].filter(Boolean).join("\n\n"),
    figures: { law: figure(read) },
  };
}

const KEYS = [
  "task.promptPool",
  "training.weightDecay",
  "training.learningRate",
  "task.modulus",
  "model.dModel",
  "model.initStd",
];

/** Steps from memorising to generalising, which is what decay drives, of the runs that have both. */
const wait = ({ digest: { memorised, generalised } }) =>
  memorised !== null && generalised !== null && generalised > memorised ? generalised - memorised : null;
const pace = ({ config: { training } }) => training.learningRate * training.weightDecay;
/** Prompts of the training tasks that the pool leaves out, for each that it holds. */
const unseenRatio = ({ config: { task } }) =>
  countTrainingPrompts(task, seenInputCount(task)) / task.promptPool - 1;

const COLUMNS = {
  "rate x decay": pace,
  "prompts left out / in the pool": unseenRatio,
  width: ({ config }) => config.model.dModel,
  "initial std": ({ config }) => config.model.initStd,
  modulus: ({ config }) => config.task.modulus,
};

/**
 * Powers of the settings, by least squares of logarithms, of all runs that generalise, and of the settings at which every
 * run does: the others are known by those that were fast enough.
 */
function law(read) {
  const known = read.filter((run) => wait(run) !== null && pace(run) > 0);
  const whole = groupBy(known, KEYS)
    .filter(
      ({ values, runs }) =>
        runs.length ===
        groupBy(read, KEYS).find((cell) => String(cell.values) === String(values)).runs.length,
    )
    .flatMap(({ runs }) => runs);
  const fits = [known, whole].map(powers);
  const names = Object.keys(COLUMNS).filter((name) => fits.some(({ exponents }) => name in exponents));
  return table(
    [
      "steps from memorising to generalising: exponent of",
      `${known.length} of ${read.length} runs, all that generalise`,
      `${whole.length} runs, of settings at which all do`,
    ],
    [
      ...names.map((name) => [
        name,
        ...fits.map(({ exponents }) => (name in exponents ? withInterval(exponents[name]) : "–")),
      ]),
      ["R^2 of the logarithm", ...fits.map(({ rSquared }) => number(rSquared))],
      ["mean absolute error, octaves", ...fits.map(({ octaves }) => number(octaves))],
    ],
  );
}

/** @returns exponents, by the name of the column, of those columns that vary */
function powers(runs) {
  const logOf = (of) => (run) => Math.log(of(run));
  const used = Object.entries(COLUMNS).filter(
    ([, of]) => new Set(runs.map((run) => of(run).toFixed(9))).size > 1,
  );
  const row = (run) => used.map(([, of]) => Math.log(of(run)));
  const solve = (some) => leastSquares(some.map(row), some.map(logOf(wait)));
  const solution = solve(runs);
  if (solution === null) return { exponents: {}, rSquared: null, octaves: null };
  const predicted = runs.map((run) => row(run).reduce((sum, x, i) => sum + solution[i + 1] * x, solution[0]));
  const logs = runs.map(logOf(wait));
  return {
    exponents: Object.fromEntries(
      used.map(([name], i) => [
        name,
        {
          value: solution[i + 1],
          interval: bootstrap(bySeed(runs), (groups) => solve(groups.flat())?.[i + 1] ?? null),
        },
      ]),
    ),
    rSquared: pearson(predicted, logs) ** 2,
    octaves: mean(logs.map((value, i) => Math.abs(value - predicted[i]))) / Math.log(2),
  };
}

/** Of its error on the training set and off it that is left, in the linear model's times, which are finite for lambda below 1 / (1 - LEVEL). */
const LEVEL = 0.8;

/** Whether what delays also raises the peak, as in the linear model, where both grow with lambda. */
function together(read) {
  const cells = groupBy(read, KEYS);
  const correlation = (runs, x, y) => spearman(runs.map((run) => [x(run), y(run)]));
  const rows = [
    ["prompts left out / in the pool", "delay", unseenRatio, (run) => run.digest.delay],
    ["prompts left out / in the pool", "peak of MI", unseenRatio, (run) => run.digest.peak],
    ["delay", "peak of MI", (run) => run.digest.delay, (run) => run.digest.peak],
  ].map(([x, y, ofX, ofY]) => [
    x,
    y,
    withInterval({
      value: correlation(read, ofX, ofY),
      interval: bootstrap(bySeed(read), (groups) => correlation(groups.flat(), ofX, ofY)),
    }),
  ]);
  const model = cells
    .map(({ runs }) => unseenRatio(runs[0]))
    .filter((ratio, i, all) => all.indexOf(ratio) === i);
  const theory = model
    .sort((a, b) => a - b)
    .map((lambda) => {
      const { tTrain, tGen } = times({ lambda, level: LEVEL });
      return [number(lambda), Number.isFinite(tGen) ? number(tGen / tTrain, 1) : "never"];
    });
  return [
    table(["", "", "rank correlation over all runs [95 % interval over seeds]"], rows),
    table(["lambda: prompts left out / in the pool", "the linear model's delay, t_gen / t_train"], theory),
  ].join("\n\n");
}

/** Steps of waiting against rate times decay, all runs, one line a pool. */
function figure(read) {
  const cells = groupBy(
    read.filter((run) => run.config.training.weightDecay > 0),
    ["task.promptPool", "task.modulus", "model.dModel", "model.initStd"],
  ).filter(({ runs }) => new Set(runs.map(pace)).size > 2);
  const lines = cells.map(({ values: [pool], runs }) => ({
    label: `pool ${pool}`,
    points: [...new Set(runs.map(pace))]
      .sort((a, b) => a - b)
      .map((x) => ({
        x,
        ...overSeeds(
          runs.filter((run) => pace(run) === x),
          wait,
          median,
        ),
      })),
  }));
  return intervalPlot({
    description:
      "Median steps from memorising to generalising against learning rate times weight decay, with 95 % intervals; pools that never generalise are left out.",
    x: {
      title: "learning rate times weight decay",
      type: "log",
      format: "~g",
    },
    y: { title: "steps of waiting", type: "log" },
    lines,
  });
}
