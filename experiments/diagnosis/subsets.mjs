/**
 * What the diagnosis of a run would have been with fewer members, fewer prompts of unseen tasks, and without labels of
 * seen tasks: means over all subsets of the members of a size, as rows of a table.
 *
 *     node experiments/diagnosis/subsets.mjs RUN...
 */
import { Diagnosis, readRun } from "../../dist/index.js";
import { firstSustained, outcome } from "./events.mjs";
import { labelsOf, part, predictionsAt, subsets } from "./predictions.mjs";
import { mean } from "./ranking.mjs";

const SIZES = [
  { members: 4, prompts: 256 },
  { members: 4, prompts: 64 },
  { members: 4, prompts: 16 },
  { members: 3, prompts: 256 },
  { members: 2, prompts: 256 },
  { members: 1, prompts: 256 },
];

/** First of three evaluations in a row with nine tenths of the way from chance to the ceiling, by labels. */
function solvedStep(evaluations, { chance, ceiling }) {
  const solved = evaluations.map(({ accuracy }) => accuracy >= chance + 0.9 * (ceiling - chance));
  return evaluations[firstSustained(solved)]?.step ?? null;
}

function lead(alarm, solved) {
  const { kind, lead } = outcome(alarm, solved);
  return kind === "found" ? lead.toFixed(2) : kind;
}

console.log("| run | members | prompts | seen | error | in the interval | alarms, octaves after the event |");
console.log("|---|---|---|---|---|---|---|");
for (const path of process.argv.slice(2)) {
  const run = await readRun(path);
  const labels = labelsOf(run.config);
  const all = run.records.map(({ step }) => ({ step, ...predictionsAt(run.directory, step) }));
  const [members, most] = all[0].unseen.shape;
  for (const size of SIZES.filter((each) => each.members <= members && each.prompts <= most))
    for (const withSeen of [true, false]) {
      const results = subsets([...Array(members).keys()], size.members).map((chosen) => {
        const diagnosis = new Diagnosis(run.references.unseenTasks);
        for (const { step, unseen, seen } of all)
          diagnosis.push({
            step,
            predictions: part(unseen, chosen, size.prompts),
            labels: labels.unseenTasks.slice(0, size.prompts),
            ...(withSeen && {
              seen: { predictions: part(seen, chosen, most), labels: labels.seenTasks },
            }),
          });
        return diagnosis.result;
      });
      const rows = results.flatMap(({ evaluations }) => evaluations);
      const error = mean(
        rows.map(({ estimatedAccuracy, accuracy }) => Math.abs(estimatedAccuracy.value - accuracy)),
      );
      const inside = mean(
        rows.map(({ estimatedAccuracy: { low, high }, accuracy }) =>
          Number(low <= accuracy && accuracy <= high),
        ),
      );
      const leads = results.map((result) => lead(result.alarmStep, solvedStep(result.evaluations, result)));
      const cells = [run.name, size.members, size.prompts, withSeen ? "yes" : "no", error.toFixed(3)];
      console.log(`| ${[...cells, `${Math.round(100 * inside)} %`, leads.join(", ")].join(" | ")} |`);
    }
}
