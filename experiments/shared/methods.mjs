/** Approximate posteriors at the checkpoints of runs, method by method. */
import { compareMethods } from "../../dist/analysis/compare.js";
import { digest } from "./runs.mjs";
import { mean, median } from "./statistics.mjs";
import { number, table } from "./tables.mjs";

/** The arguments of `epigrok` that fit posteriors around two members of a run at nine of its checkpoints. */
export const posteriorJob = (methods) => [
  "posterior",
  ...["--methods", methods.join(","), "--steps", "all", "--checkpoints", "9", "--members", "2", "--quiet"],
];

/** Empty without any posteriors. */
export function methodsTable(runs) {
  const compared = runs.map((run) => {
    const { events, posteriors, config } = run;
    const rows = compareMethods(posteriors, {
      classes: config.task.modulus,
      grokStep: events.grokStep,
      config,
    });
    return { run: digest(run), rows };
  });
  const names = [...new Set(compared.flatMap(({ rows }) => rows.map(({ method }) => method)))];
  const rows = names.map((method) => {
    const each = compared.flatMap(({ run, rows }) => {
      const row = rows.find((candidate) => candidate.method === method);
      if (!row) return [];
      const plateau = row.points.filter(
        ({ step }) =>
          step >= (run.memorised ?? Infinity) && (run.generalised === null || step < run.generalised),
      );
      const mi = ({ mean }) => mean.mutualInformation;
      return [
        {
          plateau: mean(plateau.map(mi)),
          end: mi(row.points.at(-1)),
          half: row.fall && run.grok ? Math.log2(row.fall.end / run.grok) : null,
          collapse: row.collapseStep !== null,
          samples: row.samples,
          seconds: row.secondsEach,
        },
      ];
    });
    const halves = each.map(({ half }) => half).filter((half) => half !== null);
    return [
      method,
      each[0].samples,
      number(median(each.map(({ plateau }) => plateau)), 3),
      number(median(each.map(({ end }) => end)), 3),
      number(median(each.map(({ plateau, end }) => (plateau ? end / plateau : null)))),
      `${halves.length} of ${each.length}`,
      halves.map((half) => number(half)).join(", ") || "–",
      each.filter(({ collapse }) => collapse).length,
      number(median(each.map(({ seconds }) => seconds)), 1),
    ];
  });
  return rows.length === 0
    ? ""
    : table(
        [
          "posterior at the checkpoints",
          "S",
          "MI on the plateau",
          "MI at the end",
          "ratio",
          "falls to half",
          "octaves after the grok step",
          "collapses reported",
          "seconds each",
        ],
        rows,
      );
}
