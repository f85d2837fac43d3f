/** Every method by name, end to end on a small configuration. */

import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { posteriorJob } from "../src/analysis/posterior-job.ts";
import { configSchema } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { extremeEigenpairs } from "../src/curvature/lanczos.ts";
import { meanLoss, meanLossAndGradient } from "../src/curvature/model.ts";
import { ggnOperator } from "../src/curvature/operators.ts";
import { peakChange } from "../src/posterior/continue-training.ts";
import type { EmpiricalPosterior } from "../src/posterior/empirical.ts";
import {
  checkpointDigest,
  decodePosterior,
  encodePosterior,
  type PosteriorOrigin,
} from "../src/posterior/file.ts";
import {
  fitAndPredict,
  modelOf,
  type PosteriorRequest,
  predictionsOf,
} from "../src/posterior/fit-and-predict.ts";
import type { LaplacePosterior } from "../src/posterior/laplace/laplace.ts";
import { loadPosterior } from "../src/posterior/load.ts";
import {
  METHOD_DEFINITIONS,
  type MethodOptions,
  methodNamed,
  POSTERIOR_METHODS,
  type PosteriorMethod,
} from "../src/posterior/methods/index.ts";
import { type IvonPosterior, ivonPosterior } from "../src/posterior/methods/ivon.ts";
import type { SwagPosterior } from "../src/posterior/methods/swag.ts";
import type { MixturePosterior } from "../src/posterior/mixture.ts";
import type { Posterior } from "../src/posterior/posterior.ts";
import { stream } from "../src/random.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { transformerShape } from "../src/training/model.ts";
import { recentBatches } from "../src/training/recent-batches.ts";
import { trainSegment } from "../src/training/segment.ts";
import { ensembleMeasures } from "../src/uncertainty/measures.ts";
import { freshConfig } from "./fixtures/config.ts";
import { testStream } from "./fixtures/rng.ts";
import { float32Tolerance, maxRelativeError } from "./reference/compare.ts";
import { ReferenceIvon } from "./reference/ivon.ts";
import { ivonNoise } from "./reference/philox.ts";
import { Random } from "./reference/random.ts";

const config = freshConfig({
  seed: 5,
  task: { modulus: 11, trainTasks: 8, examples: 3 },
  model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 32 },
  training: { steps: 300, batchSize: 32, learningRate: 3e-3, warmupSteps: 20 },
  evaluation: { prompts: 12 },
  math: "strict",
});

const core = await loadCoreModule("strict");
const probes = drawProbePrompts(config.task, config.seed, config.evaluation.prompts).map(
  ({ name, batch }) => ({
    set: name,
    batch,
  }),
);
const checkpoints = [0, 1, 2].map(
  (member) =>
    trainSegment({ config, member, state: null, toStep: 300 }, { core, stop: () => false }).state.parameters,
);
const data = recentBatches(config, 0, 300, 4);

/** Small ones, of the methods that have any. */
const OPTIONS: Partial<Record<PosteriorMethod, MethodOptions>> = {
  ...{ "laplace-kfac": { probes: 2 }, "laplace-diagonal": { probes: 2 }, "laplace-low-rank": { rank: 5 } },
  ...{ swag: { steps: 60 }, ivon: { steps: 60 }, sgld: { steps: 60 }, dropout: { dropout: 0.1 } },
};

function request(method: PosteriorMethod, overrides: Partial<PosteriorRequest> = {}): PosteriorRequest {
  return {
    ...{ config, method, member: 0, step: 300, checkpoints: checkpoints.slice(0, 1), data, probes },
    ...{
      nSamples: 6,
      seed: 1,
      options: OPTIONS[method],
    },
    ...overrides,
  };
}

/** Without what depends on the clock. */
function outcome(r: PosteriorRequest) {
  const { predictions, laplace, trainingTerms, posterior } = fitAndPredict(r, core);
  return { predictions, laplace, trainingTerms, posterior };
}

it("takes the prompts a member has trained on last", () => {
  const whole = recentBatches(config, 0, 300, 300);
  expect(whole[299].tokens).toEqual(data[3].tokens);
  expect(recentBatches(config, 0, 2, 4)[0].tokens).toEqual(whole[0].tokens);
  expect(data[0].tokens).not.toEqual(data[1].tokens);
  expect(() => recentBatches(config, 0, 300, 0)).toThrow(/count: got 0/);
});

