/**
 * What the diagnosis of a run would have been with fewer members, fewer prompts of unseen tasks, and without labels of
 * seen tasks: means over all subsets of the members of a size, as rows of a table.
 *
 *     node experiments/diagnosis/subsets.mjs RUN...
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createProbeSets, Diagnosis, decodeSafetensors, readRun } from "../../dist/index.js";

const SIZES = [
  { members: 4, prompts: 256 },
  { members: 4, prompts: 64 },
  { members: 4, prompts: 16 },
  { members: 3, prompts: 256 },
  { members: 2, prompts: 256 },
  { members: 1, prompts: 256 },
];

/** Of the members, all subsets of a size. */
function subsets(members, size) {
  if (size === 0) return [[]];
  return members.flatMap((first, i) =>
    subsets(members.slice(i + 1), size - 1).map((others) => [first, ...others]),
  );
}

/** Of (members, prompts, classes), these members and the first so many prompts. */
function part({ shape: [, all, classes], data }, members, prompts) {
  const chosen = new Float32Array(members.length * prompts * classes);
  for (const [i, m] of members.entries()) {
    const from = m * all * classes;
    chosen.set(data.subarray(from, from + prompts * classes), i * prompts * classes);
  }
  return { shape: [members.length, prompts, classes], data: chosen };
}

/** As the run keeps them: predictions/step-00000000.safetensors. */
function evaluationsOf({ directory, records }) {
  return records.map(({ step }) => {
    const name = `step-${String(step).padStart(8, "0")}.safetensors`;
    const { tensors } = decodeSafetensors(readFileSync(join(directory, "predictions", name)));
    return { step, unseen: tensors.get("unseenTasks"), seen: tensors.get("seenTasks") };
  });
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** First of three evaluations in a row with nine tenths of the way from chance to the ceiling, by labels. */
function solvedStep(evaluations, { chance, ceiling }) {
  const solved = evaluations.map(({ accuracy }) => accuracy >= chance + 0.9 * (ceiling - chance));
  const first = solved.findIndex((_, i) => i + 3 <= solved.length && solved.slice(i, i + 3).every(Boolean));
  return first < 0 ? null : evaluations[first].step;
}

function lead(alarm, solved) {
  if (alarm === null) return solved === null ? "none due" : "missed";
  return solved === null ? "false" : Math.log2(alarm / solved).toFixed(2);
}

console.log("| run | members | prompts | seen | error | in the interval | alarms, octaves after the event |");
console.log("|---|---|---|---|---|---|---|");
for (const path of process.argv.slice(2)) {
  const run = await readRun(path);
  const labels = Object.fromEntries(
    createProbeSets(run.config).map(({ name, batch }) => {
      const positions = batch.targets.length / batch.batchSize;
      return [name, batch.targets.filter((_, i) => i % positions === positions - 1)];
    }),
  );
  const all = evaluationsOf(run);
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
