// Train a tiny ensemble from a script, watch it, and plot it: `node examples/train.mjs [FOLDER]`, about ten seconds.
import { createConfig, runEnsemble, writeFigures, writeReport } from "epigrok";

const out = process.argv[2] ?? "runs/example";

// Prompts are x1 z1 x2 z2 with z = a x mod 23. Of the 22 values of a, 17 are trained on and 5 held out: unseen tasks.
// Keys and defaults are those of the YAML files; a preset would be createConfig({}, { preset: "quick" }).
const config = createConfig({
  task: { modulus: 23, zeroTask: false, trainTasks: 17, examples: 2, promptPool: 0 },
  model: { dModel: 32, nHeads: 4, nLayers: 2, dMlp: 128, initStd: 0.05 },
  training: {
    ...{ steps: 1500, batchSize: 256, lossPositions: "all", weightDecay: 0.1 },
    ...{ learningRate: 0.004, schedule: "cosine", finalLearningRate: 0.05 },
  },
  evaluation: { every: 100, prompts: 32 },
  ensemble: { members: 3 },
});

const { summary } = await runEnsemble(config, {
  out,
  mode: "overwrite",
  workers: 2,
  observer: {
    // Called after every evaluation, with the line that metrics.jsonl has got.
    evaluated({ step, ensemble: { seenTasks, unseenTasks } }) {
      const accuracies = `${seenTasks.accuracy.toFixed(2)} seen, ${unseenTasks.accuracy.toFixed(2)} unseen`;
      console.log(
        `step ${step}: ${accuracies}, ${unseenTasks.mutualInformation.toFixed(3)} nats of disagreement`,
      );
    },
  },
});

console.log(summary.verdict);
console.log(`report: ${await writeReport([out])}`);
console.log(`figures: ${(await writeFigures(out, `${out}/figures`)).length} SVG files in ${out}/figures`);
