/** Runs that train with IVON or dropout: the segment, its predictions, determinism, and what a run records of them. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Config, configSchema } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import type { MemberProgress } from "../src/pool/controller.ts";
import { ivonPosterior } from "../src/posterior/methods/ivon.ts";
import { normals, stream } from "../src/random.ts";
import { listCheckpoints, readCheckpoint, readIvonCurvature } from "../src/run/checkpoints.ts";
import { checkpointFile, ivonFile } from "../src/run/files.ts";
import { runHash } from "../src/run/identity.ts";
import { configHash } from "../src/run/manifest.ts";
import { decodeMember, encodeMember } from "../src/run/member-file.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import { type RunOptions, runEnsemble } from "../src/run/run.ts";
import { sealedTensors } from "../src/run/tensors.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { askedBack } from "../src/tasks/cycle.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { estimateCost } from "../src/training/cost.ts";
import { createMemberModel } from "../src/training/member-model.ts";
import type { ProbePrediction, SegmentRequest, SegmentResult } from "../src/training/messages.ts";
import { transformerShape } from "../src/training/model.ts";
import { predict } from "../src/training/predict.ts";
import { trainSegment } from "../src/training/segment.ts";
import { decompose } from "../src/uncertainty/decompose.ts";
import { posteriorMeasures } from "../src/uncertainty/measures.ts";
import { argmax } from "../src/uncertainty/rows.ts";
import { freshConfig } from "./fixtures/config.ts";
import { testStream } from "./fixtures/rng.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const core = await loadCoreModule("fast");
const root = temporaryDirectory();

/** z = a x mod 7 with two tasks: the first z is a guess between them, and tells the other two. */
const miniature = (extra: Record<string, Record<string, unknown>> = {}): Config =>
  freshConfig({
    task: { modulus: 7, trainTasks: 2, examples: 3 },
    model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 32, ...extra.model },
    training: { steps: 400, batchSize: 64, warmupSteps: 10, ...extra.training },
    evaluation: { every: 20, prompts: 32, ...extra.evaluation },
    ensemble: { members: 3 },
  });

const IVON = { optimizer: "ivon", learningRate: 0.1, weightDecay: 1e-4 };
const ivonConfig = (ivon: Record<string, unknown> = {}, evaluation: Record<string, unknown> = {}) =>
  miniature({
    training: { ...IVON, ivon: { hessianInit: 0.01, beta2: 0.995, clipRadius: 0.05, ...ivon } },
    evaluation,
  });
const dropoutConfig = (evaluation: Record<string, unknown> = {}) =>
  miniature({ model: { dropout: 0.2 }, training: { learningRate: 5e-3, weightDecay: 0.01 }, evaluation });

const segment = (config: Config, toStep: number, rest: Partial<SegmentRequest> = {}, stopAt = Infinity) => {
  let step = rest.state?.step ?? 0;
  return trainSegment(
    { config, member: 1, state: null, toStep, ...rest },
    { core, stop: () => step >= stopAt, onStep: (t) => (step = t) },
  );
};
const numbers = ({ state, sums, predictions }: SegmentResult) => ({ state, sums, predictions });
const on = ({ predictions }: SegmentResult, set: string): ProbePrediction =>
  predictions.find((p) => p.set === set)!;