describe("the registry", () => {
  it("has a line for each file of the folder, under the file's name", () => {
    const files = readdirSync(new URL("../src/posterior/methods/", import.meta.url))
      .map((file) => file.replace(/\.ts$/, ""))
      .filter((file) => file !== "index" && file !== "method");
    expect([...POSTERIOR_METHODS].sort()).toEqual(files.sort());
  });

  it("tells methods apart by name and by label", () => {
    for (const what of ["name", "label"] as const) {
      const all = METHOD_DEFINITIONS.map((definition) => definition[what]);
      expect(new Set(all).size).toBe(all.length);
    }
  });

  it("knows the methods of the records that earlier versions wrote", () => {
    expect(POSTERIOR_METHODS).toEqual(
      expect.arrayContaining([
        ...["laplace-last-layer", "laplace-kfac", "laplace-low-rank", "laplace-diagonal"],
        ...["swag", "ivon", "dropout", "sgld", "ensemble"],
      ]),
    );
  });

  it("names ensembles of checkpoints for what they leave out of the members' own predictions", () => {
    const named = (change: object) => {
      const run = configSchema.parse({ ...config, ...change });
      return (["ensemble", "snapshot-ensemble", "swag"] as const).map((name) =>
        methodNamed(name).nameIn?.(run),
      );
    };
    const model = { ...config.model, dropout: 0.2 };
    expect(named({})).toEqual([undefined, undefined, undefined]);
    expect(named({ model })).toEqual([
      ...["ensemble without masks", "snapshot-ensemble without masks", undefined],
    ]);
    // Where members predict with their mean weights, the run's own ensemble is the same.
    expect(named({ model, evaluation: { ...config.evaluation, posteriorSamples: 0 } })[0]).toBeUndefined();
    const training = { ...config.training, optimizer: "ivon", weightDecay: 1e-4 };
    expect(named({ training })[0]).toBe("ensemble of mean weights");
    expect(named({ training, model })[0]).toBe("ensemble of mean weights, without masks");
  });

  it("methods that take no data can be fitted without", () => {
    const without = METHOD_DEFINITIONS.filter(({ needs }) => !needs.data).map(({ name }) => name);
    expect(without).toEqual(expect.arrayContaining(["swag", "dropout", "ensemble"]));
    for (const method of without)
      expect(outcome(request(method, { data: undefined })).trainingTerms).toBe(300 * 32 * 3);
  });
});

