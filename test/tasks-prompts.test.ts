import { describe, expect, it } from "vitest";
import { configSchema } from "../src/config/schema.ts";
import type { Batch } from "../src/core/batch.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";
import { PromptSet } from "../src/tasks/prompt-set.ts";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { type TaskConfig, taskSchema } from "../src/tasks/settings.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";
import { FRESH } from "./fixtures/config.ts";

const config = (task: Partial<TaskConfig>): TaskConfig => taskSchema.parse({ ...FRESH.task, ...task });

/** One prompt of a batch with all positions: inputs (n, v), outputs fed (n-1), targets (n). */
function unpack(batch: Batch, b: number, variables: number) {
  const examples = batch.positions.length;
  const row = batch.tokens.subarray(b * batch.length, (b + 1) * batch.length);
  const inputs: number[][] = [];
  const fed: number[] = [];
  for (let k = 0; k < examples; k++) {
    inputs.push([...row.subarray(k * (variables + 1), k * (variables + 1) + variables)]);
    if (k < examples - 1) fed.push(row[k * (variables + 1) + variables]);
  }
  return { inputs, fed, targets: [...batch.targets.subarray(b * examples, (b + 1) * examples)] };
}

const samplerOf = (task: TaskConfig, seed: number, prompts: number) =>
  new PromptSampler({ task, seed, evaluation: { prompts }, ensemble: {} });

function sample(
  task: TaskConfig,
  options: { seed?: number; prompts?: number; member?: number; step?: number } = {},
) {
  const sampler = samplerOf(task, options.seed ?? 0, 16);
  const batch = sampler.createBatch(options.prompts ?? 512, "all");
  sampler.sampleInto(batch, options.member ?? 0, options.step ?? 0);
  return batch;
}

const cases: [string, Partial<TaskConfig>][] = [
  ["v = 1", {}],
  ["v = 1, constant", { modulus: 11, constantTerm: true, trainTasks: 60, examples: 5 }],
  [
    "v = 2, repeated inputs",
    { modulus: 7, variables: 2, trainTasks: 30, examples: 8, distinctInputs: false },
  ],
  ["v = 2, unseen inputs", { modulus: 7, variables: 2, trainTasks: 30, examples: 8, inputFraction: 0.7 }],
  ["products", { family: "bilinear", modulus: 5, variables: 2, trainTasks: 80, examples: 6 }],
  [
    "products, no table",
    { family: "bilinear", modulus: 7, variables: 3, trainTasks: 12000, examples: 8, inputFraction: 0.5 },
  ],
  ["v = 3", { modulus: 5, variables: 3, trainTasks: 60, examples: 6 }],
  // 19^4 inputs and 40 tasks are too many pairs for the table of outputs.
  ["v = 4, no table", { modulus: 19, variables: 4, trainTasks: 40, examples: 6, inputFraction: 0.5 }],
];

describe("layout", () => {
  it("predicts each z from the position before it and does not feed the last one", () => {
    const sampler = samplerOf(config({ modulus: 7, variables: 2, trainTasks: 30, examples: 4 }), 0, 16);
    expect(sampler.length).toBe(11);
    expect([...sampler.positions]).toEqual([1, 4, 7, 10]);
    const all = sampler.createBatch(3, "all");
    expect(all).toMatchObject({ batchSize: 3, length: 11 });
    expect([all.tokens.length, all.targets.length]).toEqual([33, 12]);
    const last = sampler.createBatch(3, "last");
    expect([...last.positions]).toEqual([10]);
    expect(last.targets.length).toBe(3);
    sampler.sampleInto(all, 0, 0);
    sampler.sampleInto(last, 0, 0);
    expect(last.tokens).toEqual(all.tokens);
    expect([...last.targets]).toEqual([all.targets[3], all.targets[7], all.targets[11]]);
  });
});