describe("an IVON member", () => {
  const config = ivonConfig();

  it("learns the training tasks, and which of them a prompt is of", () => {
    const before = segment(config, 350);
    const end = segment(config, 400, { state: before.state });
    // Without the context every z but that of x = 0 is a guess between two, in all three positions.
    const guessing = (6 / 7) * Math.log(2);
    expect(segment(config, 20).sums.loss / 20).toBeGreaterThan(2 * guessing);
    expect(end.sums.loss / 50).toBeLessThan(0.75 * guessing);
    // The curvature has left its start, and not for one common value.
    const hessian = Float64Array.from(end.state.secondMoment).sort();
    expect(hessian[Math.floor(0.95 * hessian.length)]).toBeGreaterThan(5 * hessian[hessian.length >> 1]);
  });

  it("starts from the configured curvature and reports the state the posterior is made of", () => {
    const { state } = segment(config, 0);
    expect(new Set(state.secondMoment)).toEqual(new Set([Math.fround(0.01)]));
    expect(new Set(state.firstMoment)).toEqual(new Set([0]));
    expect(segment(miniature(), 0).state.secondMoment.every((v) => v === 0)).toBe(true);
  });

  it("gives the same bytes however its steps are cut into segments", () => {
    const whole = segment(config, 30);
    const first = segment(config, 13);
    const second = segment(config, 30, { state: first.state, carried: first.sums });
    expect(numbers(second)).toEqual(numbers(whole));
    const stopped = segment(config, 30, {}, 17);
    expect(stopped.state.step).toBe(17);
    expect(stopped.predictions).toEqual([]);
    const resumed = segment(config, 30, { state: stopped.state, carried: stopped.sums });
    expect(numbers(resumed)).toEqual(numbers(whole));
  });

  it("draws its weights by seed, member and step alone", () => {
    const { state } = segment(config, 10);
    const at = (request: Partial<SegmentRequest>) =>
      on(segment(config, 10, { state, ...request }), "seenTasks").probabilities;
    const here = at({});
    expect(at({})).toEqual(here);
    expect(at({ member: 2 })).not.toEqual(here);
    expect(at({ config: { ...config, seed: 1 } })).not.toEqual(here);
    expect(at({ state: { ...state, step: 11 }, toStep: 11 })).not.toEqual(here);
    const { state: two } = segment(ivonConfig({ samples: 2 }), 10);
    expect(two.parameters).not.toEqual(state.parameters);
  });

  it("predicts with the mean over samples of exactly N(m, 1 / (lambda (h + delta)))", () => {
    const lambda = 2000;
    const wide = ivonConfig({ effectiveSampleSize: lambda }, { posteriorSamples: 64 });
    const result = segment(wide, 60);
    const { state } = result;
    const { name, batch } = drawProbePrompts(wide.task, wide.seed, wide.evaluation.prompts)[0];
    // The same posterior by other code, with other noise: equal up to the Monte Carlo error of both.
    const posterior = ivonPosterior(state.parameters, state.secondMoment, {
      effectiveSampleSize: lambda,
      weightDecay: IVON.weightDecay,
    });
    const model = instantiateTransformer(core, transformerShape(wide));
    const rng = testStream(3);
    const shape = { members: 64, prompts: batch.targets.length, classes: 7 };
    const draw = () => {
      const all = new Float32Array(64 * shape.prompts * 7);
      for (let s = 0; s < 64; s++) {
        model.setParameters(posterior.sample(rng));
        all.set(model.probabilities(batch), s * shape.prompts * 7);
      }
      return decompose(all, shape);
    };
    const [a, b] = [draw(), draw()];
    const { probabilities, posterior: spread } = on(result, name);
    const mean = (values: ArrayLike<number>) => Array.from(values).reduce((s, x) => s + x, 0) / values.length;
    const error = Math.abs(mean(a.mutualInformation) - mean(b.mutualInformation));
    const information = mean(spread!.mutualInformation);
    expect(information).toBeGreaterThan(0.02);
    expect(Math.abs(information - mean(a.mutualInformation))).toBeLessThan(5 * error + 0.03 * information);
    const distance = (p: ArrayLike<number>, q: ArrayLike<number>) =>
      Math.sqrt(mean(Array.from(p, (x, i) => (x - q[i]) ** 2)));
    expect(distance(probabilities, a.mean)).toBeLessThan(1.6 * distance(a.mean, b.mean));
    // And not the prediction of the mean weights.
    model.setParameters(state.parameters);
    expect(distance(model.probabilities(batch), a.mean)).toBeGreaterThan(2 * distance(a.mean, b.mean));
  });

  it("has one set of weights per sample for all probe sets, and leaves the mean in place", () => {
    const one = segment(ivonConfig({}, { posteriorSamples: 1 }), 10);
    const none = segment(ivonConfig({}, { posteriorSamples: 0 }), 10);
    expect(one.state).toEqual(none.state);
    expect(none.predictions.every((p) => p.posterior === undefined)).toBe(true);
    const probes = drawProbePrompts(config.task, config.seed, config.evaluation.prompts);
    const model = instantiateTransformer(core, transformerShape(config));
    model.setParameters(none.state.parameters);
    for (const { name, batch } of probes)
      expect(on(none, name).probabilities).toEqual(model.probabilities(batch));
    expect(on(one, "seenTasks").probabilities).not.toEqual(on(none, "seenTasks").probabilities);
    // A single sample differs from its mean in nothing.
    for (const { posterior } of one.predictions)
      expect(Math.max(...posterior!.mutualInformation)).toBeLessThan(1e-6);
  });

  it("has for lambda the terms of the whole run, unless told", () => {
    const { steps, batchSize } = config.training;
    const explicit = (terms: number) => numbers(segment(ivonConfig({ effectiveSampleSize: terms }), 5));
    expect(numbers(segment(config, 5))).toEqual(explicit(steps * batchSize * 3));
    expect(numbers(segment(config, 5))).not.toEqual(explicit(steps * batchSize));
    const last = miniature({
      training: { ...config.training, lossPositions: "last" },
    });
    const lastTold = miniature({
      training: {
        ...last.training,
        ivon: { ...last.training.ivon, effectiveSampleSize: steps * batchSize },
      },
    });
    expect(numbers(segment(last, 5))).toEqual(numbers(segment(lastTold, 5)));
  });

  it("has for lambda the terms of a pool once, however many epochs there are", () => {
    const pooled = (ivon: Record<string, unknown>, steps = 400) =>
      freshConfig({
        ...ivonConfig(ivon),
        task: { modulus: 7, trainTasks: 2, examples: 3, promptPool: 100 },
        training: { ...ivonConfig(ivon).training, steps },
      });
    const told = (terms: number, steps?: number) =>
      numbers(segment(pooled({ effectiveSampleSize: terms }, steps), 1));
    expect(numbers(segment(pooled({}), 1))).toEqual(told(100 * 3));
    // A run of less than an epoch.
    expect(numbers(segment(pooled({}, 1), 1))).toEqual(told(64 * 3, 1));
  });

  it("ends at a non-finite loss in the state before it", () => {
    const wild = ivonConfig({ clipRadius: 0, hessianInit: 1e-6 });
    wild.training.learningRate = 1e30;
    const { nonFinite, state, predictions } = segment(wild, 50);
    expect(nonFinite).toEqual({ what: "loss", step: state.step + 1 });
    expect(predictions).toEqual([]);
  });

  it("costs a gradient for every weight sample", () => {
    const flops = (samples: number) => estimateCost(ivonConfig({ samples })).flopsPerStep;
    expect(flops(3)).toBe(3 * flops(1));
    expect(flops(1)).toBe(estimateCost(miniature()).flopsPerStep);
  });
});