for (const method of POSTERIOR_METHODS) {
  describe(method, () => {
    const one = methodNamed(method).needs.checkpoints === "one";
    const single = request(method, one ? {} : { checkpoints });
    const first = outcome(single);

    it("predicts distributions on every probe set, and their measures exist", () => {
      const sets = createProbeSets(config);
      expect(first.predictions.map(({ set }) => set)).toEqual(sets.map(({ name }) => name));
      first.predictions.forEach(({ samples }, i) => {
        expect(samples).toHaveLength(one ? 6 : 3);
        const measures = ensembleMeasures(samples, sets[i]);
        expect(measures.mutualInformation).toBeGreaterThan(0);
        expect(measures.accuracy).toBeGreaterThanOrEqual(0);
      });
      // Steps x batch size x positions.
      expect(first.trainingTerms).toBe(300 * 32 * 3);
    });

    it("gives the same bytes again", () => {
      const second = outcome(single);
      expect(second.predictions).toEqual(first.predictions);
      expect(second.laplace).toEqual(first.laplace);
    });

    it("stays in the neighbourhood of the checkpoint: its mean predictive is better than chance", () => {
      const { samples } = first.predictions[0];
      const { batch } = probes[0];
      let hits = 0;
      for (let row = 0; row < batch.targets.length; row++)
        for (const p of samples) hits += p[row * 11 + batch.targets[row]] / samples.length;
      expect(hits / batch.targets.length).toBeGreaterThan(1.5 / 11);
    });

    it("comes back from a file with its origin, and with the predictions of before", async () => {
      const origin: PosteriorOrigin = {
        ...{ method, options: single.options ?? {}, step: 300, member: one ? 0 : null, seed: 1, samples: 6 },
        ...{ trainingTerms: first.trainingTerms, laplace: first.laplace[0] ?? null },
        checkpoints: await checkpointDigest(single.checkpoints),
      };
      const file = encodePosterior(first.posterior, origin);
      const loaded = decodePosterior(file, { checkpoints: origin.checkpoints });
      expect(loaded.origin).toEqual(origin);
      const model = modelOf(transformerShape(config), method, origin.options, core);
      const { nSamples, seed, member } = single;
      expect(predictionsOf(loaded.posterior, model, probes, { nSamples, seed, member })).toEqual(
        first.predictions,
      );
      if (first.laplace.length > 0) {
        const { fields, warnings } = loaded.posterior as LaplacePosterior;
        expect(fields.curvature.resolution).toBe(first.laplace[0].resolution);
        expect(warnings).toEqual(first.laplace[0].warnings);
      }
      const other = await checkpointDigest([checkpoints[2]]);
      expect(() => decodePosterior(file, { checkpoints: other })).toThrow(
        `checkpoints of the saved posterior: got ${origin.checkpoints}, must be ${other}`,
      );
      expect(() => decodePosterior(file.slice(0, -1))).toThrow(/not a valid safetensors file/);
    });

    it("comes back from a file", () => {
      const { metadata, tensors } = first.posterior.save();
      const loaded = loadPosterior(decodeSafetensors(encodeSafetensors(tensors, metadata)));
      const draw = () => testStream(1);
      expect(loaded.sample(draw())).toEqual(first.posterior.sample(draw()));
      const shape = { ...transformerShape(config), dropout: method === "dropout" ? 0.1 : 0 };
      const model = instantiateTransformer(core, shape, { curvature: true });
      const predict = (posterior: Posterior) =>
        posterior.predict(model, probes[0].batch, { nSamples: 3, rng: draw() });
      expect(predict(loaded)).toEqual(predict(first.posterior));
    });

    if (!one) return;

    it("depends on the seed", () => {
      const other = outcome({ ...single, seed: 2 });
      expect(other.predictions[0].samples[0]).not.toEqual(first.predictions[0].samples[0]);
    });

    it("mixes several checkpoints", () => {
      const { predictions, posterior, laplace } = outcome({ ...single, checkpoints });
      expect(posterior.method).toBe("mixture");
      expect(predictions[0].samples).toHaveLength(6);
      expect(laplace).toHaveLength(method.startsWith("laplace") ? 3 : 0);
    });
  });
}

it.each(["laplace-last-layer", "swag"] as const)(
  "a job of a run: %s of its member and seed, reduced to measures",
  (method) => {
    const sets = createProbeSets(config);
    const options = method === "swag" ? { steps: 10 } : {};
    const stored = { checkpoints: checkpoints.slice(0, 1) };
    const job = { method, step: 300, member: 2, samples: 4, batches: 3, options, ...stored };
    const { laplace, sets: measures, ...rest } = posteriorJob(job, { config, core, probes: sets });
    const direct = fitAndPredict(
      request(method, {
        ...{ member: 2, data: recentBatches(config, 2, 300, 3), nSamples: 4, seed: 5, options },
        probes: sets.map(({ name, batch }) => ({ set: name, batch })),
      }),
      core,
    );
    direct.predictions.forEach(({ set, samples }, i) => {
      expect(measures[set]).toEqual(ensembleMeasures(samples, sets[i]));
    });
    expect(Object.keys(measures)).toHaveLength(sets.length);
    expect(laplace).toEqual(direct.laplace[0] ?? null);
    expect(rest).toMatchObject({ samples: 4, trainingTerms: 300 * 32 * 3 });
    expect(Math.min(rest.fitSeconds, rest.predictSeconds)).toBeGreaterThan(0);
  },
);

it("a file that is no saved posterior is named as such", async () => {
  const { posterior } = outcome(request("dropout"));
  const origin: PosteriorOrigin = {
    ...{ method: "dropout", options: {}, step: 3, member: 0, seed: 1, samples: 2, trainingTerms: 5 },
    checkpoints: await checkpointDigest(checkpoints.slice(0, 1)),
  };
  const load = (change: object) => () =>
    decodePosterior(encodePosterior(posterior, { ...origin, ...change }));
  expect(load({})).not.toThrow();
  expect(load({ method: "vi" })).toThrow(/method: got vi, must be one of/);
  expect(load({ step: "3" })).toThrow(/step of a saved posterior: got "3", must be a number/);
  expect(load({ options: null })).toThrow(/options of a saved posterior: got null, must be an object/);
  expect(load({ checkpoints: 5 })).toThrow(/checkpoints of a saved posterior: got 5, must be a SHA-256/);
  const { metadata, tensors } = posterior.save();
  expect(() => decodePosterior(encodeSafetensors(tensors, metadata))).toThrow(/without metadata origin/);
  // Of several vectors in their order.
  const [a, b] = await Promise.all([checkpoints, checkpoints.toReversed()].map(checkpointDigest));
  expect(a).not.toBe(b);
});

