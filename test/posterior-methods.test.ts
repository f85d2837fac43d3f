/** Every method by name, end to end on a small configuration. */
import { describe, expect, it } from "vitest";
import { configSchema } from "../src/config.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { Transformer } from "../src/core/transformer.ts";
import { recentBatches } from "../src/posterior/data.ts";
import { type IvonPosterior, ivonPosterior } from "../src/posterior/ivon.ts";
import { loadPosterior } from "../src/posterior/load.ts";
import {
  fitAndPredict,
  POSTERIOR_METHODS,
  type PosteriorMethod,
  type PosteriorRequest,
  peakChange,
} from "../src/posterior/methods.ts";
import type { MixturePosterior } from "../src/posterior/mixture.ts";
import { meanLoss } from "../src/posterior/model.ts";
import type { Posterior } from "../src/posterior/posterior.ts";
import type { SwagPosterior } from "../src/posterior/swag.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/run/safetensors.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { stream } from "../src/tasks/random.ts";
import { transformerShape } from "../src/training/model.ts";
import { trainSegment } from "../src/training/segment.ts";
import { ensembleMeasures } from "../src/uncertainty/measures.ts";

const config = configSchema.parse({
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

function request(method: PosteriorMethod, overrides: Partial<PosteriorRequest> = {}): PosteriorRequest {
  return {
    ...{ config, method, member: 0, step: 300, checkpoints: checkpoints.slice(0, 1), data, probes },
    ...{
      nSamples: 6,
      seed: 1,
      options: { steps: 60, rank: 5, probes: 2, ...(method === "dropout" && { dropout: 0.1 }) },
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

for (const method of POSTERIOR_METHODS) {
  describe(method, () => {
    const single = request(method, method === "ensemble" ? { checkpoints } : {});
    const first = outcome(single);

    it("predicts distributions on every probe set, and their measures exist", () => {
      const sets = createProbeSets(config);
      expect(first.predictions.map(({ set }) => set)).toEqual(sets.map(({ name }) => name));
      first.predictions.forEach(({ samples }, i) => {
        expect(samples).toHaveLength(method === "ensemble" ? 3 : 6);
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

    it("comes back from a file", () => {
      const { metadata, tensors } = first.posterior.save();
      const loaded = loadPosterior(decodeSafetensors(encodeSafetensors(tensors, metadata)));
      const draw = () => stream(1, 0, "posterior", 0);
      expect(loaded.sample(draw())).toEqual(first.posterior.sample(draw()));
      const shape = { ...transformerShape(config), dropout: method === "dropout" ? 0.1 : 0 };
      const model = new Transformer(core, shape, { training: true, curvature: true });
      const predict = (posterior: Posterior) =>
        posterior.predict(model, probes[0].batch, { nSamples: 3, rng: draw() });
      expect(predict(loaded)).toEqual(predict(first.posterior));
    });

    if (method === "ensemble") return;

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

it("ensemble: each member's own predictions", () => {
  const { predictions } = outcome(request("ensemble", { checkpoints }));
  const model = new Transformer(core, transformerShape(config), { training: false });
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
    const fixed = outcome(request(method, { options: { priorPrecision: 7, rank: 5 } }));
    expect(fixed.laplace[0].priorPrecision).toBe(7);
  }
});

it("the number of terms is what was trained on, the data set if that is larger, or what is stated", () => {
  const terms = (overrides: Partial<PosteriorRequest>) =>
    fitAndPredict(request("laplace-last-layer", overrides), core).trainingTerms;
  expect(terms({ step: 0 })).toBe(4 * 32 * 3);
  expect(terms({ options: { trainingTerms: 1000 } })).toBe(1000);
});

describe("checkpoints of an IVON run", () => {
  const { training, ...rest } = config;
  const ivonConfig = configSchema.parse({
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
  const model = new Transformer(core, transformerShape(ivonConfig), { training: true, curvature: true });
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
    expect(run({ ivon: [{ ...stored, weightDecay: -1 }] })).toThrow(/variance: got/);
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

it("SGLD at its default step size keeps the loss near that of the checkpoint", () => {
  const { posterior } = outcome(request("sgld", { options: { steps: 400 } }));
  const model = new Transformer(core, transformerShape(config), { training: true, curvature: true });
  model.setParameters(checkpoints[0]);
  const before = meanLoss(model, data);
  model.setParameters(posterior.sample(stream(1, 0, "posterior", 0)));
  expect(meanLoss(model, data)).toBeLessThan(before + 0.5);
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
  expect(run({ data: [] })).toThrow(/batches: got no prediction/);
  expect(run({ options: { priorPrecision: -1 } })).toThrow(/priorPrecision: got -1/);
  expect(run({ options: { priorPrecision: "marginalLikelihood" } })).toThrow(/must be a number/);
  expect(run({ options: { steps: 0 } }, "swag")).toThrow(/steps: got 0/);
  expect(run({ options: { learningRate: -1 } }, "ivon")).toThrow(/learningRate: got -1/);
  expect(run({ checkpoints, nSamples: 7 }, "swag")).toThrow(/nSamples: got 7/);
});