describe("a member with dropout", () => {
  it("predicts with the mean over masks, which differ between samples, steps and members", () => {
    const config = dropoutConfig({ posteriorSamples: 8 });
    const result = segment(config, 20);
    expect(segment(config, 20)).toMatchObject(numbers(result));
    const { probabilities, posterior } = on(result, "seenTasks");
    expect(Math.max(...posterior!.mutualInformation)).toBeGreaterThan(0.01);
    const off = segment(dropoutConfig({ posteriorSamples: 0 }), 20);
    expect(off.state).toEqual(result.state);
    expect(on(off, "seenTasks").posterior).toBeUndefined();
    expect(on(off, "seenTasks").probabilities).not.toEqual(probabilities);
    // The same weights, so only the masks of the other member and of the other step differ.
    const at = (member: number, state: SegmentResult["state"], toStep: number) =>
      on(trainSegment({ config, member, state, toStep }, { core, stop: () => false }), "seenTasks")
        .probabilities;
    expect(at(1, result.state, 20)).toEqual(probabilities);
    expect(at(2, result.state, 20)).not.toEqual(probabilities);
    expect(at(1, { ...result.state, step: 21 }, 21)).not.toEqual(probabilities);
  });

  it("may be an IVON member too", () => {
    const both = miniature({ model: { dropout: 0.2 }, training: IVON, evaluation: { posteriorSamples: 4 } });
    const whole = segment(both, 12);
    const cut = segment(both, 5);
    expect(numbers(segment(both, 12, { state: cut.state, carried: cut.sums }))).toEqual(numbers(whole));
    expect(on(whole, "unseenTasks").posterior).toBeDefined();
  });
});