it("every probe set sees the same draws of the weights", () => {
  const [{ set, batch }] = probes;
  const { predictions } = outcome(
    request("swag", {
      probes: [
        { set, batch },
        { set, batch },
      ],
    }),
  );
  expect(predictions[1]).toEqual(predictions[0]);
});

it.each(["ensemble", "snapshot-ensemble"] as const)("%s: the predictions of each checkpoint", (method) => {
  const { predictions } = outcome(request(method, { checkpoints }));
  const model = instantiateTransformer(core, transformerShape(config), { optimizer: "none" });
  checkpoints.forEach((parameters, m) => {
    model.setParameters(parameters);
    model.probabilities(probes[0].batch).forEach((p, i) => {
      expect(predictions[0].samples[m][i]).toBeCloseTo(p, 5);
    });
  });
});

it("Laplace: evidence is maximal at the chosen prior, and a stated prior is kept", () => {
  for (const method of ["laplace-last-layer", "laplace-low-rank"] as const) {
    const { posterior, laplace } = outcome(request(method));
    const [{ logMarginalLikelihood, priorPrecision, effectiveParameters }] = laplace;
    if (!("logMarginalLikelihood" in posterior)) throw new Error("not a Laplace posterior");
    const evidence = posterior.logMarginalLikelihood as (priorPrecision: number) => number;
    expect(evidence.call(posterior, priorPrecision)).toBe(logMarginalLikelihood);
    for (const factor of [0.7, 1.4])
      expect(evidence.call(posterior, priorPrecision * factor)).toBeLessThan(logMarginalLikelihood);
    expect(effectiveParameters).toBeGreaterThan(0);
    expect(effectiveParameters).toBeLessThan(
      method === "laplace-last-layer" ? 11 * 16 : posterior.parameterCount,
    );
    const fixed = outcome(request(method, { options: { ...OPTIONS[method], priorPrecision: 7 } }));
    expect(fixed.laplace[0].priorPrecision).toBe(7);
  }
});

it("the number of terms is what was trained on, the data set if that is larger, or what is stated", () => {
  const terms = (overrides: Partial<PosteriorRequest>) =>
    fitAndPredict(request("laplace-last-layer", overrides), core).trainingTerms;
  expect(terms({ step: 0 })).toBe(4 * 32 * 3);
  // Prompts of a pool that come again are no new evidence.
  const pooled = configSchema.parse({ ...config, task: { ...config.task, promptPool: 80 } });
  const overrides = (step: number) => ({ config: pooled, step, data: recentBatches(pooled, 0, step, 4) });
  expect([2, 3, 300].map((step) => terms(overrides(step)))).toEqual([64 * 3, 80 * 3, 80 * 3]);
  expect(terms({ trainingTerms: 1000 })).toBe(1000);
});

it.each(POSTERIOR_METHODS)(
  "of a pool the number of terms is its own, with and without a bootstrap, %s",
  (method) => {
    for (const bootstrap of ["none", "prompts", "tasks"]) {
      const pooled = configSchema.parse({
        ...config,
        task: { ...config.task, promptPool: 80 },
        ensemble: { members: 3, bootstrap },
      });
      const batches = recentBatches(pooled, 1, 300, 4);
      expect(batches).toHaveLength(2);
      const overrides = { config: pooled, member: 1, data: batches, checkpoints: checkpoints.slice(0, 2) };
      const { needs } = methodNamed(method);
      if (needs.checkpoints === "one") overrides.checkpoints.pop();
      const options = {
        ...request(method).options,
        ...("steps" in (request(method).options ?? {}) && { steps: 3 }),
      };
      const { trainingTerms, laplace, posterior } = outcome(
        request(method, { ...overrides, options, nSamples: 2 }),
      );
      expect(trainingTerms).toBe(80 * 3);
      if (laplace.length > 0) expect((posterior as LaplacePosterior).fields.trainingTerms).toBe(80 * 3);
    }
  },
);

