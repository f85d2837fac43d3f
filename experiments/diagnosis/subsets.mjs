/**
 * The diagnosis with fewer members and fewer prompts of unseen tasks, and with members that train on resamples, of runs
 * that kept a checkpoint of every evaluation. Writes members.md, which it prints.
 *
 *     node experiments/diagnosis/subsets.mjs --out DIR SWEEP_OR_RUN...
 */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readRun } from "../../dist/index.js";
import { summary } from "./alarms.mjs";
import { hashOf, nameOf, runDirectories } from "./collect.mjs";
import { ensemblesOf, MEMBERS, PROMPTS, VERSION } from "./ensembles.mjs";
import { outcome } from "./events.mjs";
import { intervalOver, mean, median } from "./ranking.mjs";
import { rankingsOf, withScores } from "./rankings.mjs";
import { remembered } from "./remembered.mjs";
import { settingsOf } from "./settings.mjs";
import { SIGNALS } from "./signals.mjs";
import { fixed, percent, range, table } from "./tables.mjs";

/** Of members that train on resamples there are so many; they are compared by as many prompts as there are. */
const RESAMPLED = { members: 4, prompts: PROMPTS[0], withSeen: true };
const BESIDE = ["difference", "confidence", "agreement", "mutualInformation"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" } },
});
if (!values.out || positionals.length === 0) throw new Error("usage: subsets.mjs --out DIR SWEEP_OR_RUN...");

const ensembles = [];
for (const directory of positionals.flatMap((path) => runDirectories(resolve(path)))) {
  const { config } = await readRun(directory);
  const { "ensemble.bootstrap": resampling = "none", ...setting } = settingsOf(config);
  const file = join(values.out, "ensembles", `${hashOf(directory)}.json`);
  const measured = await remembered(file, VERSION, () => {
    console.error(directory);
    return ensemblesOf(directory);
  });
  const from = { run: nameOf(directory), setting: JSON.stringify(setting), resampling };
  ensembles.push(...measured.map((each) => ({ ...each, ...from })));
}

/** AUROC of a signal, with its interval over the runs that the ensembles are of. */
function ranked(name, own, of) {
  const ranking = rankingsOf(withScores(name, own))[of];
  const interval = intervalOver(
    own.map(({ run }) => run),
    1,
    (times) => ranking.auroc(times),
  );
  return fixed(ranking.auroc()) + range(interval);
}

const beside = (own) => BESIDE.map((name) => fixed(rankingsOf(withScores(name, own)).evaluations.auroc()));
const labelsOf = (names) => names.map((name) => SIGNALS[name].label);

/** Of the alarms of the rule, or of the detector. */
function alarmCells(own, stepOf) {
  const known = own.filter(({ censored }) => !censored);
  const {
    missed,
    due,
    false: wrong,
    notDue,
    medianLead,
    medianOff,
  } = summary(known.map((each) => outcome(stepOf(each), each.event)));
  return [`${missed} of ${due}`, `${wrong} of ${notDue}`, fixed(medianLead, 2), fixed(medianOff, 2)];
}

const ofRule = ({ alarmStep }) => alarmStep;
const ofDetector = ({ collapseStep }) => collapseStep;

function accuracyCells(own) {
  const rows = own.flatMap(({ evaluations }) => evaluations);
  const holds = ({ estimate: { low, high }, accuracy }) => Number(low <= accuracy && accuracy <= high);
  return [
    fixed(mean(rows.map(({ estimate, accuracy }) => Math.abs(estimate.value - accuracy)))),
    percent(mean(rows.map(holds))),
    fixed(mean(rows.map(({ estimate: { low, high } }) => high - low)), 2),
  ];
}

const ALARMS = ["missed", "false", "octaves", "off"];

function sizesTable() {
  const rows = MEMBERS.flatMap((members) =>
    PROMPTS.flatMap((prompts) =>
      [true, false].flatMap((withSeen) => {
        const own = ensembles.filter(
          (each) =>
            each.resampling === "none" &&
            each.members === members &&
            each.prompts === prompts &&
            each.withSeen === withSeen,
        );
        if (own.length === 0) return [];
        return [
          [
            ...[members, prompts, withSeen ? "yes" : "no", own.length, ranked("rule", own, "evaluations")],
            ...[...accuracyCells(own), ...alarmCells(own, ofRule), ...beside(own)],
          ],
        ];
      }),
    ),
  );
  const head = ["members", "prompts", "seen", "ensembles", "AUROC", "error", "in the interval", "its width"];
  return table([...head, ...ALARMS, ...labelsOf(BESIDE)], rows);
}

/** Of settings that have runs of each kind. */
function resamplingTable() {
  const own = ensembles.filter((each) =>
    Object.entries(RESAMPLED).every(([key, value]) => each[key] === value),
  );
  const kinds = [...new Set(own.map(({ resampling }) => resampling))];
  if (kinds.length < 2) return "";
  const compared = own.filter(({ setting }) =>
    kinds.every((kind) => own.some((each) => each.setting === setting && each.resampling === kind)),
  );
  const rows = kinds.map((kind) => {
    const these = compared.filter(({ resampling }) => resampling === kind);
    const events = these.flatMap(({ event }) => (event === null ? [] : [event]));
    return [
      ...[kind, these.length, events.length, median(events) ?? ""],
      ...[ranked("rule", these, "evaluations"), ranked("rule", these, "whole")],
      ...[ranked("mutualInformation", these, "evaluations"), ranked("mutualInformation", these, "whole")],
      ...[ranked("agreement", these, "evaluations"), ...accuracyCells(these).slice(0, 2)],
      ...[...alarmCells(these, ofRule), ...alarmCells(these, ofDetector)],
    ];
  });
  return table(
    [
      ...["resampled", "ensembles", "grok", "median step"],
      ...["AUROC of the rule", "over ensembles", "AUROC of less MI", "over ensembles", "AUROC of GDE"],
      ...["error", "in the interval", ...ALARMS, ...ALARMS.map((name) => `collapse: ${name}`)],
    ],
    rows,
  );
}

const settings = new Set(ensembles.map(({ setting }) => setting)).size;
const runs = new Set(ensembles.map(({ run }) => run)).size;
const text = `${[
  `${runs} runs of ${settings} settings.`,
  `## Members and prompts\n\n${sizesTable()}`,
  `## Resampled\n\n${resamplingTable()}`,
].join("\n\n")}\n`;
writeFileSync(join(values.out, "members.md"), text);
process.stdout.write(text);
