/** Members that differ in their prompts or in their tasks (ensemble.bootstrap). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createConfig } from "../src/config/presets.ts";
import { type ConfigInput, configSchema } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { writeReport } from "../src/report/report.ts";
import { measureEvaluation } from "../src/run/measure.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import { runEnsemble } from "../src/run/run.ts";
import { type Bootstrap, memberPrompts, memberTasks } from "../src/tasks/bootstrap.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { drawPromptPool, type PromptPool } from "../src/tasks/prompt-pool.ts";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { splitTasks } from "../src/tasks/split.ts";
import { trainSegment } from "../src/training/segment.ts";
import { predictiveMeasures } from "../src/uncertainty/measures.ts";
import { freshConfig } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const POOL = 120;
const MEMBERS = 3;
const settings = (bootstrap: Bootstrap, task: ConfigInput["task"] = {}) =>
  freshConfig({
    math: "strict",
    seed: 5,
    task: { modulus: 11, trainTasks: 6, examples: 3, promptPool: POOL, ...task },
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
    training: { steps: 90, batchSize: 18, warmupSteps: 2 },
    evaluation: { every: 30, prompts: 24 },
    ensemble: { members: MEMBERS, bootstrap },
  });
const members = Array.from({ length: MEMBERS }, (_, member) => member);

const poolOf = (config: ReturnType<typeof settings>) =>
  drawPromptPool(config.task, config.seed, config.evaluation.prompts) as PromptPool;
const trainOf = ({ task, seed }: ReturnType<typeof settings>) => splitTasks(task, seed).train;
const countsOf = (values: ArrayLike<number>) => {
  const counts = new Map<number, number>();
  for (const value of Array.from(values)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
};

describe("resamples", () => {
  const config = settings("prompts");
  const pool = poolOf(config);
  const own = (bootstrap: Bootstrap, member: number, seed = 5) =>
    memberPrompts(pool, bootstrap, trainOf(config), seed, member);

  it("of prompts have as many as the pool, of all of it in the long run, and are those of seed and member", () => {
    for (const member of members) {
      expect(own("prompts", member)).toHaveLength(POOL);
      expect(own("prompts", member)).toEqual(own("prompts", member));
    }
    expect(own("prompts", 0)).not.toEqual(own("prompts", 1));
    expect(own("prompts", 0)).not.toEqual(own("prompts", 0, 6));
    // With replacement: a member lacks a prompt with probability (1 - 1/N)^N.
    const held = Array.from({ length: 200 }, (_, member) => countsOf(own("prompts", member)).size);
    const mean = held.reduce((a, b) => a + b) / 200;
    const expected = POOL * (1 - (1 - 1 / POOL) ** POOL);
    // The number of different ones has a variance below N/e.
    expect(Math.abs(mean - expected)).toBeLessThan(5 * Math.sqrt(POOL / Math.E / 200));
  });

  it("of tasks have as many as there are, and of a pool the prompts of these, as often as their task", () => {
    for (const member of members) {
      const tasks = memberTasks("tasks", 6, 5, member);
      expect(tasks).toHaveLength(6);
      const drawn = countsOf(tasks);
      expect(drawn.size).toBeLessThan(6);
      const prompts = countsOf(own("tasks", member));
      pool.tasks.forEach((task, i) => {
        expect(prompts.get(i) ?? 0).toBe(drawn.get(trainOf(config).indexOf(task)) ?? 0);
      });
    }
    expect(memberTasks("none", 4, 5, 1)).toEqual(memberTasks("prompts", 4, 5, 1));
    expect([...memberTasks("none", 4, 5, 1)]).toEqual([0, 1, 2, 3]);
    expect(own("none", 1)).toEqual(Int32Array.from({ length: POOL }, (_, i) => i));
  });

  it("that leave a member without a prompt are refused", () => {
    const few = {
      tasks: pool.tasks.filter((task) => task !== trainOf(config)[memberTasks("tasks", 6, 5, 0)[0]]),
    };
    const only = Int32Array.from(trainOf(config).filter((task) => !few.tasks.includes(task)));
    expect(() => memberPrompts(few, "tasks", only, 5, 0)).toThrow(
      /ensemble\.bootstrap: got "?tasks"?, must be none or prompts: the pool has no prompt of member 0's tasks/,
    );
  });
});

describe("what a member is shown", () => {
  /** The prompts of the first `steps` batches of a member, as text. */
  function shown(config: ReturnType<typeof settings>, member: number, steps: number) {
    const sampler = new PromptSampler(config);
    const batch = sampler.createBatch(config.training.batchSize, "all");
    return Array.from({ length: steps }, (_, s) => {
      sampler.sampleInto(batch, member, s + 1);
      const { tokens, targets, length, positions } = batch;
      return Array.from(
        { length: batch.batchSize },
        (_, b) =>
          `${tokens.subarray(b * length, (b + 1) * length)}>${targets.subarray(b * positions.length, (b + 1) * positions.length)}`,
      );
    }).flat();
  }
  const ofPool = ({ batch: { batchSize, tokens, targets, length, positions } }: PromptPool) =>
    Array.from(
      { length: batchSize },
      (_, b) =>
        `${tokens.subarray(b * length, (b + 1) * length)}>${targets.subarray(b * positions.length, (b + 1) * positions.length)}`,
    );

  it.each(["prompts", "tasks"] as const)("of a pool is its resample, once an epoch, by %s", (bootstrap) => {
    const config = settings(bootstrap);
    const pool = poolOf(config);
    const texts = ofPool(pool);
    for (const member of members) {
      const own = memberPrompts(pool, bootstrap, trainOf(config), config.seed, member);
      const seen = shown(config, member, 40);
      const expected = Array.from(own, (i) => texts[i]).sort();
      for (const epoch of [0, 1, 2])
        expect(seen.slice(epoch * own.length, (epoch + 1) * own.length).sort()).toEqual(expected);
    }
    expect(shown(config, 0, 3)).not.toEqual(shown(settings("none"), 0, 3));
  });

  it.each([{}, { batching: "balanced" } as const])("of fresh prompts is of its own tasks, %o", (task) => {
    const config = freshConfig({
      ...settings("tasks", { ...task, promptPool: 0 }),
      training: { batchSize: 36 },
    });
    const train = trainOf(config);
    for (const member of members) {
      const times = countsOf(memberTasks("tasks", 6, config.seed, member));
      // z = a x: a task is known by any answer to an input that is not 0.
      const tasks = shown(config, member, 50).map((text) => {
        const [tokens, targets] = text.split(">").map((part) => part.split(",").map(Number));
        const k = [0, 2, 4].findIndex((at) => tokens[at] !== 0);
        return Array.from({ length: 11 }, (_, a) => a).find((a) => (a * tokens[2 * k]) % 11 === targets[k])!;
      });
      const seen = countsOf(tasks);
      // Without the constant term the index of a task is its coefficient.
      train.forEach((a, place) => {
        const share = (times.get(place) ?? 0) / 6;
        const expected = 1800 * share;
        const error = task.batching ? 0 : 5 * Math.sqrt(expected * (1 - share));
        expect(Math.abs((seen.get(a) ?? 0) - expected)).toBeLessThanOrEqual(error);
      });
    }
  });
});