describe("checkpoints of an IVON run", () => {
  const { training, ...rest } = config;
  const ivonConfig = freshConfig({
    ...rest,
    training: {
      ...{ steps: 300, batchSize: 32, warmupSteps: 20, optimizer: "ivon" },
      ...{ learningRate: 0.15, weightDecay: 1e-4, ivon: { hessianInit: 0.01, beta2: 0.99 } },
    },
  });
  const { state } = trainSegment(
    { config: ivonConfig, member: 0, state: null, toStep: 300 },
    { core, stop: () => false },
  );
  const stored = { hessian: state.secondMoment, effectiveSampleSize: 28_800, weightDecay: 1e-4 };
  const around = (method: PosteriorMethod, overrides: Partial<PosteriorRequest> = {}) =>
    request(method, { config: ivonConfig, checkpoints: [state.parameters], ...overrides });
  const model = instantiateTransformer(core, transformerShape(ivonConfig), { curvature: true });
  const lossAt = (parameters: Float32Array) => {
    model.setParameters(parameters);
    return meanLoss(model, data);
  };

  it("ivon is the posterior that the run trained, if the request has it", () => {
    const own = outcome(around("ivon", { ivon: [stored], options: {} }));
    expect(own.trainingTerms).toBe(28_800);
    const { mean, variance } = ivonPosterior(state.parameters, state.secondMoment, stored);
    expect(own.posterior).toMatchObject({ method: "ivon", mean, variance });
    const two = [state.parameters, checkpoints[0]];
    const mixed = outcome(around("ivon", { checkpoints: two, ivon: [stored, stored], options: {} }));
    expect(
      (mixed.posterior as MixturePosterior).components.map((part) => (part as IvonPosterior).mean),
    ).toEqual(two);
    // Asked for steps, it goes on from the mean.
    const gone = outcome(around("ivon", { ivon: [stored], options: { steps: 20 } }));
    expect((gone.posterior as IvonPosterior).mean).not.toEqual(mean);
    expect(gone.trainingTerms).toBe(300 * 32 * 3);
  });

  it("names a stored posterior that does not fit", () => {
    const run = (overrides: Partial<PosteriorRequest>) => () =>
      fitAndPredict(around("ivon", { options: {}, ...overrides }), core);
    expect(run({ options: { steps: 0 } })).toThrow(/steps: got 0, must be at least 1 without/);
    expect(run({ ivon: [] })).toThrow(/ivon: got 0 posteriors, must be 1/);
    expect(run({ ivon: [{ ...stored, hessian: new Float32Array(3) }] })).toThrow(/length of hessian: got 3/);
    expect(run({ ivon: [{ ...stored, weightDecay: -1 }] })).toThrow(/weightDecay: got -1/);
    expect(run({ ivon: [stored], options: { steps: -1 } })).toThrow(/steps: got -1/);
  });

  it("learning rates are in units of the largest change of a parameter in a step", () => {
    expect(peakChange(config.training)).toBe(3e-3);
    expect(peakChange(ivonConfig.training)).toBeCloseTo(0.15 * 0.02, 15);
    const clip = (clipRadius: number) => ({
      ...ivonConfig.training,
      ivon: { ...ivonConfig.training.ivon!, clipRadius },
    });
    expect(peakChange(clip(0.01))).toBeCloseTo(0.0015, 15);
    // Without clipping there is no largest change: that of the default radius.
    expect(peakChange(clip(0))).toBeCloseTo(0.003, 15);
  });

  it("swag and ivon stay in the neighbourhood at their default rates; AdamW at half of IVON's rate leaves it", () => {
    const at = lossAt(state.parameters);
    const length = (x: ArrayLike<number>) => Math.hypot(...Array.from(x));
    const goOn = (method: "swag" | "ivon", learningRate?: number) => {
      const { posterior } = outcome(around(method, { options: { steps: 60, learningRate } }));
      const { mean } = posterior as SwagPosterior | IvonPosterior;
      const moved = length(mean.map((x, i) => x - state.parameters[i])) / length(state.parameters);
      return { moved, loss: lossAt(mean) };
    };
    const { training } = ivonConfig;
    for (const [method, share] of [
      ["swag", 2],
      ["ivon", 3],
    ] as const) {
      const { moved, loss } = goOn(method);
      expect(moved).toBeLessThan(0.5);
      expect(loss).toBeLessThan(at + 0.05);
      expect(goOn(method, peakChange(training) / share)).toEqual({ moved, loss });
    }
    // Farther than the checkpoint is from the origin.
    const far = goOn("swag", training.learningRate / 2);
    expect(far.moved).toBeGreaterThan(1);
    expect(far.loss).toBeGreaterThan(at + 0.05);
  });
});