describe.each(cases)("PromptSampler, %s", (_, partial) => {
  const task = config(partial);
  const family = new TaskFamily(task);

  it("draws training tasks and seen inputs, with the right outputs", () => {
    const batch = sample(task, { seed: 3 });
    const train = Array.from(splitTasks(task, 3).train, (t) => family.task(t));
    const seen = new Set(splitInputs(task, 3).seen);
    for (let b = 0; b < batch.batchSize; b++) {
      const { inputs, fed, targets } = unpack(batch, b, task.variables);
      expect(fed).toEqual(targets.slice(0, -1));
      for (const input of inputs) expect(seen.has(family.inputIndex(input))).toBe(true);
      expect(train.some((t) => inputs.every((u, k) => family.evaluate(t, u) === targets[k]))).toBe(true);
      if (task.distinctInputs) expect(new Set(inputs.map(String)).size).toBe(task.examples);
    }
  });

  it("is a function of seed, member and step, whatever was drawn before", () => {
    const sampler = samplerOf(task, 3, 16);
    const batch = sampler.createBatch(512, "all");
    for (const [member, step] of [
      [4, 4],
      [0, 9],
      [1, 5],
    ]) {
      sampler.sampleInto(batch, member, step);
    }
    expect(batch).toEqual(sample(task, { seed: 3, member: 1, step: 5 }));
    expect(batch.tokens).not.toEqual(sample(task, { seed: 3, member: 2, step: 5 }).tokens);
    expect(batch.tokens).not.toEqual(sample(task, { seed: 3, member: 1, step: 6 }).tokens);
    expect(batch.tokens).not.toEqual(sample(task, { seed: 4, member: 1, step: 5 }).tokens);
  });
});