describe("probe sets", () => {
  const nameless = ({ trainedBy: _, ...rest }: ReturnType<typeof createProbeSets>[number]) => rest;

  it.each(["prompts", "tasks"] as const)(
    "are the same, and say what each member trains on, by %s",
    (bootstrap) => {
      const config = settings(bootstrap, { inputFraction: 0.7 });
      const sets = createProbeSets(config);
      expect(sets.map(nameless)).toEqual(createProbeSets(settings("none", { inputFraction: 0.7 })));
      const told = sets.filter(({ trainedBy }) => trainedBy).map(({ name }) => name);
      expect(told).toEqual(
        bootstrap === "prompts" ? ["trainPrompts"] : ["seenTasks", "seenTasksUnseenInputs", "trainPrompts"],
      );
      const pool = poolOf(config);
      for (const { name, trainedBy, tasks } of sets.filter((set) => set.trainedBy)) {
        expect(trainedBy).toHaveLength(MEMBERS);
        for (const member of members) {
          const own = memberPrompts(pool, bootstrap, trainOf(config), config.seed, member);
          const ownTasks = new Set(
            Array.from(memberTasks(bootstrap, 6, config.seed, member), (i) => trainOf(config)[i]),
          );
          tasks.forEach((task, b) => {
            expect(trainedBy![member][b] === 1).toBe(
              name === "trainPrompts" ? own.includes(b) : ownTasks.has(task),
            );
          });
        }
      }
    },
  );

  it("of unseen tasks are unseen by all members", () => {
    const config = settings("tasks");
    const unseen = createProbeSets(config).find(({ name }) => name === "unseenTasks")!;
    for (const member of members)
      for (const place of memberTasks("tasks", 6, config.seed, member))
        expect(unseen.tasks).not.toContain(trainOf(config)[place]);
  });
});

