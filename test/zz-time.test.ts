import { it } from "vitest";
import { configSchema } from "/work/main/src/config.ts";
import { loadCoreModule } from "/work/main/src/core/build.ts";
import { recentBatches } from "/work/main/src/posterior/data.ts";
import { fitAndPredict, POSTERIOR_METHODS } from "/work/main/src/posterior/methods.ts";
import { createProbeSets } from "/work/main/src/tasks/probes.ts";
import { trainSegment } from "/work/main/src/training/segment.ts";
import { ensembleMeasures } from "/work/main/src/uncertainty/measures.ts";
it("times", async () => {
  const config = configSchema.parse({ training: { steps: 1500 , batchSize: 128}, evaluation: { prompts: 128 } });
  const core = await loadCoreModule("fast");
  let t0 = performance.now();
  const { state } = trainSegment({ config, member: 0, state: null, toStep: 1500 }, { core, stop: () => false });
  console.log("train", ((performance.now() - t0) / 1000).toFixed(1));
  const data = recentBatches(config, 0, 1500, 8);
  const sets = createProbeSets(config);
  const own = fitAndPredict({ config, method: "ensemble", member: 0, step: 1500, checkpoints: [state.parameters], data, probes: sets.map((s) => ({ set: s.name, batch: s.batch })), nSamples: 1, seed: 0 }, core);
  for (const method of POSTERIOR_METHODS) {
    try {
    const r = fitAndPredict({ config, method, member: 0, step: 1500, checkpoints: [state.parameters], data, probes: sets.map((s) => ({ set: s.name, batch: s.batch })), nSamples: 16, seed: 0, options: method === "dropout" ? { dropout: 0.05 } : {} }, core);
    console.log(method, r.fitSeconds.toFixed(1), r.predictSeconds.toFixed(1), JSON.stringify(r.laplace), r.predictions.map((p, i) => { const m = ensembleMeasures(p.samples, sets[i]); return `acc ${m.accuracy.toFixed(3)} nll ${m.nll.toFixed(3)} MI ${m.mutualInformation.toFixed(3)}`; }).join(" | "));
    } catch (e) { console.log(method, String(e)); }
  }
  console.log("checkpoint", own.predictions.map((p, i) => { const m = ensembleMeasures(p.samples, sets[i]); return `acc ${m.accuracy.toFixed(3)} nll ${m.nll.toFixed(3)}`; }).join(" | "));
}, 600000);
