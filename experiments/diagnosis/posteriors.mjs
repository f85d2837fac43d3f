/**
 * Which posterior's mutual information tells whether unseen tasks are solved: of runs with posteriors at checkpoints
 * (`epigrok posterior`), and of those that have their own from the start. Writes posteriors.md, which it prints.
 *
 *     node experiments/diagnosis/posteriors.mjs --out DIR SWEEP_OR_RUN...
 */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readRun } from "../../dist/index.js";
import { runDirectories, solvedFlags } from "./collect.mjs";
import { sustained } from "./events.mjs";
import { intervalOver, mean, Ranking } from "./ranking.mjs";
import { fixed, range, table } from "./tables.mjs";

/** Members as unsure as this share of log C know nothing, as the rule says: these have the lowest score. */
const UNTRAINED_SHARE = 0.9;
const SCORES = ["mutualInformation", "totalEntropy"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" } },
});
if (!values.out || positionals.length === 0)
  throw new Error("usage: posteriors.mjs --out DIR SWEEP_OR_RUN...");

/** Of each run what each method says at its steps: `{ method, run, own, whole, seconds, ... }`. */
const items = [];
let runs = 0;
for (const directory of positionals.flatMap((path) => runDirectories(resolve(path)))) {
  const run = await readRun(directory);
  const { config } = run;
  const ofItself =
    config.training.optimizer === "ivon" ? "ivon" : config.model.dropout > 0 ? "dropout" : null;
  if (run.posteriors.length === 0 && ofItself === null) continue;
  items.push(
    ...(run.posteriors.length > 0 ? aroundCheckpoints(run, runs) : fromTheStart(run, runs, ofItself)),
  );
  runs++;
}

/** Whether the mean prediction has generalised, and each member, by steps. */
function labelsOf({ records, references, config }) {
  const scale = references.unseenTasks;
  const flags = (accuracies) => {
    const holds = sustained(
      solvedFlags(
        accuracies.map((accuracy) => ({ accuracy })),
        scale,
      ),
    );
    return new Map(records.map(({ step }, i) => [step, holds[i]]));
  };
  const untrained = records.filter(
    ({ ensemble }) => ensemble.unseenTasks.expectedEntropy >= UNTRAINED_SHARE * Math.log(config.task.modulus),
  );
  return {
    whole: flags(records.map(({ ensemble }) => ensemble.unseenTasks.accuracy)),
    members: records[0].members.map((_, m) =>
      flags(records.map(({ members }) => members[m].sets.unseenTasks.accuracy)),
    ),
    untrained: new Set(untrained.map(({ step }) => step)),
  };
}

function item(labels, { step, member, ...rest }) {
  return {
    ...rest,
    whole: labels.whole.get(step),
    own: member === null ? labels.whole.get(step) : labels.members[member].get(step),
    untrained: labels.untrained.has(step),
  };
}

/** A member's posterior at a checkpoint, and beside it what the member says without one. */
function aroundCheckpoints(run, group) {
  const labels = labelsOf(run);
  const newest = new Map(run.posteriors.map(({ method, settings }) => [method, settings]));
  const fitted = run.posteriors
    .filter(({ method, settings, sets }) => newest.get(method) === settings && sets.unseenTasks)
    .map(({ method, step, member, samples, sets, fitSeconds, predictSeconds }) =>
      item(labels, {
        ...{ step, member, group, samples, seconds: fitSeconds + predictSeconds },
        method: method === "ensemble" ? `ensemble of ${run.config.ensemble.members}` : method,
        ...sets.unseenTasks,
      }),
    );
  const plain = run.posteriors
    .filter(({ method, member }) => method === "laplace-last-layer" && member !== null)
    .map(({ step, member }) => {
      const { entropy, accuracy } = run.records.find((record) => record.step === step).members[member].sets
        .unseenTasks;
      const none = { method: "one member, no posterior", samples: 1, seconds: 0, mutualInformation: null };
      return item(labels, { step, member, group, accuracy, totalEntropy: entropy, ...none });
    });
  return [...fitted, ...plain];
}

/** Every evaluation of an ensemble whose members have posteriors of their own. */
function fromTheStart(run, group, name) {
  const labels = labelsOf(run);
  return run.records.flatMap(({ step, members, ensemble }) => [
    ...members.map(({ sets: { unseenTasks } }, member) =>
      item(labels, {
        ...{ step, member, group, method: `${name} from the start`, samples: unseenTasks.posterior.samples },
        ...{ seconds: null, accuracy: unseenTasks.accuracy, totalEntropy: unseenTasks.entropy },
        mutualInformation: unseenTasks.posterior.mutualInformation,
      }),
    ),
    item(labels, {
      ...{ step, member: null, group, method: `ensemble of ${members.length} with ${name}` },
      ...{ samples: members.length, seconds: null, ...ensemble.unseenTasks },
    }),
  ]);
}

function ranked(own, score, label) {
  const asked = own.filter((each) => each[score] !== null && each[label] !== null);
  if (asked.length === 0) return "";
  const ranking = new Ranking(
    asked.map((each) => ({
      score: each.untrained ? -Infinity : -each[score],
      label: each[label],
      group: each.group,
    })),
  );
  const interval = intervalOver([...Array(runs).keys()], 1, (times) => ranking.auroc(times));
  return fixed(ranking.auroc()) + range(interval);
}

const methods = [...new Set(items.map(({ method }) => method))];
const rows = methods.map((method) => {
  const own = items.filter((each) => each.method === method);
  const atEnd = own.filter((each) => each.own);
  const seconds = mean(own.flatMap((each) => (each.seconds === null ? [] : [each.seconds])));
  return [
    ...[method, new Set(own.map(({ group }) => group)).size, own.length, own[0].samples],
    ...["own", "whole"].flatMap((label) => SCORES.map((score) => ranked(own, score, label))),
    ...[fixed(mean(atEnd.map(({ accuracy }) => accuracy)), 2), seconds === null ? "" : fixed(seconds, 1)],
  ];
});
const text = `${table(
  [
    ...["posterior", "runs", "posteriors", "samples"],
    ...["whether its member: less MI", "less entropy", "whether the mean of all: less MI", "less entropy"],
    ...["accuracy where its member has generalised", "seconds"],
  ],
  rows,
)}\n`;
writeFileSync(join(values.out, "posteriors.md"), text);
process.stdout.write(text);