describe("what is drawn", () => {
  it("all training tasks and all ordered input pairs equally often", () => {
    const task = config({ modulus: 11, trainTasks: 7, examples: 3 });
    const batch = sample(task, { prompts: 40000 });
    const family = new TaskFamily(task);
    const tasks = new Map<number, number>();
    const pairs = new Map<string, number>();
    for (let b = 0; b < batch.batchSize; b++) {
      const { inputs, targets } = unpack(batch, b, 1);
      const index = [...splitTasks(task, 0).train].find((t) =>
        inputs.every((u, k) => family.evaluate([t], u) === targets[k]),
      ) as number;
      tasks.set(index, (tasks.get(index) ?? 0) + 1);
      const pair = `${inputs[0]},${inputs[2]}`;
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
    // The 16 reserved probe prompts of 6930 shift these rates by far less than the bounds.
    expect(tasks.size).toBe(7);
    for (const n of tasks.values()) expect(Math.abs(n - 40000 / 7)).toBeLessThan(5 * Math.sqrt(40000 / 7));
    expect(pairs.size).toBe(110);
    for (const n of pairs.values())
      expect(Math.abs(n - 40000 / 110)).toBeLessThan(5 * Math.sqrt(40000 / 110));
  });

  it("with replacement, inputs do repeat", () => {
    const task = config({ modulus: 5, variables: 2, trainTasks: 20, examples: 10, distinctInputs: false });
    const batch = sample(task);
    const repeating = Array.from({ length: 512 }, (_, b) => unpack(batch, b, 2)).filter(
      ({ inputs }) => new Set(inputs.map(String)).size < 10,
    );
    // 1 - 25!/15!/25^10 = 0.876
    expect(Math.abs(repeating.length / 512 - 0.876)).toBeLessThan(5 * Math.sqrt((0.876 * 0.124) / 512));
  });
});

describe("balanced batches", () => {
  const task = config({ modulus: 7, variables: 2, trainTasks: 12, examples: 4, batching: "balanced" });
  const family = new TaskFamily(task);

  it("hold every training task equally often, all with the same input sequences", () => {
    const batch = sample(task, { prompts: 36 });
    const train = Array.from(splitTasks(task, 0).train, (t) => family.task(t));
    const sequences = Array.from({ length: 36 }, (_, b) => {
      const { inputs, fed, targets } = unpack(batch, b, 2);
      expect(targets).toEqual(inputs.map((u) => family.evaluate(train[b % 12], u)));
      expect(fed).toEqual(targets.slice(0, -1));
      return inputs.join();
    });
    const shared = [0, 12, 24].map((b) => sequences[b]);
    expect(new Set(shared).size).toBe(3);
    expect(sequences).toEqual(shared.flatMap((inputs) => Array(12).fill(inputs)));
  });

  it("are a function of seed, member and step, whatever was drawn before", () => {
    expect(sample(task, { member: 1, step: 5 })).toEqual(sample(task, { member: 1, step: 5 }));
    const sampler = samplerOf(task, 0, 16);
    const batch = sampler.createBatch(30, "all");
    sampler.sampleInto(batch, 0, 1);
    sampler.sampleInto(batch, 1, 5);
    expect(batch).toEqual(sample(task, { prompts: 30, member: 1, step: 5 }));
    expect(batch.tokens).not.toEqual(sample(task, { prompts: 30, member: 2, step: 5 }).tokens);
  });

  it("give other inputs where a prompt is a probe prompt, under noise too", () => {
    const small = config({ modulus: 7, trainTasks: 4, examples: 3, batching: "balanced", trainNoise: 0.3 });
    const key = (inputs: number[][], outputs: number[]) => `${inputs.join(" ")}|${outputs.join(" ")}`;
    const probes = new Set(
      drawProbePrompts(small, 2, 60).flatMap(({ batch }) =>
        Array.from({ length: 60 }, (_, b) => unpack(batch, b, 1)).map(({ inputs, targets }) =>
          key(inputs, targets),
        ),
      ),
    );
    const sampler = samplerOf(small, 2, 60);
    const batch = sampler.createBatch(400, "all");
    const line = new TaskFamily(small);
    const train = Array.from(splitTasks(small, 2).train, (t) => line.task(t));
    let others = 0;
    for (let step = 1; step <= 20; step++) {
      sampler.sampleInto(batch, 0, step);
      for (let b = 0; b < 400; b++) {
        const { inputs, fed, targets } = unpack(batch, b, 1);
        expect(probes.has(key(inputs, targets))).toBe(false);
        expect(probes.has(key(inputs, [...fed, targets[2]]))).toBe(false);
        expect(targets).toEqual(inputs.map((u) => line.evaluate(train[b % 4], u)));
        if (b % 4 > 0 && inputs.join() !== unpack(batch, b - 1, 1).inputs.join()) others++;
      }
    }
    expect(others).toBeGreaterThan(0);
    expect(others).toBeLessThan(0.25 * 20 * 400);
  });

  it("are refused with batches that do not fit, or with a pool", () => {
    const parse = (task: object, batchSize = 34) =>
      configSchema
        .safeParse({ task: { ...FRESH.task, ...task }, training: { batchSize } })
        .error?.issues.map(({ path, message }) => [path.join("."), message]);
    expect(parse({ batching: "balanced" })).toBeUndefined();
    expect(parse({ batching: "balanced" }, 33)).toEqual([
      ["training.batchSize", "must be a multiple of task.trainTasks with task.batching balanced"],
    ]);
    expect(parse({ batching: "balanced", promptPool: 500 })?.[0][0]).toBe("task.batching");
    expect(configSchema.parse({ task: { batching: "independent" } })).toEqual(configSchema.parse({}));
    expect(configSchema.parse({}).task).not.toHaveProperty("batching");
  });
});

describe("noise", () => {
  const prompts = 8000;

  it.each([0.1, 0.5, 1])("replaces outputs at rate %f, uniformly by the other residues", (trainNoise) => {
    const task = config({ modulus: 7, trainTasks: 4, examples: 5, trainNoise });
    const batch = sample(task, { prompts });
    const shifts = new Array<number>(7).fill(0);
    for (let b = 0; b < prompts; b++) {
      const { fed, targets } = unpack(batch, b, 1);
      fed.forEach((z, k) => {
        shifts[(z - targets[k] + 7) % 7]++;
      });
    }
    const n = prompts * 4;
    const rates = [1 - trainNoise, ...new Array<number>(6).fill(trainNoise / 6)];
    shifts.forEach((count, shift) => {
      const sd = Math.sqrt(n * rates[shift] * (1 - rates[shift]));
      expect(Math.abs(count - n * rates[shift])).toBeLessThanOrEqual(5 * sd);
    });
  });

  it("clean targets stay clean; noisy targets are what is fed, at the last position too", () => {
    const clean = config({ modulus: 7, trainTasks: 4, examples: 5, trainNoise: 0.3 });
    const family = new TaskFamily(clean);
    const train = Array.from(splitTasks(clean, 0).train, (t) => family.task(t));
    const fits = (inputs: number[][], outputs: number[]) =>
      train.some((t) => inputs.every((u, k) => family.evaluate(t, u) === outputs[k]));
    const cleanBatch = sample(clean, { prompts });
    const noisyBatch = sample({ ...clean, noisyTargets: true }, { prompts });
    let noisyFits = 0;
    let lastWrong = 0;
    for (let b = 0; b < prompts; b++) {
      const a = unpack(cleanBatch, b, 1);
      expect(fits(a.inputs, a.targets)).toBe(true);
      const c = unpack(noisyBatch, b, 1);
      expect(c.targets.slice(0, -1)).toEqual(c.fed);
      if (fits(c.inputs, c.targets)) noisyFits++;
      else if (fits(c.inputs.slice(0, -1), c.fed)) lastWrong++;
    }
    expect(noisyFits / prompts).toBeLessThan(0.3);
    // 0.7^4 0.3 = 0.072 of the prompts have their only replaced output in the last place.
    expect(Math.abs(lastWrong / prompts - 0.072)).toBeLessThan(0.02);
  });
});

describe("probe prompts", () => {
  const small = { modulus: 7, trainTasks: 4, examples: 3 } as const;
  const key = (inputs: number[][], outputs: number[]) => `${inputs.join(" ")}|${outputs.join(" ")}`;

  it("are never sampled in training, and all other prompts are", () => {
    const task = config(small);
    const probePrompts = 60;
    const reserved = new Set<string>();
    for (const { name, batch } of drawProbePrompts(task, 2, probePrompts)) {
      for (let b = 0; b < probePrompts; b++) {
        const { inputs, targets } = unpack(batch, b, 1);
        if (name === "seenTasks") reserved.add(key(inputs, targets));
      }
    }
    const sampler = samplerOf(task, 2, probePrompts);
    const batch = sampler.createBatch(1000, "all");
    const drawn = new Map<string, number>();
    for (let step = 0; step < 60; step++) {
      sampler.sampleInto(batch, step % 3, step);
      for (let b = 0; b < 1000; b++) {
        const { inputs, targets } = unpack(batch, b, 1);
        drawn.set(key(inputs, targets), (drawn.get(key(inputs, targets)) ?? 0) + 1);
      }
    }
    for (const prompt of reserved) expect(drawn.has(prompt)).toBe(false);
    // 4 tasks with 7 6 5 sequences of inputs, drawn 76 times each on average.
    const kept = 4 * 210 - reserved.size;
    expect(drawn.size).toBe(kept);
    for (const n of drawn.values())
      expect(Math.abs(n - 60000 / kept)).toBeLessThan(6 * Math.sqrt(60000 / kept));
  });

  it("are not trained on under noise either, neither their clean form nor what they show", () => {
    const task = config({ ...small, trainNoise: 0.4, probeNoise: 0.4 });
    const probePrompts = 60;
    const clean = new Set<string>();
    const shown = new Set<string>();
    for (const set of drawProbePrompts(task, 2, probePrompts)) {
      for (let b = 0; b < probePrompts; b++) {
        const { inputs, fed, targets } = unpack(set.batch, b, 1);
        clean.add(key(inputs, targets));
        shown.add(key(inputs, [...fed, targets[2]]));
      }
    }
    const sampler = samplerOf(task, 2, probePrompts);
    const batch = sampler.createBatch(1000, "all");
    for (let step = 0; step < 40; step++) {
      sampler.sampleInto(batch, 0, step);
      for (let b = 0; b < 1000; b++) {
        const { inputs, fed, targets } = unpack(batch, b, 1);
        expect(clean.has(key(inputs, targets))).toBe(false);
        expect(shown.has(key(inputs, [...fed, targets[2]]))).toBe(false);
      }
    }
  });

  it("refuses probe sets that would take more than a tenth of the training prompts", () => {
    expect(() => samplerOf(config(small), 2, 60)).not.toThrow();
    expect(() => samplerOf(config(small), 2, 256)).toThrow(
      /evaluation\.prompts: got 256, must be lower, about \d+, .*would keep \d+ of the 840 training prompts.*10 %/,
    );
    // One example: every task gives 0 at input 0, so few prompts stand for many tasks.
    const one = config({ modulus: 3, variables: 2, trainTasks: 8, examples: 1 });
    expect(() => samplerOf(one, 0, 16)).toThrow(RangeError);
  });
});

describe("PromptSet", () => {
  it("holds what was added and nothing else", () => {
    const set = new PromptSet(3000);
    const inputs = (i: number) => Int32Array.of(i % 50, Math.floor(i / 50));
    const outputs = (i: number) => Int32Array.of(i % 7, i % 11);
    for (let i = 0; i < 3000; i++) expect(set.add(inputs(i), outputs(i))).toBe(true);
    for (let i = 0; i < 3000; i++) {
      expect(set.has(inputs(i), outputs(i))).toBe(true);
      expect(set.add(inputs(i), outputs(i))).toBe(false);
    }
    for (let i = 3000; i < 6000; i++) expect(set.has(inputs(i), outputs(i))).toBe(false);
    expect(set.has(inputs(5), outputs(6))).toBe(false);
  });
});