it.each([
  ["weights", miniature()],
  ["sampled weights", ivonConfig({}, { posteriorSamples: 4 })],
  ["masks", dropoutConfig({ posteriorSamples: 4 })],
])("prompts are asked back with a member's own answers and the same %s", (_, config) => {
  const { state, predictions } = segment(config, 20);
  const unseen = drawProbePrompts(config.task, config.seed, 32)[1];
  const answers = Int32Array.from({ length: 32 }, (_, b) =>
    argmax(on({ predictions } as SegmentResult, "unseenTasks").probabilities, (3 * b + 2) * 7, 7),
  );
  const model = createMemberModel(config, core);
  model.transformer.setParameters(state.parameters);
  model.transformer.setMoments({ first: state.firstMoment, second: state.secondMoment });
  const back = { ...unseen, name: "seenTasks" as const, batch: askedBack(unseen.batch, 1, answers) };
  const [{ probabilities, cycle }] = predict(model, [back], config, 1, 20)!;
  expect(cycle).toBeUndefined();
  expect(predictions.map((each) => each.cycle)).toEqual([undefined, probabilities]);
});

describe("the spread of a member's posterior", () => {
  const config = ivonConfig();
  const [seen] = createProbeSets(config);
  const rows = seen.batch.targets.length;
  const z = new Float32Array(2 * rows);
  normals(stream(1, 0, "evaluation", 0), z);

  it("is reduced to means over the prompts, by position and at the last one", () => {
    const expectedEntropy = z.slice(0, rows);
    const mutualInformation = z.slice(rows);
    const measures = posteriorMeasures({ expectedEntropy, mutualInformation }, 7, seen);
    const at = (values: Float32Array, position: number) =>
      values.reduce((sum, v, i) => (i % 3 === position ? sum + v : sum), 0) / 32;
    expect(measures.samples).toBe(7);
    expect(measures.expectedEntropy).toBeCloseTo(at(expectedEntropy, 2), 12);
    expect(measures.mutualInformation).toBeCloseTo(at(mutualInformation, 2), 12);
    expect(measures.mutualInformationByPosition).toHaveLength(3);
    measures.mutualInformationByPosition.forEach((value, k) => {
      expect(value).toBeCloseTo(at(mutualInformation, k), 12);
    });
  });

  it("must fit the probe set", () => {
    const spread = { expectedEntropy: z.slice(0, rows), mutualInformation: z.slice(1, rows) };
    expect(() => posteriorMeasures(spread, 7, seen)).toThrow(
      /length of mutualInformation: got 95, must be 96/,
    );
  });

  it("survives the file of a member that waits for the others, byte for byte", () => {
    const { state, predictions, sums } = segment(config, 20);
    const evaluation = { member: 1, step: 20, tokens: 1, loss: 0.5, gradientNorm: 2, predictions };
    const progress: MemberProgress = {
      ...{ member: 1, state, evaluated: 20, tokens: 1, sums, failure: null },
      pending: [evaluation],
    };
    expect(decodeMember(decodeSafetensors(encodeMember(progress, "a run")))).toEqual(progress);
  });
});

