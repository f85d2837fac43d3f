// A model's predictions against those of an exact Bayesian: `node examples/exact.mjs [RUN]`, after train.mjs.
import { createProbeSets, exactPosterior, exactPredictive, loadCheckpoint, totalVariation } from "epigrok";

const { config, model } = await loadCheckpoint(process.argv[2] ?? "runs/example");
const { modulus, variables, zeroTask } = config.task;

// One prompt by hand: z = 3 x, shown at x = 2; what is z at x = 5?
const context = { modulus, variables, zeroTask, contextNoise: 0, inputs: [[2]], outputs: [6] };
const query = [5];
// `generalising` counts every task of the family as possible; a list of tasks would be a memorising predictor's prior.
const exact = exactPredictive({ ...context, prior: "generalising", query });
console.log(`exact:  z = ${exact.indexOf(Math.max(...exact))} with probability ${Math.max(...exact)}`);
const { weights } = exactPosterior({ ...context, prior: "generalising" });
console.log(`        ${weights.filter((p) => p > 0).length} task(s) fit the context`);

// The same prompt for the model: tokens x1 z1 x2; it predicts z2 at the last of them.
const tokens = Int32Array.of(2, 6, 5);
const positions = Int32Array.of(2);
const learnt = model.probabilities({ tokens, batchSize: 1, length: 3, positions, targets: Int32Array.of(0) });
console.log(
  `model:  z = ${learnt.indexOf(Math.max(...learnt))} with probability ${Math.max(...learnt).toFixed(3)}`,
);

// All probe prompts, which hold the exact predictives M (knows the training tasks) and G (knows the family).
for (const { name, batch, references } of createProbeSets(config)) {
  const p = model.probabilities(batch);
  const row = (values, i) => values.subarray(i * modulus, (i + 1) * modulus);
  const rows = Array.from(batch.targets.keys());
  const distance = (q) =>
    rows.reduce((sum, i) => sum + totalVariation(row(p, i), row(q, i)), 0) / rows.length;
  console.log(
    `${name}: ${distance(references.M).toFixed(3)} from M, ${distance(references.G).toFixed(3)} from G`,
  );
}
