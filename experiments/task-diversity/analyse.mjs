/**
 * Claims: how epistemic uncertainty depends on task diversity; that it stays up without grokking. Delay, accuracy and
 * mutual information against the number of training tasks, for pools and for fresh prompts.
 */
import { intervalPlot } from "../shared/figures.mjs";
import { outcomesTable } from "../shared/outcomes.mjs";
import { groupBy, withDigests } from "../shared/runs.mjs";
import { bootstrap, bySeed, overSeeds, spearman } from "../shared/statistics.mjs";
import { poolName, table, withInterval } from "../shared/tables.mjs";

export function analyse(runs) {
  const read = withDigests(runs);
  const cells = groupBy(read, ["task.promptPool", "task.trainTasks"]);
  const grid = outcomesTable(
    cells.map(({ values: [pool, tasks], runs }) => ({ values: [poolName(pool), tasks], runs })),
    ["pool", "training tasks"],
    [
      "seeds",
      "members that generalise",
      "members that grok",
      "delay (grok / memorised)",
      "peak of MI",
      "MI at the end",
      "unseen accuracy at the end, from chance to ceiling",
      "collapses reported",
    ],
  );
  return { text: [grid, trends(read), outcomes(read)].join("\n\n"), figures: { diversity: figure(cells) } };
}

/** Rank correlations with the number of training tasks, within each pool, over seeds. */
function trends(read) {
  const measures = {
    "peak of MI": (d) => d.peak,
    "MI on the plateau": (d) => d.plateau.mutualInformation,
    "MI at the end": (d) => d.last.mutualInformation,
    "delay (never is longest)": (d) => d.delay,
    "unseen accuracy at the end": (d) => d.end,
  };
  const pools = groupBy(read, ["task.promptPool"]);
  const rows = Object.entries(measures).map(([name, of]) => [
    name,
    ...pools.map(({ runs }) => {
      const correlation = (some) =>
        spearman(some.map(({ config, digest }) => [config.task.trainTasks, of(digest)]));
      return withInterval({
        value: correlation(runs),
        interval: bootstrap(bySeed(runs), (groups) => correlation(groups.flat())),
      });
    }),
  ]);
  return table(
    [
      "rank correlation with the number of training tasks",
      ...pools.map(({ values: [pool] }) => `pool ${poolName(pool)}`),
    ],
    rows,
  );
}

/** What mutual information does where unseen tasks are never solved, solved for good, and solved for a time. */
function outcomes(read) {
  const kind = ({ digest: { best, end, grok } }) =>
    end >= 0.9 && grok !== null
      ? "groks and stays"
      : best >= 0.9 && end < 0.7
        ? "solved for a time"
        : end < 0.3
          ? "never"
          : "in part";
  const rows = ["groks and stays", "in part", "solved for a time", "never"].map((name) => {
    const runs = read.filter((run) => kind(run) === name);
    const ratio = ({ digest }) => digest.last.mutualInformation / digest.peak;
    return [
      name,
      runs.length,
      runs.length === 0 ? "–" : withInterval(overSeeds(runs, ratio)),
      runs.length === 0 ? "–" : withInterval(overSeeds(runs, ({ digest }) => digest.last.mutualInformation)),
      runs.filter(({ digest }) => digest.collapse !== null).length,
    ];
  });
  return table(
    ["unseen tasks", "runs", "MI at the end over its peak", "MI at the end", "collapses reported"],
    rows,
  );
}

function figure(cells) {
  const pools = [...new Set(cells.map(({ values: [pool] }) => pool))];
  const lines = pools.map((pool) => ({
    label: pool === 0 ? "fresh" : `pool ${pool}`,
    points: cells
      .filter(({ values }) => values[0] === pool)
      .map(({ values: [, x], runs }) => ({
        x,
        ...overSeeds(runs, ({ digest }) => digest.last.mutualInformation),
      })),
  }));
  return intervalPlot({
    description:
      "Mutual information on unseen tasks at the end of training against the number of training tasks, with 95 % intervals.",
    x: { title: "training tasks" },
    y: {
      title: "MI at the end, nats",
    },
    lines,
  });
}
