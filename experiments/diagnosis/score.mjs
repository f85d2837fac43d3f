/**
 * Scores the diagnosis and its baselines on runs with kept predictions: development settings give the thresholds, test
 * settings are scored. Writes score.json, and score.md, which it prints.
 *
 *     node experiments/diagnosis/score.mjs --out DIR SWEEP_OR_RUN...
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RULE } from "../../dist/diagnosis/rule.js";
import { collect } from "./collect.mjs";
import { fitCombination } from "./combination.mjs";
import { scoreIntervals } from "./intervals.mjs";
import {
  failures,
  reliability,
  scoreAlarms,
  scoreEstimates,
  scoreSignals,
  scoreSinglePrompts,
  scoreThresholds,
} from "./scores.mjs";
import { asMarkdown } from "./tables.mjs";
import { scoreWarning } from "./warning.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" } },
});
if (!values.out || positionals.length === 0) throw new Error("usage: score.mjs --out DIR SWEEP_OR_RUN...");

let count = 0;
const { runs: judged, leftOut } = await collect(positionals, values.out, (name) => {
  if (++count % 20 === 0) console.error(`${count} ${name}`);
});

const combination = fitCombination(judged.filter(({ split }) => split === "development"));
const runs = judged.map((run) => ({
  ...run,
  evaluations: run.evaluations.map((each) => ({ ...each, combined: combination.of(each, run.scale) })),
}));

const inGroup = (group) => (split) => runs.filter((run) => run.group === group && run.split === split);
const groups = ["pool", "fresh"].filter((group) =>
  runs.some((run) => run.group === group && run.split === "test"),
);
const byGroup = (score) =>
  Object.fromEntries(
    groups.map((group) => {
      const of = inGroup(group);
      return [group, score(of("development"), of("test"))];
    }),
  );
const all = (split) => runs.filter((run) => run.split === split);

const score = {
  schema: "epigrok-diagnosis-score/2",
  rule: RULE,
  counts: Object.fromEntries(
    ["development", "test"].map((split) => [
      split,
      Object.fromEntries(["pool", "fresh"].map((group) => [group, countsOf(inGroup(group)(split))])),
    ]),
  ),
  leftOut: countReasons(leftOut),
  combination: combination.coefficients,
  signals: byGroup((_, test) => scoreSignals(test)),
  alarms: byGroup(scoreAlarms),
  thresholds: byGroup((_, test) => scoreThresholds(test)),
  estimates: byGroup((_, test) => scoreEstimates(test)),
  reliability: byGroup((_, test) => reliability(test)),
  singlePrompts: byGroup((_, test) => scoreSinglePrompts(test)),
  intervals: byGroup(scoreIntervals),
  warning: scoreWarning(all("development"), all("test")),
  failures: failures(all("test")),
  developmentAlarms: byGroup((development) => scoreAlarms(development, development).rule),
};

writeFileSync(join(values.out, "score.json"), `${JSON.stringify(score, null, 1)}\n`);
const text = asMarkdown(score);
writeFileSync(join(values.out, "score.md"), text);
process.stdout.write(text);

function countsOf(chosen) {
  return {
    runs: chosen.length,
    settings: new Set(chosen.map(({ setting }) => setting)).size,
    evaluations: chosen.reduce((sum, { evaluations }) => sum + evaluations.length, 0),
    memorised: chosen.filter(({ memorised }) => memorised !== null).length,
    grokked: chosen.filter(({ event }) => event !== null).length,
    censored: chosen.filter(({ censored }) => censored).length,
  };
}

function countReasons(all) {
  const counts = {};
  for (const { reason } of all) {
    const kind = reason.replace(/ of .*/, " of another run");
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
