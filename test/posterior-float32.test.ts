/** Numbers of posteriors that float32, in which the core computes, cannot hold, and those that are none. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { requireChoice } from "../src/analysis/posteriors.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import * as posterior from "../src/posterior/index.ts";
import { methodNamed } from "../src/posterior/methods/index.ts";
import { encodeIvonCurvature, readIvonCurvature } from "../src/run/checkpoints.ts";
import { ivonFile } from "../src/run/files.ts";
import type { Safetensors } from "../src/safetensors.ts";
import { trainRegression } from "../src/theory/index.ts";
import { TINY_SHAPE } from "./fixtures/shapes.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const BEYOND = "in the range of float32, 1.4e-45 to 3.4e38";
const TOO_NEAR_1 = "below 1 in float32, at most 0.99999997";
const core = await loadCoreModule("strict");
const adamw = { step: 1, learningRate: 1e-3, weightDecay: 1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
const ivon = { step: 1, learningRate: 0.1, weightDecay: 1e-4, beta1: 0.9, beta2: 0.999, seed: 0, member: 0 };
const chain = { stepSize: 0.1, lossWeight: 1, precision: 1 };
const fit = { stepSize: 0.1, trainingTerms: 10, priorPrecision: 1, burnIn: 1, thinning: 1, draws: 2 };
const llc = { trainingTerms: 10, localisation: 1, stepSize: 0.01, burnIn: 1, draws: 2, seed: 0 };
const regression = { d: 2, lambda: 0.5, noiseModel: "elbo", eta: 0.1, times: [1], u0: 1 } as const;
const batch = {
  ...{ tokens: new Int32Array(TINY_SHAPE.nCtx), batchSize: 1, length: TINY_SHAPE.nCtx },
  ...{ positions: Int32Array.of(1), targets: Int32Array.of(0) },
};
const xy = () => Float64Array.of(1, 2);
const start = () => ({ loss: 1, gradient: xy() });

/** By what they are options of: a call with one of them replaced. */
const CALLS: Record<string, (name: string, value: number) => unknown> = {
  swag: (name, value) => methodNamed("swag").requireOptions({ [name]: value }, 2),
  ivon: (name, value) => methodNamed("ivon").requireOptions({ [name]: value }, 2),
  sgld: (name, value) => methodNamed("sgld").requireOptions({ [name]: value }, 2),
  dropout: (name, value) => methodNamed("dropout").requireOptions({ [name]: value }, 2),
  "epigrok posterior": (name, value) =>
    requireChoice({
      ...{ steps: "all", checkpoints: 0, members: 1 },
      settings: { samples: 2, data: 2, dropout: null, fitSteps: null, priorStructure: null, [name]: value },
    }),
  fitSgld: (name, value) =>
    posterior.fitSgld(xy(), xy, { ...fit, rng: posterior.stream(0, 0, "evaluation"), [name]: value }),
  LangevinChain: (name, value) => new posterior.LangevinChain(xy(), { ...chain, [name]: value }),
  estimateLearningCoefficient: (name, value) =>
    posterior.estimateLearningCoefficient(xy(), 1, start, { ...llc, [name]: value }),
  ivonPosterior: (name, value) =>
    posterior.ivonPosterior(Float32Array.of(1), xy().subarray(1), {
      ...{ effectiveSampleSize: 10, weightDecay: 1, [name]: value },
    }),
  createTransformer: (name, value) => instantiateTransformer(core, { ...TINY_SHAPE, [name]: value }),
  trainStep: (name, value) =>
    instantiateTransformer(core, TINY_SHAPE).trainStep(batch, { ...adamw, [name]: value }),
  ivonTrainStep: (name, value) =>
    instantiateTransformer(core, TINY_SHAPE, { optimizer: "ivon" }).ivonTrainStep(batch, {
      ...{ ...ivon, effectiveSampleSize: 10, [name]: value },
    }),
  trainRegression: (name, value) => trainRegression({ ...regression, [name]: value }),
};

describe("an option that float32 cannot hold is refused by name", () => {
  it.each<[string, string, number, string?]>([
    ["swag", "learningRate", 1e39],
    ["swag", "learningRate", 1e-46],
    ["ivon", "learningRate", 1e300],
    ["ivon", "priorPrecision", 1e-46],
    ["ivon", "priorPrecision", 3.5e38],
    ["sgld", "priorPrecision", 1e39],
    ["sgld", "stepSize", 1e-320],
    ["dropout", "dropout", 1e-46],
    ["dropout", "dropout", 0.99999999, TOO_NEAR_1],
    ["epigrok posterior", "dropout", 1e-300],
    ["epigrok posterior", "dropout", 0.99999999, TOO_NEAR_1],
    ["fitSgld", "temperature", 1e-46],
    ["fitSgld", "trainingTerms", 1e-46],
    ["LangevinChain", "precision", 1e39],
    ["estimateLearningCoefficient", "localisation", 1e39],
    ["estimateLearningCoefficient", "nBeta", 1e-50],
    ["ivonPosterior", "effectiveSampleSize", 1e39],
    ["ivonPosterior", "weightDecay", 1e-46],
    ["createTransformer", "dropout", 1e-46],
    ["createTransformer", "dropout", 1 - 1e-9, TOO_NEAR_1],
    ["trainStep", "learningRate", 1e39],
    ["trainStep", "weightDecay", 1e-46],
    ["trainStep", "epsilon", 1e-46],
    ["trainStep", "beta2", 0.99999999, TOO_NEAR_1],
    ["trainStep", "gradientClip", 1e-50],
    ["ivonTrainStep", "effectiveSampleSize", 1e39],
    ["ivonTrainStep", "clipRadius", 1e300],
    ["ivonTrainStep", "beta1", 0.99999999, TOO_NEAR_1],
    ["trainRegression", "u0", 1e-50],
    ["trainRegression", "w2", 1e80],
  ])("%s, %s %f", async (what, name, value, allowed = BEYOND) => {
    await expect((async () => CALLS[what](name, value))()).rejects.toThrow(
      `${name}: got ${value}, must be ${allowed}`,
    );
  });

  it("and taken at the ends of the range", () => {
    for (const value of [1.5e-45, 3.4e38]) {
      CALLS.swag("learningRate", value);
      CALLS.sgld("stepSize", value);
      CALLS.ivon("priorPrecision", value);
    }
    CALLS.dropout("dropout", 0.99999997);
    // What a schedule makes smaller than that is no step.
    CALLS.trainStep("learningRate", 1e-50);
  });
});