it("measures a member on what it was trained on, and the ensemble on everything", async () => {
  const config = settings("prompts");
  const core = await loadCoreModule("strict");
  const sets = createProbeSets(config);
  const evaluations = members.map((member) => {
    const { predictions } = trainSegment(
      { config, member, state: null, toStep: 30 },
      { core, stop: () => false },
    );
    return { member, step: 30, tokens: 0, loss: 0, gradientNorm: 0, predictions };
  });
  const record = measureEvaluation(30, evaluations, sets, { learningRate: 0 });
  const alike = measureEvaluation(30, evaluations, createProbeSets(settings("none")), { learningRate: 0 });
  expect(record.ensemble).toEqual(alike.ensemble);
  const probe = sets.find(({ name }) => name === "trainPrompts")!;
  const classes = config.task.modulus;
  for (const member of members) {
    const { sets: measures } = record.members[member];
    expect(measures.unseenTasks).toEqual(alike.members[member].sets.unseenTasks);
    expect(measures.seenTasks).toEqual(alike.members[member].sets.seenTasks);
    const own = probe.trainedBy![member];
    const { probabilities } = evaluations[member].predictions.find(({ set }) => set === "trainPrompts")!;
    const single = Array.from(own.keys()).filter((b) => own[b]);
    const width = probe.batch.positions.length;
    const each = single.map((b) =>
      predictiveMeasures(probabilities.slice(b * width * classes, (b + 1) * width * classes), {
        batch: { targets: probe.batch.targets.slice(b * width, (b + 1) * width), batchSize: 1 },
        references: { M: new Float64Array(width * classes), G: new Float64Array(width * classes) },
      }),
    );
    expect(single.length).toBeLessThan(own.length);
    const mean = (of: (m: (typeof each)[number]) => number) =>
      each.reduce((sum, m) => sum + of(m), 0) / each.length;
    for (const key of ["accuracy", "nll", "entropy"] as const)
      expect(measures.trainPrompts![key]).toBeCloseTo(
        mean((m) => m[key]),
        12,
      );
    measures.trainPrompts!.accuracyByPosition.forEach((accuracy, k) => {
      expect(accuracy).toBeCloseTo(
        mean((m) => m.accuracyByPosition[k]),
        12,
      );
    });
  }
});

it("measures a member's own posterior on what it was trained on", async () => {
  const plain = settings("prompts");
  const config = configSchema.parse({
    ...plain,
    model: { ...plain.model, dropout: 0.2 },
    evaluation: { ...plain.evaluation, posteriorSamples: 3 },
  });
  const core = await loadCoreModule("strict");
  const { predictions } = trainSegment(
    { config, member: 1, state: null, toStep: 30 },
    { core, stop: () => false },
  );
  const sets = createProbeSets(config);
  const evaluation = { member: 1, step: 30, tokens: 0, loss: 0, gradientNorm: 0, predictions };
  const { members: measured } = measureEvaluation(30, [evaluation], sets, {
    learningRate: 0,
    posteriorSamples: 3,
  });
  const own = sets.find(({ name }) => name === "trainPrompts")!.trainedBy![1];
  const { posterior } = predictions.find(({ set }) => set === "trainPrompts")!;
  const kept = Array.from(own.keys()).filter((b) => own[b]);
  const sum = kept.reduce((total, b) => total + posterior!.mutualInformation[3 * b + 2], 0);
  expect(measured[0].sets.trainPrompts!.posterior!.mutualInformation).toBeCloseTo(sum / kept.length, 12);
});

