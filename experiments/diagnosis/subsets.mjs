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
import { KNOWN } from "./judge.mjs";
import { intervalOver, mean, median } from "./ranking.mjs";
import { rankingsOf, withScores } from "./rankings.mjs";
import { remembered } from "./remembered.mjs";
import { inWords, settingsOf } from "./settings.mjs";
import { SIGNALS } from "./signals.mjs";
import { fixed, percent, range, table } from "./tables.mjs";

/** Of members that train on resamples there are so many; they are compared by as many prompts as there are. */
const RESAMPLED = { members: 4, prompts: PROMPTS[0], known: "cycle" };
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

/** Of one member there is no disagreement. */
const beside = (own) =>
  BESIDE.map((name) =>
    name === "mutualInformation" && own[0].members === 1
      ? ""
      : fixed(rankingsOf(withScores(name, own)).evaluations.auroc()),
  );
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

/** Of runs that have all sizes. */
function sizesTable() {
  const whole = new Set(ensembles.filter(({ members }) => members === MEMBERS[0]).map(({ run }) => run));
  const rows = MEMBERS.flatMap((members) =>
    PROMPTS.flatMap((prompts) =>
      Object.entries(KNOWN).flatMap(([known, { label }]) => {
        const own = ensembles.filter(
          (each) =>
            whole.has(each.run) &&
            each.members === members &&
            each.prompts === prompts &&
            each.known === known,
        );
        if (own.length === 0) return [];
        return [
          [
            ...[members, prompts, label, own.length, ranked("rule", own, "evaluations")],
            ...[...accuracyCells(own), ...alarmCells(own, ofRule), ...beside(own)],
          ],
        ];
      }),
    ),
  );
  const head = ["members", "prompts", "known", "ensembles", "AUROC", "error", "in the interval", "its width"];
  return table([...head, ...ALARMS, ...labelsOf(BESIDE)], rows);
}

/** Of settings that have runs with and without. */
function resamplingTable() {
  const own = ensembles.filter((each) =>
    Object.entries(RESAMPLED).every(([key, value]) => each[key] === value),
  );
  const settings = [...new Set(own.map(({ setting }) => setting))];
  const words = inWords(settings.map((setting) => JSON.parse(setting)));
  const rows = settings.flatMap((setting, i) => {
    const those = own.filter((each) => each.setting === setting);
    const kinds = [...new Set(those.map(({ resampling }) => resampling))];
    return kinds.length < 2 ? [] : kinds.map((kind) => resamplingRow(words[i], kind, those));
  });
  return rows.length === 0 ? "none" : resamplingOf(rows);
}

function resamplingRow(words, kind, those) {
  const these = those.filter(({ resampling }) => resampling === kind);
  const events = these.flatMap(({ event }) => (event === null ? [] : [event]));
  return [
    ...[words, kind, new Set(these.map(({ run }) => run)).size, these.length, events.length],
    ...[median(events) ?? "", ranked("rule", these, "evaluations")],
    ...[ranked("mutualInformation", these, "evaluations"), ranked("agreement", these, "evaluations")],
    ...accuracyCells(these).slice(0, 2),
    ...[...alarmCells(these, ofRule), ...alarmCells(these, ofDetector)],
  ];
}

function resamplingOf(rows) {
  return table(
    [
      ...["setting", "resampled", "runs", "ensembles", "grok", "median step"],
      ...["AUROC of the rule", "of less MI", "of GDE", "error", "in the interval", ...ALARMS],
      ...ALARMS.map((name) => `collapse: ${name}`),
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
