import { describe, expect, it } from "vitest";
import { overrideLayer } from "../src/config/load.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { configSchema } from "../src/config/schema.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { drawPromptPool, EpochOrder, type PromptPool } from "../src/tasks/prompt-pool.ts";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { type TaskConfig, taskSchema } from "../src/tasks/settings.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";
import { recentBatches } from "../src/training/recent-batches.ts";
import { FRESH, FRESH_ASSIGNMENTS, freshConfig } from "./fixtures/config.ts";

const SMALL = { modulus: 7, trainTasks: 4, examples: 3 } as const;
const PROBES = 16;

const config = (task: Partial<TaskConfig>): TaskConfig =>
  taskSchema.parse({ ...FRESH.task, ...SMALL, ...task });
const poolOf = (task: TaskConfig, seed = 2) => drawPromptPool(task, seed, PROBES) as PromptPool;

/** Each prompt as one number for each of its tasks and inputs. */
const prompts = ({ tasks, inputs }: Pick<PromptPool, "tasks" | "inputs">) =>
  Array.from(tasks, (task, b) => {
    const examples = inputs.length / tasks.length;
    return `${task}:${inputs.subarray(b * examples, (b + 1) * examples)}`;
  });

const rows = (values: Int32Array, width: number) =>
  Array.from({ length: values.length / width }, (_, b) =>
    [...values.subarray(b * width, (b + 1) * width)].join(),
  );

describe("drawPromptPool", () => {
  it("is null where there is none, and 0 is none", () => {
    expect(drawPromptPool(config({}), 2, PROBES)).toBeNull();
    expect(config({ promptPool: 0 })).toEqual(config({}));
  });

  it.each<[string, Partial<TaskConfig>]>([
    ["v = 1", {}],
    ["repeated inputs", { distinctInputs: false }],
    ["unseen inputs", { modulus: 11, trainTasks: 6, inputFraction: 0.6 }],
    ["products", { family: "bilinear", modulus: 5, variables: 2, trainTasks: 20 }],
  ])("holds different prompts of training tasks and seen inputs, right ones, %s", (_, task) => {
    const c = config({ ...task, promptPool: 300 });
    const family = new TaskFamily(c);
    const pool = poolOf(c);
    expect(new Set(prompts(pool)).size).toBe(300);
    const { train } = splitTasks(c, 2);
    const { seen } = splitInputs(c, 2);
    expect([...pool.tasks].every((t) => train.includes(t))).toBe(true);
    expect([...pool.inputs].every((u) => seen.includes(u))).toBe(true);
    const clean = Array.from(pool.inputs, (u, i) =>
      family.evaluate(family.task(pool.tasks[Math.floor(i / c.examples)]), family.input(u)),
    );
    expect([...pool.outputs]).toEqual(clean);
    expect([...pool.batch.targets]).toEqual(clean);
    pool.inputs.forEach((u, i) => {
      const b = Math.floor(i / c.examples);
      const at = b * pool.batch.length + (i % c.examples) * (c.variables + 1);
      expect([...pool.batch.tokens.subarray(at, at + c.variables)]).toEqual(family.input(u));
      if (i % c.examples < c.examples - 1) expect(pool.batch.tokens[at + c.variables]).toBe(clean[i]);
    });
  });

  it("is a function of the seed, and a larger one begins with the smaller", () => {
    const c = config({ promptPool: 200 });
    const first = poolOf(c);
    expect(poolOf(structuredClone(c))).toBe(first);
    // Asked for another in between, it is drawn again.
    expect(prompts(poolOf(c, 4))).not.toEqual(prompts(first));
    expect(poolOf(c)).not.toBe(first);
    expect(poolOf(c)).toEqual(first);
    expect(drawPromptPool(c, 2, PROBES + 1)).not.toBe(poolOf(c));
    expect(prompts(poolOf(c, 3))).not.toEqual(prompts(poolOf(c)));
    expect(prompts(poolOf(config({ promptPool: 300 }))).slice(0, 200)).toEqual(prompts(poolOf(c)));
  });

  it.each([{}, { trainNoise: 0.3, probeNoise: 0.3 }])("never holds a probe prompt, %o", (noise) => {
    const c = config({ ...noise, promptPool: 600 });
    const { batch, inputs, outputs } = poolOf(c);
    const clean = rows(batch.targets, 3);
    const shown = rows(outputs, 3);
    const asked = rows(inputs, 3);
    const held = new Set([...clean, ...shown].map((z, i) => `${asked[i % 600]}|${z}`));
    const fresh = drawProbePrompts(c, 2, PROBES).filter(({ name }) => name !== "trainPrompts");
    expect(fresh.map(({ name }) => name)).toEqual(["seenTasks", "unseenTasks"]);
    for (const probe of fresh) {
      const probed = rows(probe.inputs, 3);
      for (const outputs of [probe.batch.targets, probe.outputs])
        for (const [b, z] of rows(outputs, 3).entries()) expect(held.has(`${probed[b]}|${z}`)).toBe(false);
    }
  });

  it("has context noise drawn once, in the targets too if they are noisy", () => {
    const c = config({ modulus: 11, trainTasks: 8, promptPool: 3000, trainNoise: 0.2 });
    const { batch, outputs } = poolOf(c);
    const replaced = (k: number) => outputs.filter((z, i) => i % 3 === k && z !== batch.targets[i]).length;
    const bound = 5 * Math.sqrt(3000 * 0.2 * 0.8);
    expect(Math.abs(replaced(0) - 600)).toBeLessThan(bound);
    expect(replaced(2)).toBe(0);
    const noisy = poolOf({ ...c, noisyTargets: true });
    expect(noisy.batch.targets).toEqual(noisy.outputs);
  });
});

