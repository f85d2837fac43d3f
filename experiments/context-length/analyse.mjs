/**
 * Claims: how epistemic uncertainty depends on the length of the context, in training and, along the positions of a
 * prompt, in use. Exact uncertainty of the generalising predictor beside it.
 */
import { createProbeSets } from "../../dist/tasks/probes.js";
import { intervalPlot } from "../shared/figures.mjs";
import { outcomesTable } from "../shared/outcomes.mjs";
import { groupBy, near, withDigests } from "../shared/runs.mjs";
import { mean, median, overSeeds } from "../shared/statistics.mjs";
import { number, poolName, table, withInterval } from "../shared/tables.mjs";

export function analyse(runs) {
  const cells = groupBy(withDigests(runs), ["task.promptPool", "task.examples"]);
  const fresh = cells.filter(({ values: [pool] }) => pool === 0);
  const lengths = outcomesTable(
    cells.map(({ values: [pool, examples], runs }) => ({ values: [poolName(pool), examples], runs })),
    ["pool", "examples in a prompt"],
    [
      "seeds",
      "members that grok",
      "memorised",
      "grokked",
      "peak of MI",
      "MI at the end",
      "unseen accuracy at the end, from chance to ceiling",
      "collapses reported",
    ],
  );
  return {
    text: [lengths, ...fresh.map(positions)].join("\n\n"),
    figures: fresh.length > 0 ? { positions: figure(fresh.at(-1)) } : {},
  };
}

/** Mean entropy of the generalising predictor on unseen tasks at each position, nats. */
function entropyOfG({ config }) {
  const { references, batch } = createProbeSets(config).find(({ name }) => name === "unseenTasks");
  const positions = batch.positions.length;
  const sums = new Array(positions).fill(0);
  const classes = config.task.modulus;
  for (let row = 0; row * classes < references.G.length; row++)
    for (const p of references.G.subarray(row * classes, (row + 1) * classes))
      if (p > 0) sums[row % positions] -= p * Math.log(p);
  return sums.map((sum) => sum / (references.G.length / classes / positions));
}

/** While the pool is memorised, half-way to the end of the plateau, and at the end of training. */
function moments({ digest: { memorised, generalised, measures } }) {
  const until = generalised ?? measures.at(-1).step;
  return {
    plateau: memorised === null ? null : near(measures, Math.sqrt(memorised * until)),
    end: measures.at(-1),
  };
}

function positions({ values: [, examples], runs }) {
  const exact = runs.map(entropyOfG);
  const rows = Array.from({ length: examples }, (_, position) => {
    const of = (moment, name) =>
      withInterval(overSeeds(runs, (run) => moments(run)[moment]?.[name][position] ?? null));
    return [
      position,
      of("plateau", "mutualInformationByPosition"),
      of("end", "mutualInformationByPosition"),
      of("plateau", "expectedEntropyByPosition"),
      of("end", "expectedEntropyByPosition"),
      number(mean(exact.map((entropies) => entropies[position]))),
      of("end", "accuracyByPosition"),
    ];
  });
  return table(
    [
      `examples seen, of ${examples}`,
      "MI on the plateau",
      "MI at the end",
      "expected entropy on the plateau",
      "at the end",
      "entropy of G",
      "accuracy at the end",
    ],
    rows,
  );
}

function figure({ values: [, examples], runs }) {
  const line = (label, moment) => ({
    label,
    points: Array.from({ length: examples }, (_, x) => ({
      x,
      ...overSeeds(runs, (run) => moments(run)[moment]?.mutualInformationByPosition[x] ?? null),
    })),
  });
  const exact = runs.map(entropyOfG);
  const lines = [
    line("MI, plateau", "plateau"),
    line("MI, end", "end"),
    {
      label: "entropy of G",
      points: Array.from({ length: examples }, (_, x) => ({ x, value: median(exact.map((e) => e[x])) })),
    },
  ];
  return intervalPlot({
    description: `Mutual information on unseen tasks along a prompt of ${examples} examples, on the plateau and at the end, with the entropy of the generalising predictor.`,
    x: { title: "examples seen", domain: [0, examples - 1] },
    y: { title: "nats" },
    lines,
  });
}
