/**
 * The paper's modulus: p = 29 with one variable, as preset `quick` has it, and with two variables as far as two cores
 * reach. One line a run, and how far they agree.
 */
import { methodsTable, posteriorJob } from "../shared/methods.mjs";
import { fallAtGrok, groupBy, withDigests } from "../shared/runs.mjs";
import { mean, median, medianOfKnown, overSeeds } from "../shared/statistics.mjs";
import { number, share, step, table, withInterval } from "../shared/tables.mjs";

/** The two methods of the paper, beside the ensemble. */
const METHODS = ["ensemble", "laplace-last-layer", "ivon"];

export const jobs = ({ config }) => (config.task.variables === 1 ? [posteriorJob(METHODS)] : []);

export function analyse(runs) {
  const read = withDigests(runs);
  const groups = groupBy(read, ["task.variables"]);
  return { text: [each(read), ...groups.map(summary), methodsTable(runs)].filter(Boolean).join("\n\n") };
}

function each(read) {
  const rows = read.map((run) => {
    const { config, digest: d } = run;
    return [
      config.task.variables,
      config.seed,
      step(d.memorised),
      step(d.generalised),
      step(d.grok),
      d.delay === null ? "–" : number(d.delay, 1),
      share(d.grokked),
      step(d.collapse),
      number(d.lead),
      number(d.plateau.mutualInformation),
      number(d.last.mutualInformation, 3),
      number(d.end),
      share(fallAtGrok(run)),
    ];
  });
  return table(
    [
      "variables",
      "seed",
      "memorised",
      "generalised",
      "grokked",
      "delay",
      "members that grok",
      "collapse reported",
      "lead, octaves",
      "MI on the plateau",
      "MI at the end",
      "unseen accuracy at the end, from chance to ceiling",
      "share of the fall within half an octave of grokking",
    ],
    rows,
  );
}

function summary({ values: [variables], runs }) {
  const of = (get, cell, statistic = median) => withInterval(overSeeds(runs, get, statistic), cell);
  return [
    `${variables} variable${variables > 1 ? "s" : ""}, ${runs.length} runs, medians [95 % interval over seeds]:`,
    `members that grok ${of(({ digest }) => digest.grokked, share, mean)};`,
    `delay ${of(
      ({ digest }) => digest.delay,
      (value) => (value === null ? "never" : number(value, 1)),
    )};`,
    `lead ${of(({ digest }) => digest.lead, number, medianOfKnown)} octaves;`,
    `share of the fall within half an octave of grokking ${of(fallAtGrok, share, medianOfKnown)};`,
    `collapses without grok ${runs.filter(({ digest }) => digest.collapse !== null && digest.grok === null).length}.`,
  ].join(" ");
}