it("swag is of 40 iterates of AdamW on the prompts that come next, at half the rate, after a fifth of the steps", () => {
  const { posterior } = outcome(request("swag", { member: 2, options: { steps: 100, maxRank: 3 } }));
  const { mean, variance, deviations } = posterior as SwagPosterior;
  const model = instantiateTransformer(core, transformerShape(config));
  model.setParameters(checkpoints[0]);
  const { training } = config;
  const sampler = new PromptSampler(config);
  const batch = sampler.createBatch(training.batchSize, training.lossPositions);
  const iterates: Float32Array[] = [];
  for (let t = 1; t <= 100; t++) {
    sampler.sampleInto(batch, 2, 300 + t);
    model.trainStep(batch, { ...training, step: t, learningRate: 1.5e-3 });
    if (t > 20 && t % 2 === 0) iterates.push(model.getParameters());
  }
  expect(iterates).toHaveLength(40);
  expect(deviations).toHaveLength(3);
  mean.forEach((x, i) => {
    const exact = iterates.reduce((sum, theta) => sum + theta[i], 0) / 40;
    expect(x).toBeCloseTo(exact, 6);
    const spread = iterates.reduce((sum, theta) => sum + (theta[i] - exact) ** 2, 0) / 40;
    expect(Math.abs(variance[i] - spread)).toBeLessThan(1e-9 + 1e-6 * spread);
  });
});

