/** What became of runs, setting by setting: the columns that tables of several experiments have. */
import { mean, median, overSeeds } from "./statistics.mjs";
import { number, share, step, table, withInterval } from "./tables.mjs";

/** The median over seeds, or another statistic, of a value of each run's digest. */
const over =
  (of, cell = number, statistic = undefined) =>
  (runs) =>
    withInterval(
      overSeeds(runs, (run) => of(run.digest), statistic),
      cell,
    );

const times = (value) => (value === null ? "never" : number(value, 1));

/** By the name at the head: the cell of the runs with one setting. */
const OUTCOMES = {
  seeds: (runs) => runs.length,
  "members that generalise": over((d) => d.generalisedMembers, share, mean),
  "members that grok": over((d) => d.grokked, share, mean),
  memorised: over((d) => d.memorised, step, median),
  generalised: over((d) => d.generalised, step, median),
  grokked: over((d) => d.grok, step, median),
  "delay (grok / memorised)": over((d) => d.delay, times, median),
  "peak of MI": over((d) => d.peak),
  "MI at the end": over((d) => d.last.mutualInformation),
  "expected entropy at the end": over((d) => d.last.expectedEntropy),
  "entropy of G": (runs) => number(mean(runs.map((run) => run.digest.entropyG))),
  "distance to M, 0, against G, 1": over((d) => d.last.relativeDistance),
  "unseen accuracy at the end, from chance to ceiling": over((d) => d.end),
  "collapses reported": (runs) => {
    const collapsed = runs.filter((run) => run.digest.collapse !== null);
    return `${collapsed.length}, of which ${collapsed.filter((run) => run.digest.grok === null).length} without grok`;
  },
};

/**
 * A row for each setting.
 * @param groups of runs with digests, as `groupBy` gives them
 * @param settings names of the grouped settings
 * @param columns names in `OUTCOMES`
 */
export function outcomesTable(groups, settings, columns) {
  return table(
    [...settings, ...columns],
    groups.map(({ values, runs }) => [...values, ...columns.map((column) => OUTCOMES[column](runs))]),
  );
}