describe("a tensor with a value that is not finite is named, with the place", () => {
  const mean = () => Float32Array.of(1, 2, 3, 4);
  const variance = () => Float64Array.of(1, 1, 1, 1);
  const two = () => Float64Array.of(2, 0.5, 0.5, 1);
  const laplace = (curvature: posterior.Curvature) =>
    new posterior.LaplacePosterior({
      ...{ mean: mean(), subsetOfWeights: "all", hessianStructure: "full", offset: 0, curvature },
      ...{ tiedEmbeddings: false, priorPrecision: 1, logLikelihood: -1, trainingTerms: 10 },
    });
  const POSTERIORS: Record<string, posterior.Posterior> = {
    ivon: new posterior.IvonPosterior(mean(), variance()),
    swag: new posterior.SwagPosterior(mean(), variance(), [mean(), mean()]),
    dropout: new posterior.DropoutPosterior(mean()),
    ensemble: new posterior.EmpiricalPosterior("ensemble", [mean(), mean()]),
    kron: laplace(posterior.KroneckerCurvature.fromFactors(two(), 2, two(), 2)),
    diag: laplace(new posterior.DiagonalCurvature(variance())),
    spectral: laplace(new posterior.SpectralCurvature(Float64Array.of(1), [Float64Array.of(1, 0, 0, 0)])),
    mixture: new posterior.MixturePosterior([
      new posterior.DropoutPosterior(mean()),
      new posterior.IvonPosterior(mean(), variance()),
    ]),
  };

  const changed = ({ metadata, tensors }: Safetensors, name: string, at: number, value: number) => ({
    metadata,
    tensors: new Map(
      [...tensors].map(([each, { shape, data }]) => {
        const copy = (data as Float64Array).slice();
        if (each === name) copy[at] = value;
        return [each, { shape, data: copy }];
      }),
    ),
  });

  it.each(Object.entries(POSTERIORS))("of a saved posterior: %s", (_, fitted) => {
    const saved = fitted.save();
    posterior.loadPosterior(changed(saved, "", 0, 0));
    for (const [name, { data }] of saved.tensors)
      for (const value of [Number.NaN, Infinity, -Infinity]) {
        const at = data.length - 1;
        expect(() => posterior.loadPosterior(changed(saved, name, at, value)), name).toThrow(
          new RangeError(`tensor ${name} has values that are not finite: ${value} at index ${at}`),
        );
      }
  });

  it("of the curvature beside a checkpoint of IVON", async () => {
    const root = temporaryDirectory();
    const { parameters: table, parameterCount } = instantiateTransformer(core, TINY_SHAPE);
    const key = { step: 3, member: 1 };
    const [, second] = table;
    mkdirSync(dirname(join(root, ivonFile(key))), { recursive: true });
    for (const [value, message] of [
      [Number.NaN, `tensor ${second.name} has values that are not finite: NaN at index 2`],
      [Infinity, `tensor ${second.name} has values that are not finite: Infinity at index 2`],
      [-1, `tensor ${second.name}: got h = -1 at index 2, must be above -weightDecay = -0.01`],
    ] as const) {
      const hessian = new Float32Array(parameterCount);
      hessian[second.offset + 2] = value;
      const curvature = { hessian, effectiveSampleSize: 10, weightDecay: 0.01 };
      writeFileSync(join(root, ivonFile(key)), encodeIvonCurvature(key, curvature, table, "run"));
      await expect(readIvonCurvature(root, key, table, null)).rejects.toThrow(message);
      expect(() => posterior.ivonPosterior(new Float32Array(parameterCount), hessian, curvature)).toThrow(
        `hessian[${second.offset + 2}]: got ${value}, must be finite and above -weightDecay = -0.01`,
      );
    }
  });

  it("of a variance whose draws would be infinite", () => {
    for (const bad of [1e80, Infinity, Number.NaN, -1]) {
      const variances = Float64Array.of(1, 1, bad, 1);
      const message = `variance: got ${bad} at index 2, must be`;
      expect(() => new posterior.IvonPosterior(mean(), variances)).toThrow(message);
      expect(() => new posterior.SwagPosterior(mean(), variances, [])).toThrow(message);
    }
  });
});
