/** What the experiments read off a run: uncertainty at the moments that its labels name. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readRun } from "../../dist/report/read-run.js";
import { readSweep, runDirectory } from "../../dist/sweep/directory.js";
import { normalisedAccuracy } from "../../dist/uncertainty/events.js";
import { median } from "./statistics.mjs";

/** The finished runs of a sweep, each with its settings. */
export async function readRuns(sweep) {
  const runs = [];
  for (const { run, settings } of readSweep(sweep).runs) {
    const directory = runDirectory(sweep, run);
    if (!existsSync(join(directory, "summary.json"))) continue;
    runs.push({ settings, ...(await readRun(directory)) });
  }
  return runs;
}

/** Records from `from` to before `to`; a null `to` is the end. */
const between = (records, from, to) =>
  records.filter(({ step }) => step >= from && (to === null || step < to));

/**
 * Mutual information and the rest through one run, on one probe set. `plateau` is from memorising to generalising (without
 * a pool: to grokking) of the median member, or to the end; null where it was never memorised or lasted no evaluation.
 */
export function digest({ summary, records, references, events }, set = "unseenTasks") {
  const { memorisedStep: memorised, grokStep: grok, collapseStep: collapse } = events;
  const generalised = events.generalisedStep === undefined ? grok : events.generalisedStep;
  const measures = records.map(({ step, ensemble }) => ({ step, ...ensemble[set] }));
  const last = measures.at(-1);
  const at = (step) => (step === null ? null : (measures.find((m) => m.step === step) ?? null));
  const plateau = memorised === null ? [] : between(measures, memorised, generalised);
  const of = (name) => (plateau.length === 0 ? null : median(plateau.map((m) => m[name])));
  const members = summary.perMember;
  const progress = (accuracy) => normalisedAccuracy(accuracy, references[set]);
  return {
    memorised,
    generalised,
    grok,
    meanGrok: summary.meanPrediction?.grokStep ?? null,
    collapse,
    delay: memorised && grok ? grok / memorised : null,
    lead: collapse && grok ? Math.log2(collapse / grok) : null,
    grokked: members.filter(({ grokStep }) => grokStep !== null).length / members.length,
    /** Without a pool there is no such event: null. */
    generalisedMembers:
      events.generalisedStep === undefined
        ? null
        : members.filter(({ generalisedStep }) => generalisedStep !== null).length / members.length,
    measures,
    at,
    plateau: {
      mutualInformation: of("mutualInformation"),
      expectedEntropy: of("expectedEntropy"),
      totalEntropy: of("totalEntropy"),
    },
    peak: Math.max(...measures.map((m) => m.mutualInformation)),
    last,
    best: Math.max(...measures.map((m) => progress(m.accuracy) ?? 0)),
    end: progress(last.accuracy),
    entropyG: references[set].entropyG,
  };
}

/** Runs, each with its digest on one probe set. */
export const withDigests = (runs, set) => runs.map((run) => ({ ...run, digest: digest(run, set) }));

/** The evaluation nearest to a step. */
export const near = (measures, step) =>
  measures.reduce((best, m) => (Math.abs(m.step - step) < Math.abs(best.step - step) ? m : best));

/**
 * How much of the fall of mutual information, from its plateau to its end, lies within half an octave of the median
 * member's grok step on either side. null where it did not grok, or did not fall.
 */
export function fallAtGrok(run, halfWidth = 0.5) {
  const { grok, measures, plateau, last } = digest(run);
  const fall = plateau.mutualInformation - last.mutualInformation;
  if (!grok || plateau.mutualInformation === null || !(fall > 0)) return null;
  const before = near(measures, grok * 2 ** -halfWidth).mutualInformation;
  const after = near(measures, grok * 2 ** halfWidth).mutualInformation;
  return (before - after) / fall;
}

/** Runs by the values of some settings, in the order in which these appear. */
export function groupBy(runs, keys) {
  const groups = new Map();
  for (const run of runs) {
    const values = keys.map((key) => key.split(".").reduce((section, part) => section?.[part], run.config));
    const name = JSON.stringify(values);
    const group = groups.get(name) ?? { values, runs: [] };
    group.runs.push(run);
    groups.set(name, group);
  }
  return [...groups.values()];
}
