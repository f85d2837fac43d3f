/** The runs below directories, each measured once: what was measured is kept in files, until the rule or this changes. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { EVENT_LEVEL } from "../../dist/uncertainty/events.js";
import { firstSustained, sustained } from "./events.mjs";
import { alarmOf, judged } from "./judge.mjs";
import { measure } from "./measure.mjs";
import { remembered, versionOf } from "./remembered.mjs";
import { inWords, settingsOf, splitOf } from "./settings.mjs";

/** Of what the measures depend on; the rule is applied to what was measured. */
const VERSION = versionOf([
  ...["measure", "asked-back", "predictions", "single-prompts", "weights"].map((name) => `${name}.mjs`),
  ...["consensus", "cycle", "estimators"].map((name) => `../../dist/diagnosis/${name}.js`),
]);

/** Run directories at or below each of these: of a run, of a sweep, or of sweeps. */
export function runDirectories(path) {
  if (existsSync(join(path, "config.json"))) return [path];
  const folders = existsSync(join(path, "sweep.json")) ? join(path, "runs") : path;
  if (!existsSync(folders)) return [];
  return readdirSync(folders, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name }) => runDirectories(join(folders, name)));
}

/**
 * @param paths of runs and sweeps
 * @param out where measures are kept
 * @returns runs, labelled and split; and what was left out, with the reason
 */
export async function collect(paths, out, progress = () => {}) {
  const folder = join(out, "measured");
  const leftOut = [];
  const found = new Map();
  for (const directory of paths.flatMap((path) => runDirectories(resolve(path)))) {
    const name = nameOf(directory);
    if (!existsSync(join(directory, "summary.json"))) {
      leftOut.push({ name, reason: "not finished" });
      continue;
    }
    if (!existsSync(join(directory, "predictions"))) {
      leftOut.push({ name, reason: "no predictions kept" });
      continue;
    }
    progress(name);
    const measured = await measuredOf(directory, folder);
    if (measured.evaluations.some(({ estimates }) => estimates.cycle === null)) {
      leftOut.push({ name, reason: "nothing asked back" });
      continue;
    }
    if (measured.members < 2) {
      leftOut.push({ name, reason: "one member" });
      continue;
    }
    const settings = settingsOf(measured.config);
    const same = JSON.stringify([settings, measured.config.seed]);
    const other = found.get(same);
    // Their first members are the same networks.
    if (other) leftOut.push({ name, reason: `setting and seed of ${other.name}` });
    if (!other || other.members < measured.members)
      found.set(same, labelled({ name, settings, ...measured }));
  }
  const runs = [...found.values()];
  const words = inWords(runs.map(({ settings }) => settings));
  return { leftOut, runs: runs.map((run, i) => ({ ...run, words: words[i] })) };
}

/** Of a run of a sweep, the sweep's name and the beginning of its hash. */
export function nameOf(directory) {
  const parent = dirname(directory);
  return basename(parent) === "runs" && existsSync(join(dirname(parent), "sweep.json"))
    ? `${basename(dirname(parent))}/${basename(directory).slice(0, 8)}`
    : basename(directory);
}

async function measuredOf(directory, folder) {
  return remembered(join(folder, `${hashOf(directory)}.json`), VERSION, () => measure(directory));
}

/** Of the run's configuration. */
export function hashOf(directory) {
  const { hash, config } = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
  return hash ?? createHash("sha256").update(JSON.stringify(config)).digest("hex");
}

/** Judged by the rule, and labelled: the steps of its events, and whether it has generalised at each evaluation. */
function labelled(run) {
  const { config, scale, trainedScale, settings } = run;
  const { prompts } = config.evaluation;
  const by = { scale, classes: config.task.modulus };
  const withoutCycle = run.evaluations.map((each) => judged(each, { ...by, prompts, known: "seen" }));
  const evaluations = run.evaluations.map((each, i) => ({
    ...judged(each, { ...by, prompts }),
    withoutCycle: withoutCycle[i],
  }));
  const solved = solvedFlags(evaluations, scale);
  const trained = evaluations.map(({ trainedAccuracy }) => isNear(trainedAccuracy, trainedScale));
  const stepOf = (flags) => evaluations[firstSustained(flags)]?.step ?? null;
  const event = stepOf(solved);
  /** null where nobody knows yet. */
  const generalised = sustained(solved);
  return {
    ...run,
    setting: JSON.stringify(settings),
    split: splitOf(settings),
    group: config.task.promptPool > 0 ? "pool" : "fresh",
    ...{ alarmStep: alarmOf(evaluations), withoutCycleAlarmStep: alarmOf(withoutCycle) },
    ...{ evaluations, event, memorised: stepOf(trained), generalised },
    /** It may have been about to generalise when it ended. */
    censored: event === null && generalised.includes(null),
  };
}

const isNear = (accuracy, { chance, ceiling }) => accuracy >= chance + EVENT_LEVEL * (ceiling - chance);

export const solvedFlags = (evaluations, scale) => evaluations.map(({ accuracy }) => isNear(accuracy, scale));