it("ivon and sgld have the prior that is stated, as the posterior where it outweighs the data", () => {
  const stated = 1e9;
  const options = { steps: 240, priorPrecision: stated };
  const { variance } = outcome(request("ivon", { options })).posterior as IvonPosterior;
  // 1 / (N (h + delta / N)): N h starts at N / 2; estimates of h have the noise sqrt(delta) |g|, up to a few percent.
  for (const v of variance) expect(Math.abs(v * stated - 1)).toBeLessThan(0.1);

  const { states } = outcome(request("sgld", { options, nSamples: 10 })).posterior as EmpiricalPosterior;
  expect(states).toHaveLength(10);
  // The step is half of 1 / delta, so that the variance is 1 / (delta (1 - 1 / 8)) and each step keeps 0.75 of the
  // position: nothing of the start after a burn-in of 60, of the state before after 18 more.
  const count = 10 * states[0].length;
  const square = states.reduce((sum, state) => sum + state.reduce((s, x) => s + x * x, 0), 0) / count;
  expect(Math.abs(square * stated * (1 - 1 / 8) - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
});

it("ivon is IVON on the prompts that come next, as in float64", () => {
  const steps = 12;
  const { mean, variance } = outcome(request("ivon", { member: 2, options: { steps } }))
    .posterior as IvonPosterior;
  const [start] = checkpoints;
  const effectiveSampleSize = 300 * 32 * 3;
  const gaussian = { effectiveSampleSize, weightDecay: 1 / effectiveSampleSize };
  const seed = stream(1, 2, "posteriorFit").next() >>> 0;
  const model = instantiateTransformer(core, transformerShape(config));
  const sampler = new PromptSampler(config);
  const batch = sampler.createBatch(config.training.batchSize, config.training.lossPositions);
  const run = (from: Float64Array) => {
    const twin = new ReferenceIvon(from, 0.5, {
      ...{
        ...gaussian,
        learningRate: config.training.learningRate / 3,
        beta1: 0.9,
        beta2: 0.9,
        clipRadius: 1,
      },
    });
    for (let step = 1; step <= steps; step++) {
      sampler.sampleInto(batch, 2, 300 + step);
      twin.step([ivonNoise(from.length, { seed, member: 2, step, sample: 0 })], (theta) => {
        model.setParameters(Float32Array.from(theta));
        return Float64Array.from(model.lossAndGradient(batch).gradient);
      });
    }
    const precision = twin.hessian.map((h) => effectiveSampleSize * (h + gaussian.weightDecay));
    return { moved: twin.mean.map((x, i) => x - start[i]), precision };
  };
  const expected = run(Float64Array.from(start));
  // Roundings as far as they reach by what the twin shows when its start moves by random roundoff.
  const nudge = new Random(3).normals(start.length);
  const nudged = run(Float64Array.from(start, (x, i) => x * (1 + 2 ** -24 * nudge[i])));
  const actual = { moved: mean.map((x, i) => x - start[i]), precision: variance.map((v) => 1 / v) };
  for (const part of ["moved", "precision"] as const) {
    const sensitivity = maxRelativeError(nudged[part], expected[part]) * 2 ** 24;
    const tolerance = float32Tolerance(32, steps * Math.max(18 + 4, sensitivity ** 2));
    expect(tolerance).toBeLessThan(0.01);
    expect(maxRelativeError(actual[part], expected[part]), part).toBeLessThan(tolerance);
  }
});

it("swag and ivon go on with the masks of a model with dropout, and say when the rate is too large", () => {
  const { model, ...rest } = config;
  const dropped = configSchema.parse({ ...rest, model: { ...model, dropout: 0.5 } });
  for (const method of ["swag", "ivon"] as const) {
    const meanOf = (overrides: Partial<PosteriorRequest>) =>
      (outcome(request(method, { options: { steps: 20 }, ...overrides })).posterior as IvonPosterior).mean;
    expect(meanOf({ config: dropped })).not.toEqual(meanOf({}));
    expect(() => meanOf({ options: { steps: 20, learningRate: 1e30 } })).toThrow(
      /^learningRate: got 1e\+30, with which training diverged at step \d/,
    );
  }
});

it("ivon goes on from h = 0.5, and changes no parameter by more than its learning rate in a step", () => {
  // A prior that outweighs the data asks for a step of -theta, up to 3 and more.
  const far = checkpoints[0].map((x) => 3 * x);
  const pulled = { checkpoints: [far], options: { steps: 1, learningRate: 1e-3, priorPrecision: 1e9 } };
  const { mean } = outcome(request("ivon", pulled)).posterior as IvonPosterior;
  expect(Math.max(...mean.map((x, i) => Math.abs(x - far[i]))) / 1e-3).toBeCloseTo(1, 3);
  const { variance } = outcome(request("ivon", { options: { steps: 1 } })).posterior as IvonPosterior;
  // One step with b2 = 0.9, its least: 0.45 + 0.1 hhat + 0.05^2 / (2 x 0.5), with hhat as often above 0 as below.
  const h = variance.map((v) => 1 / (300 * 32 * 3 * v)).sort();
  expect(Math.abs(h[h.length >> 1] - 0.4525)).toBeLessThan(0.02);
});

it("SGLD: the default step is half of 1 / (N x largest GGN eigenvalue + delta)", () => {
  const terms = 300 * 32 * 3;
  const model = instantiateTransformer(core, transformerShape(config), { curvature: true });
  model.setParameters(checkpoints[0]);
  const rng = testStream(1);
  const [largest] = extremeEigenpairs(ggnOperator(model, data), { k: 1, rng }).eigenvalues;
  const step = 0.5 / (terms * largest + 1);
  // One state, after four steps: of variance 4 e where gradient and curvature are small, which is nearly everywhere. The
  // median of chi-square is 0.455, that of so many such numbers within 5 %, and so is the eigenvalue.
  const { posterior } = outcome(request("sgld", { options: { steps: 4 }, nSamples: 1 }));
  const [state] = (posterior as EmpiricalPosterior).states;
  const squares = Array.from(state, (x, i) => (x - checkpoints[0][i]) ** 2).sort((a, b) => a - b);
  const ratio = squares[state.length >> 1] / (4 * step) / 0.455;
  expect(Math.abs(ratio - 1)).toBeLessThan(0.2);
});

it("SGLD follows the gradient of N times the mean loss over all of the data", () => {
  // Descent at the rate e N / 2 = 0.01; noise of variance e a step is far below it.
  const options = { steps: 2, stepSize: 2e-12, priorPrecision: 1 };
  const { posterior } = outcome(request("sgld", { options, trainingTerms: 1e10, nSamples: 1 }));
  const model = instantiateTransformer(core, transformerShape(config));
  const theta = Float64Array.from(checkpoints[0]);
  for (let step = 0; step < 2; step++) {
    model.setParameters(Float32Array.from(theta));
    const { gradient } = meanLossAndGradient(model, data);
    for (let i = 0; i < theta.length; i++) theta[i] -= 0.01 * gradient[i];
  }
  const meanSquare = (at: ArrayLike<number>) =>
    (posterior as EmpiricalPosterior).states[0].reduce((sum, x, i) => sum + (x - at[i]) ** 2, 0) /
    theta.length;
  expect(meanSquare(checkpoints[0])).toBeGreaterThan(100 * 4e-12);
  expect(Math.abs(meanSquare(theta) / 4e-12 - 1)).toBeLessThan(5 * Math.sqrt(2 / theta.length));
});

it("SGLD at its default step size keeps the loss near that of the checkpoint", () => {
  const { posterior } = outcome(request("sgld", { options: { steps: 400 } }));
  const model = instantiateTransformer(core, transformerShape(config), { curvature: true });
  model.setParameters(checkpoints[0]);
  const before = meanLoss(model, data);
  model.setParameters(posterior.sample(testStream(1)));
  expect(meanLoss(model, data)).toBeLessThan(before + 0.5);
});

it("takes no option that a method has none of, and says which it has", () => {
  const refused = (method: PosteriorMethod, options: object, message: RegExp) =>
    expect(() => fitAndPredict(request(method, { options, checkpoints }), core)).toThrow(message);
  for (const { name } of METHOD_DEFINITIONS)
    refused(name, { stepz: 1 }, new RegExp(`^option of ${name}: got stepz, must be (one of|left out)`));
  refused("swag", { fitSteps: 3 }, /must be one of steps, learningRate, maxRank$/);
  refused("ensemble", { steps: 3 }, /must be left out: it has none$/);
  refused("laplace-kfac", { rank: 3 }, /must be one of priorPrecision, priorStructure, seed, probes$/);
  // What the method's name says, and what the request says beside its options.
  for (const option of ["hessianStructure", "subsetOfWeights", "trainingTerms"])
    refused("laplace-last-layer", { [option]: 1 }, /^option of laplace-last-layer: got/);
  refused("swag", { steps: 1 }, /^steps: got 1, must be an integer of at least 2/);
  refused("sgld", { preconditioned: 1 }, /^preconditioned: got 1, must be true or false/);
  refused("laplace-kfac", { priorStructure: "diag" }, /^priorStructure: got diag, must be one of scalar/);
  refused(
    "sgld",
    // Six draws of three posteriors.
    { steps: 2 },
    /^steps: got 2, must be at least 3, with a quarter of burn-in and S = 2 draws/,
  );
});

it("names what is wrong", () => {
  const run =
    (overrides: Partial<PosteriorRequest>, method: PosteriorMethod = "sgld") =>
    () =>
      fitAndPredict(request(method, overrides), core);
  expect(run({ method: "vi" as "sgld" })).toThrow(/method: got vi/);
  expect(run({ checkpoints: [] })).toThrow(/number of checkpoints: got 0/);
  expect(run({ checkpoints: [new Float32Array(3)] })).toThrow(/length of checkpoint: got 3/);
  expect(run({}, "dropout")).not.toThrow();
  expect(run({ options: {} }, "dropout")).toThrow(/dropout: got 0, must be above 0/);
  for (const named of ["swag", "sgld", "laplace-last-layer"] as const)
    expect(run({ trainingTerms: -5 }, named)).toThrow(/^trainingTerms: got -5/);
  expect(() => recentBatches(config, 0, 0.5, 2)).toThrow(/step: got 0.5/);
  expect(run({ options: { dropout: 1 } }, "dropout")).toThrow(/dropout: got 1/);
  expect(run({ options: { maxRank: 1 } }, "swag")).toThrow(/maxRank: got 1/);
  expect(run({ options: { stepSize: 0 } })).toThrow(/stepSize: got 0/);
  expect(run({ options: { preconditioned: true } })).toThrow(
    /stepSize: got none, must be stated for a precond/,
  );
  expect(run({ options: { preconditioned: true, stepSize: 1e-8, steps: 8 } })).not.toThrow();
  expect(run({ options: { rank: 0 } }, "laplace-low-rank")).toThrow(/rank: got 0/);
  expect(run({ nSamples: 0 }, "ensemble")).toThrow(/nSamples: got 0/);
  expect(run({ data: [] })).toThrow(/batches: got no prediction/);
  expect(run({ options: { priorPrecision: -1 } })).toThrow(/priorPrecision: got -1/);
  expect(run({ options: { priorPrecision: "marginalLikelihood" } })).toThrow(
    /^priorPrecision: got marginalLikelihood, must be a finite number above 0/,
  );
  expect(run({ options: { steps: 0 } }, "swag")).toThrow(/steps: got 0/);
  expect(run({ options: { learningRate: -1 } }, "ivon")).toThrow(/learningRate: got -1/);
  expect(run({ checkpoints, nSamples: 7 }, "swag")).toThrow(/nSamples: got 7/);
});