describe.each([
  ["IVON", ivonConfig({}, { posteriorSamples: 4 })],
  ["dropout", dropoutConfig({ posteriorSamples: 4 })],
])("a run with %s", async (name, full) => {
  const config = configSchema.parse({ ...full, training: { ...full.training, steps: 60 } });
  const run = (out: string, options: Partial<RunOptions> = {}) =>
    runEnsemble(config, { out: join(root, `${name}-${out}`), workers: 1, ...options });
  const { runDir } = await run("one");
  const expected = resultHashes(runDir);
  const records: MetricsRecord[] = readFileSync(join(runDir, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

  it("records every member's own uncertainty", () => {
    expect(records.map((r) => r.step)).toEqual([0, 20, 40, 60]);
    for (const { members } of records)
      for (const { sets } of members)
        for (const { entropy, posterior } of Object.values(sets)) {
          expect(posterior!.samples).toBe(4);
          expect(posterior!.mutualInformation).toBeGreaterThan(0);
          expect(posterior!.mutualInformation).toBeLessThan(Math.log(4));
          expect(posterior!.expectedEntropy + posterior!.mutualInformation).toBeCloseTo(entropy, 5);
          expect(posterior!.mutualInformationByPosition[2]).toBe(posterior!.mutualInformation);
        }
  });

  it("keeps the curvature beside each checkpoint of an IVON member, as it was at that step", async () => {
    const { parameters: table } = instantiateTransformer(core, transformerShape(config));
    const identity = { run: runHash(config), sealed: true };
    const kept = await listCheckpoints(runDir);
    expect(kept.map(({ step }) => step)).toEqual([0, 20, 40, 60]);
    for (const { step, members, withCurvature } of kept) {
      expect(members).toEqual([0, 1, 2]);
      expect(withCurvature).toEqual(name === "IVON" ? members : []);
      if (name !== "IVON") continue;
      const { state } = segment(config, step);
      expect(await readCheckpoint(runDir, { step, member: 1 }, table, identity)).toEqual(state.parameters);
      expect(await readIvonCurvature(runDir, { step, member: 1 }, table, identity)).toEqual({
        hessian: state.secondMoment,
        // 60 steps of 64 prompts of 3 positions.
        effectiveSampleSize: 11_520,
        weightDecay: 1e-4,
      });
      // The parameters' file is a state dict, without anything more.
      const { tensors } = decodeSafetensors(readFileSync(join(runDir, checkpointFile({ step, member: 1 }))));
      expect([...tensors.keys()].sort()).toEqual(table.map((parameter) => parameter.name).sort());
    }
    const damaged = { step: 20, member: 1 };
    if (name !== "IVON")
      return expect(readIvonCurvature(runDir, damaged, table, identity)).rejects.toThrow(
        /member-01\.ivon\.safetensors: missing/,
      );
    const bytes = readFileSync(join(runDir, ivonFile(damaged)));
    const { tensors, metadata } = decodeSafetensors(bytes);
    const readAgain = async ([changed, { run, ...about }]: Parameters<typeof sealedTensors>) => {
      writeFileSync(join(runDir, ivonFile(damaged)), sealedTensors(changed, { run, ...about }));
      return readIvonCurvature(runDir, damaged, table, identity);
    };
    await expect(readAgain([tensors, { ...metadata, run: identity.run, weightDecay: "no" }])).rejects.toThrow(
      /metadata weightDecay is no number above 0/,
    );
    await expect(readAgain([[...tensors].slice(1), { ...metadata, run: identity.run }])).rejects.toThrow(
      /tensor .* is missing/,
    );
    writeFileSync(join(runDir, ivonFile(damaged)), bytes);
  });

  it("writes the same bytes with three workers", async () => {
    expect(resultHashes((await run("three", { workers: 3 })).runDir)).toEqual(expected);
  });

  it("writes the same bytes when it is interrupted and resumed", async () => {
    const abort = new AbortController();
    const observer = { evaluated: ({ step }: MetricsRecord) => void (step >= 20 && abort.abort()) };
    const stopped = await run("resumed", { signal: abort.signal, observer });
    expect(stopped.status).toBe("stopped");
    const resumed = await run("resumed", { mode: "resume", workers: 2 });
    expect(resumed.status).toBe("finished");
    expect(resultHashes(resumed.runDir)).toEqual(expected);
  });
});

it("a run with AdamW and no dropout has neither the settings nor the measures", () => {
  const config = miniature();
  expect("ivon" in config.training || "posteriorSamples" in config.evaluation).toBe(false);
  expect(segment(config, 1).predictions.every((p) => !("posterior" in p))).toBe(true);
  expect(configHash(configSchema.parse(config))).toBe(configHash(config));
});