describe("the largest pool", () => {
  // Of 4 x 7 x 6 x 5 prompts the two sets of 16 reserve one each for the seen tasks, and none of another task: two
  // linear functions agree at one input only.
  const available = 4 * 210 - new Set(prompts(drawProbePrompts(config({}), 2, PROBES)[0])).size;

  it("holds every prompt that the probe sets leave", () => {
    expect(new Set(prompts(poolOf(config({ promptPool: available })))).size).toBe(available);
  });

  it("is counted exactly: one more is refused with that number", () => {
    expect(() => poolOf(config({ promptPool: available + 1 }))).toThrow(
      `task.promptPool: got ${available + 1}, must be 0, for fresh prompts at every step, or at most ${available}, the number of different training prompts`,
    );
    const layers = [
      ...FRESH_ASSIGNMENTS,
      "task.modulus=7",
      "task.trainTasks=4",
      "evaluation.prompts=16",
      "seed=2",
      "training.batchSize=8",
    ];
    const set = (pool: number) =>
      resolveConfig([...layers, `task.promptPool=${pool}`].map(overrideLayer)).task.promptPool;
    expect(set(available)).toBe(available);
    expect(() => set(available + 1)).toThrow(
      /^task\.promptPool: got 8\d\d from --set .*\(task\.modulus 7 from .*evaluation\.prompts 16 from/,
    );
  });

  it("leaves out what probe prompts show under noise", () => {
    const noisy = { probeNoise: 0.4, distinctInputs: false } as const;
    const full = (() => {
      try {
        return poolOf(config({ ...noisy, promptPool: 4 * 343 })).tasks.length;
      } catch (error) {
        return Number(/at most (\d+)/.exec((error as Error).message)?.[1]);
      }
    })();
    expect(full).toBeLessThan(4 * 343 - PROBES / 2);
    expect(poolOf(config({ ...noisy, promptPool: full })).tasks.length).toBe(full);
  });
});

describe("settings that make no sense with a pool", () => {
  it.each([
    [{ task: { ...SMALL, promptPool: 3 } }, /task\.promptPool.*at least task\.trainTasks/],
    [{ task: { ...SMALL, promptPool: 300 }, training: { batchSize: 301 } }, /at least training\.batchSize/],
  ])("%o", (given, message) => {
    expect(() =>
      resolveConfig([{ source: "test", values: { evaluation: { prompts: 16 }, ...given } }]),
    ).toThrow(message);
  });

  it("a configuration without a pool has no such setting", () => {
    const none = configSchema.parse({ task: { promptPool: 0 } });
    expect(JSON.stringify(configSchema.parse(none))).toBe(JSON.stringify(none));
    const set = configSchema.parse({ task: { promptPool: 600 } });
    expect(JSON.stringify(configSchema.parse(set))).toBe(JSON.stringify(set));
  });
});

describe("batches of a pool", () => {
  const SIZE = 100;
  const task = config({ promptPool: SIZE });
  /** The numbers in the pool of the prompts of steps 1..`steps` of a member. */
  function shown(member: number, batchSize: number, steps: number) {
    const pool = poolOf(task);
    const number = new Map(rows(pool.batch.tokens, pool.batch.length).map((row, i) => [row, i]));
    const sampler = new PromptSampler({ task, seed: 2, evaluation: { prompts: PROBES }, ensemble: {} });
    const batch = sampler.createBatch(batchSize, "last");
    return Array.from({ length: steps }, (_, s) => {
      sampler.sampleInto(batch, member, s + 1);
      const found = rows(batch.tokens, batch.length).map((row) => number.get(row) as number);
      expect([...batch.targets]).toEqual(found.map((i) => pool.batch.targets[3 * i + 2]));
      return found;
    });
  }

  it("go through all prompts once an epoch, each time in another order, and straddle epochs", () => {
    const places = shown(1, 30, 20).flat();
    const epochs = Array.from({ length: 6 }, (_, e) => places.slice(e * SIZE, (e + 1) * SIZE));
    for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual([...Array(SIZE).keys()]);
    expect(new Set(epochs.map(String)).size).toBe(6);
    // Whatever the batches are, the order is the same.
    expect(shown(1, 100, 6).flat()).toEqual(places);
  });

  it("differ between members and seeds, and are a function of member and step whatever was drawn before", () => {
    expect(shown(0, 30, 4)).not.toEqual(shown(1, 30, 4));
    const sampler = new PromptSampler({ task, seed: 2, evaluation: { prompts: PROBES }, ensemble: {} });
    const batch = sampler.createBatch(30, "all");
    const at = (member: number, step: number) => {
      sampler.sampleInto(batch, member, step);
      return batch.tokens.slice();
    };
    const first = at(1, 4);
    for (const [member, step] of [
      [0, 9],
      [1, 3],
      [2, 4],
    ])
      at(member, step);
    expect(at(1, 4)).toEqual(first);
    const everyPrompt = () => Int32Array.from({ length: SIZE }, (_, i) => i);
    const other = new EpochOrder(3, everyPrompt);
    const order = new EpochOrder(2, everyPrompt);
    const epoch = (of: EpochOrder, e: number) =>
      Array.from({ length: SIZE }, (_, i) => of.at(0, e * SIZE + i));
    expect(epoch(order, 0)).not.toEqual(epoch(other, 0));
  });

  it("as the data of a posterior are not more than the pool", () => {
    const c = freshConfig({ task, training: { batchSize: 30 }, evaluation: { prompts: PROBES } });
    expect(recentBatches(c, 0, 50, 8).length).toBe(3);
    expect(recentBatches(c, 0, 50, 2).length).toBe(2);
  });
});

describe("probe set trainPrompts", () => {
  it("is there exactly if there is a pool, and leaves the other sets as they are", () => {
    const sets = (task: TaskConfig) => drawProbePrompts(task, 2, PROBES);
    const [with_, without] = [sets(config({ promptPool: 100 })), sets(config({}))];
    expect(without.map(({ name }) => name)).toEqual(["seenTasks", "unseenTasks"]);
    expect(with_.slice(0, 2)).toEqual(without);
    expect(with_[2].name).toBe("trainPrompts");
    const pool = poolOf(config({ promptPool: 100 }));
    expect(prompts(with_[2])).toEqual(prompts(pool).slice(0, PROBES));
    expect(with_[2].batch.tokens).toEqual(pool.batch.tokens.slice(0, PROBES * pool.batch.length));
    expect(drawProbePrompts(config({ promptPool: 10 }), 2, PROBES)[2].tasks.length).toBe(10);
  });

  it("has the ceiling of a look-up table: 1 but for prompts that begin alike and end differently", () => {
    const sets = (task: Partial<TaskConfig>) =>
      createProbeSets({ task: config(task), seed: 2, evaluation: { prompts: PROBES } });
    // After two different inputs the task is known.
    const [fresh, , known] = sets({ promptPool: 300 });
    expect(fresh.reference).not.toHaveProperty("lookUpCeiling");
    expect(known.reference.lookUpCeiling).toBe(1);
    // After one input it is not, if that is 0.
    const task = { examples: 2, modulus: 11, promptPool: 300 };
    const [, , { batch, reference }] = sets(task);
    const pool = poolOf(config(task)).batch;
    const endings = (start: string) =>
      rows(pool.tokens, 3).flatMap((other, i) => (other === start ? [pool.targets[2 * i + 1]] : []));
    const best = rows(batch.tokens, 3).map((start) => {
      const z = endings(start);
      return Math.max(...z.map((one) => z.filter((other) => other === one).length)) / z.length;
    });
    expect(Math.min(...best)).toBeLessThan(1);
    expect(reference.lookUpCeiling).toBeCloseTo(best.reduce((a, b) => a + b) / PROBES, 12);
  });

  it.each([false, true])(
    "has the exact references of what is trained on, noisyTargets %s",
    async (noisyTargets) => {
      const { exactPredictive } = await import("../src/tasks/exact.ts");
      const c = config({ promptPool: 60, trainNoise: 0.2, probeNoise: 0.05, noisyTargets });
      const family = new TaskFamily(c);
      const { train } = splitTasks(c, 2);
      const sets = createProbeSets({ task: c, seed: 2, evaluation: { prompts: PROBES } });
      const { references, reference, inputs, outputs, batch } = sets[2];
      expect(reference.prompts).toBe(PROBES);
      expect(batch.targets).toEqual(
        (noisyTargets ? poolOf(c).outputs : poolOf(c).batch.targets).slice(0, batch.targets.length),
      );
      const noise = { contextNoise: 0.2, targetNoise: noisyTargets ? 0.2 : 0 };
      for (let b = 0; b < PROBES; b++)
        for (let k = 0; k < 3; k++) {
          const context = {
            ...{ modulus: 7, variables: 1, ...noise, query: [inputs[b * 3 + k]] },
            inputs: Array.from({ length: k }, (_, i) => [inputs[b * 3 + i]]),
            outputs: [...outputs.subarray(b * 3, b * 3 + k)],
          };
          const at = (b * 3 + k) * 7;
          const prior = Array.from(train, (t) => family.task(t));
          expect(references.G.slice(at, at + 7)).toEqual(
            exactPredictive({ ...context, prior: "generalising" }),
          );
          expect(references.M.slice(at, at + 7)).toEqual(exactPredictive({ ...context, prior }));
        }
    },
  );
});