it("leaves a set out of which a member has no prompt", async () => {
  const config = settings("prompts");
  const core = await loadCoreModule("strict");
  const { predictions } = trainSegment(
    { config, member: 0, state: null, toStep: 30 },
    { core, stop: () => false },
  );
  const sets = createProbeSets(config).map((set) =>
    set.trainedBy ? { ...set, trainedBy: [new Uint8Array(set.batch.batchSize)] } : set,
  );
  const evaluation = { member: 0, step: 30, tokens: 0, loss: 0, gradientNorm: 0, predictions };
  const { members: measured, ensemble } = measureEvaluation(30, [evaluation], sets, { learningRate: 0 });
  expect(Object.keys(measured[0].sets)).toEqual(["seenTasks", "unseenTasks"]);
  expect(Object.keys(ensemble)).toEqual(["seenTasks", "unseenTasks", "trainPrompts"]);
});

describe.each(["prompts", "tasks"] as const)("a run with a bootstrap by %s", (bootstrap) => {
  const config = settings(bootstrap);

  it("is resumed in mid-epoch to the bytes of an uninterrupted run, on any number of workers", async () => {
    const whole = await runEnsemble(config, { out: join(root, `${bootstrap}-whole`), workers: 1 });
    const out = join(root, `${bootstrap}-parts`);
    const stop = new AbortController();
    const observer = { evaluated: () => stop.abort() };
    const begun = await runEnsemble(config, { out, workers: 3, signal: stop.signal, observer });
    expect(begun.status).toBe("stopped");
    await runEnsemble(config, { out, mode: "resume", workers: 2 });
    expect(resultHashes(out)).toEqual(resultHashes(whole.runDir));
    const plain = await runEnsemble(settings("none"), { out: join(root, `${bootstrap}-plain`), workers: 2 });
    const [own, alike] = [whole.runDir, plain.runDir].map((path) => resultHashes(path)["metrics.jsonl"]);
    expect(own).not.toBe(alike);
    expect(readFileSync(await writeReport([out]), "utf8")).toContain(
      bootstrap === "prompts"
        ? "Each member was trained on prompts of the pool drawn with replacement"
        : "Each member was trained on training tasks drawn with replacement",
    );
    const [first] = readFileSync(join(out, "metrics.jsonl"), "utf8").split("\n");
    const sets = Object.keys((JSON.parse(first) as MetricsRecord).ensemble);
    expect(sets).toEqual(["seenTasks", "unseenTasks", "trainPrompts"]);
  });
});

describe("the setting", () => {
  it("is left out where it changes nothing", () => {
    expect(configSchema.parse({ ensemble: { bootstrap: "none" } })).toEqual(configSchema.parse({}));
    const set = configSchema.parse({ ensemble: { bootstrap: "tasks" } });
    expect(JSON.stringify(configSchema.parse(set))).toBe(JSON.stringify(set));
  });

  it("prompts is refused without a pool; tasks is not", () => {
    expect(() => createConfig({ task: { promptPool: 0 }, ensemble: { bootstrap: "prompts" } })).toThrow(
      /^ensemble\.bootstrap: got "prompts" from settings, must be none or tasks without a task\.promptPool/,
    );
    expect(
      createConfig({ task: { promptPool: 0 }, ensemble: { bootstrap: "tasks" } }).ensemble,
    ).toMatchObject({
      bootstrap: "tasks",
    });
  });
});
