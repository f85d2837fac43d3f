/**
 * Claim: epistemic uncertainty collapses sharply when a model groks. Mutual information, expected and total entropy in
 * the four quadrants, with a pool, with fresh prompts, and by method.
 */
import { intervalPlot } from "../shared/figures.mjs";
import { methodsTable, posteriorJob } from "../shared/methods.mjs";
import { digest, fallAtGrok, near } from "../shared/runs.mjs";
import { mean, median, medianOfKnown, overSeeds } from "../shared/statistics.mjs";
import { number, share, step, table, withInterval } from "../shared/tables.mjs";
import { isPool, KINDS, kindOf } from "./kinds.mjs";

const METHODS = ["ensemble", "laplace-last-layer", "laplace-kfac", "swag", "ivon", "dropout"];

export const jobs = (run) => (isPool(run) ? [posteriorJob(METHODS)] : []);

export function analyse(runs) {
  const kinds = Object.keys(KINDS).map((kind) => ({
    kind,
    runs: runs.filter((run) => kindOf(run) === kind),
  }));
  const pool = kinds[0].runs;
  const text = [
    throughTraining(kinds.filter((kind) => kind.runs.length > 0)),
    quadrants(kinds[2].runs),
    methodsTable(pool),
  ].join("\n\n");
  const shown = Object.entries({ pool, fresh: kinds[1].runs }).filter(([, runs]) => runs.length > 0);
  return {
    text,
    figures: Object.fromEntries(shown.map(([name, runs]) => [`collapse-${name}`, collapse(runs)])),
  };
}

function throughTraining(kinds) {
  const header = [
    "unseen tasks, medians over seeds [95 % interval]",
    "seeds",
    "members that grok",
    "memorised",
    "grokked",
    "MI on the plateau",
    "MI at the end",
    "expected entropy on the plateau",
    "at the end",
    "entropy of G",
    "share of the fall within half an octave of grokking",
    "collapse reported",
    "lead, octaves",
  ];
  const rows = kinds.map(({ kind, runs }) => {
    const read = new Map(runs.map((run) => [run, digest(run)]));
    const of = (get, cell, statistic) =>
      withInterval(
        overSeeds(runs, (run) => get(read.get(run)), statistic),
        cell,
      );
    const collapsed = runs.filter((run) => read.get(run).collapse !== null).length;
    const leads = runs.map((run) => read.get(run).lead).filter((lead) => lead !== null);
    return [
      kind,
      runs.length,
      of((d) => d.grokked, share, mean),
      of((d) => d.memorised, step, median),
      of((d) => d.grok, step, median),
      of((d) => d.plateau.mutualInformation),
      of(
        (d) => d.last.mutualInformation,
        (value) => number(value, 3),
      ),
      of((d) => d.plateau.expectedEntropy),
      of((d) => d.last.expectedEntropy),
      number(median(runs.map((run) => read.get(run).entropyG))),
      withInterval(
        overSeeds(runs, (run) => fallAtGrok(run), medianOfKnown),
        share,
      ),
      `${collapsed} of ${runs.length}`,
      leads.map((lead) => number(lead)).join(", ") || "–",
    ];
  });
  return table(header, rows);
}

const SETS = ["seenTasks", "seenTasksUnseenInputs", "unseenTasks", "unseenTasksUnseenInputs"];

function quadrants(runs) {
  if (runs.length === 0) return "";
  const rows = SETS.map((set) => {
    const moments = runs.map((run) => {
      const { memorised, grok, measures } = digest(run, set);
      const at = (when) => (when === null ? null : near(measures, when));
      return [at(memorised), at(grok), measures.at(-1)];
    });
    const cell = (moment, name) => number(median(moments.map((m) => m[moment]?.[name] ?? null)));
    return [
      set,
      ...[0, 1, 2].map(
        (moment) =>
          `${cell(moment, "accuracy")} / ${cell(moment, "mutualInformation")} / ${cell(moment, "expectedEntropy")}`,
      ),
    ];
  });
  return table(
    [
      "accuracy / MI / expected entropy, medians over seeds",
      "as the pool is memorised",
      "as unseen tasks are solved",
      "at the end",
    ],
    rows,
  );
}

/** Over octaves from the grok step, median and extremes of the seeds that grok, as far as more than half of them go. */
function collapse(runs) {
  const grid = Array.from({ length: 25 }, (_, i) => -2 + i / 8);
  const read = runs.map((run) => digest(run)).filter(({ grok }) => grok !== null);
  const line = (label, of) => ({
    label,
    points: grid.flatMap((octave) => {
      const values = read.flatMap(({ measures, grok }) => {
        const at = grok * 2 ** octave;
        return at > measures.at(-1).step ? [] : [of(near(measures, at))];
      });
      return values.length <= read.length / 2
        ? []
        : [{ x: octave, value: median(values), interval: [Math.min(...values), Math.max(...values)] }];
    }),
  });
  const lines = [
    line("accuracy", (m) => m.accuracy),
    line("MI", (m) => m.mutualInformation),
    line("exp. entropy", (m) => m.expectedEntropy),
  ];
  return intervalPlot({
    description: `Mutual information, expected entropy and accuracy on unseen tasks around the step at which the median member groks, ${read.length} of ${runs.length} seeds; dashed: lowest and highest seed.`,
    x: { title: "octaves after the median member groks", domain: [-2, 1], format: ".1f" },
    y: { title: "nats; accuracy" },
    lines,
    marks: [{ x: 0, label: "grokked" }],
    points: false,
  });
}
