// A Laplace posterior around a checkpoint, and what it does not know: `node examples/laplace.mjs [RUN]`, after train.mjs.
import { createProbeSets, ensembleMeasures, loadCheckpoint } from "epigrok";
import { fitLaplace, recentBatches, stream } from "epigrok/posterior";

// Member 0 at the last step kept. `curvature` reserves memory for products with the Gauss-Newton matrix.
const { config, model, member, step } = await loadCheckpoint(
  process.argv[2] ?? "runs/example",
  { member: 0 },
  { optimizer: "none", curvature: true },
);

// The data that the likelihood is of: the last batches this member was trained on.
const data = recentBatches(config, member, step, 16);
// Over all parameters, with the 20 largest directions of the Gauss-Newton matrix; the prior by marginal likelihood.
const posterior = fitLaplace(model, model.getParameters(), data, {
  subsetOfWeights: "all",
  hessianStructure: "lowRank",
});
console.log(`prior precision ${posterior.fields.priorPrecision.toPrecision(3)}`);
console.log(`log marginal likelihood ${posterior.logMarginalLikelihood().toFixed(1)} nats`);

// Draws of the posterior take the place of an ensemble's members.
const rng = stream(config.seed, member, "posteriorPredictions");
for (const probe of createProbeSets(config)) {
  const draws = posterior.predict(model, probe.batch, { nSamples: 32, rng });
  const { accuracy, mutualInformation } = ensembleMeasures(draws, probe);
  console.log(
    `${probe.name}: accuracy ${accuracy.toFixed(2)}, ${mutualInformation.toFixed(3)} nats epistemic`,
  );
}
