import { describe, expect, it } from "vitest";
import type { ConfigInput } from "../src/config/schema.ts";
import { exactPosterior, exactPredictive } from "../src/tasks/exact.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import type { TaskConfig } from "../src/tasks/settings.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";
import { freshConfig } from "./fixtures/config.ts";

const config = (task: ConfigInput["task"], prompts = 40, seed = 0) =>
  freshConfig({ seed, task, evaluation: { prompts } });

const cases: [string, ConfigInput["task"]][] = [
  ["v = 1", { modulus: 11, trainTasks: 7, examples: 4 }],
  [
    "v = 1, constant, noise",
    { modulus: 5, constantTerm: true, trainTasks: 12, examples: 5, probeNoise: 0.2 },
  ],
  [
    "products",
    { family: "bilinear", modulus: 5, variables: 2, trainTasks: 60, examples: 6, probeNoise: 0.1 },
  ],
  ["v = 2, unseen inputs", { modulus: 5, variables: 2, trainTasks: 12, examples: 6, inputFraction: 0.6 }],
  [
    "v = 2, unseen inputs, noise, repeats",
    {
      modulus: 5,
      variables: 2,
      trainTasks: 12,
      examples: 6,
      inputFraction: 0.6,
      probeNoise: 0.3,
      distinctInputs: false,
    },
  ],
];

describe.each(cases)("createProbeSets, %s", (_, task) => {
  const c = config(task);
  const family = new TaskFamily(c.task);
  const sets = createProbeSets(c);
  const { train, heldOut } = splitTasks(c.task, c.seed);
  const { seen, unseen } = splitInputs(c.task, c.seed);
  const { modulus: p, variables, examples } = c.task;

  it("has the right sets, fixed by the seed", () => {
    expect(sets.map(({ name }) => name)).toEqual(
      c.task.inputFraction < 1
        ? ["seenTasks", "unseenTasks", "seenTasksUnseenInputs", "unseenTasksUnseenInputs"]
        : ["seenTasks", "unseenTasks"],
    );
    expect(createProbeSets(c)).toEqual(sets);
    expect(createProbeSets({ ...c, seed: 1 })[0].batch.tokens).not.toEqual(sets[0].batch.tokens);
    expect(sets[1].batch.tokens).not.toEqual(sets[0].batch.tokens);
  });

  it("takes tasks and inputs from its side of the splits, with clean targets and the context as fed", () => {
    for (const { name, batch, tasks, inputs, outputs } of sets) {
      const taskPool = new Set(name.startsWith("seen") ? train : heldOut);
      const inputPool = new Set(name.endsWith("UnseenInputs") ? unseen : seen);
      let replaced = 0;
      for (let b = 0; b < batch.batchSize; b++) {
        expect(taskPool.has(tasks[b])).toBe(true);
        const own = inputs.subarray(b * examples, (b + 1) * examples);
        if (c.task.distinctInputs) expect(new Set(own).size).toBe(examples);
        for (let k = 0; k < examples; k++) {
          const row = b * examples + k;
          expect(inputPool.has(own[k])).toBe(true);
          const target = batch.targets[row];
          expect(target).toBe(family.evaluate(family.task(tasks[b]), family.input(own[k])));
          const at = b * batch.length + k * (variables + 1);
          expect([...batch.tokens.subarray(at, at + variables)]).toEqual(family.input(own[k]));
          if (k < examples - 1) expect(batch.tokens[at + variables]).toBe(outputs[row]);
          else expect(outputs[row]).toBe(target);
          if (outputs[row] !== target) replaced++;
        }
      }
      const n = batch.batchSize * (examples - 1);
      const { probeNoise } = c.task;
      expect(Math.abs(replaced - n * probeNoise)).toBeLessThanOrEqual(
        5 * Math.sqrt(n * probeNoise * (1 - probeNoise)),
      );
    }
  });

  it("has the references of exactPredictive at every position", () => {
    const prior = Array.from(train, (t) => family.task(t));
    for (const { batch, inputs, outputs, references } of sets) {
      for (let b = 0; b < 10; b++) {
        for (let k = 0; k < examples; k++) {
          const row = b * examples + k;
          const context = {
            family: c.task.family,
            modulus: p,
            variables,
            constantTerm: c.task.constantTerm,
            contextNoise: c.task.probeNoise,
            inputs: Array.from({ length: k }, (_, i) => family.input(inputs[b * examples + i])),
            outputs: [...outputs.subarray(b * examples, row)],
          };
          const query = family.input(inputs[row]);
          const slice = (all: Float64Array) => all.slice(row * p, (row + 1) * p);
          expect(slice(references.G)).toEqual(exactPredictive({ ...context, query, prior: "generalising" }));
          expect(slice(references.M)).toEqual(exactPredictive({ ...context, query, prior }));
          expect(references.supportM[row]).toBe(exactPosterior({ ...context, prior }).support ? 1 : 0);
        }
      }
      expect(references.G.length).toBe(batch.batchSize * examples * p);
    }
  });

  it("summarises the references", () => {
    for (const { batch, references, reference } of sets) {
      const rows = Array.from({ length: batch.batchSize * examples }, (_, row) => ({
        k: row % examples,
        target: batch.targets[row],
        g: [...references.G.subarray(row * p, (row + 1) * p)],
        m: [...references.M.subarray(row * p, (row + 1) * p)],
        support: references.supportM[row],
      }));
      const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
      const last = rows.filter(({ k }) => k === examples - 1);
      expect(reference).toMatchObject({ prompts: batch.batchSize, positions: examples, chance: 1 / p });
      reference.ceilingByPosition.forEach((ceiling, k) => {
        expect(ceiling).toBeCloseTo(mean(rows.filter((r) => r.k === k).map(({ g }) => Math.max(...g))), 12);
      });
      expect(reference.ceiling).toBe(reference.ceilingByPosition[examples - 1]);
      expect(reference.supportM).toBeCloseTo(mean(last.map(({ support }) => support)), 12);
      expect(reference.entropyG).toBeCloseTo(
        mean(last.map(({ g }) => g.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0))),
        12,
      );
      const hits = last.map(({ m, target }) => {
        const best = m.filter((x) => x > Math.max(...m) - 1e-9);
        return m[target] > Math.max(...m) - 1e-9 ? 1 / best.length : 0;
      });
      expect(reference.memorisingAccuracy).toBeCloseTo(mean(hits), 12);
    }
  });
});

describe("references as predictors", () => {
  it("M is calibrated on seen tasks under noise: its log loss is its entropy, its accuracy its expected maximum", () => {
    const c = config({ modulus: 7, variables: 2, trainTasks: 30, examples: 5, probeNoise: 0.3 }, 3000);
    const [{ batch, references, reference }] = createProbeSets(c);
    const p = 7;
    const losses: number[] = [];
    const maxima: number[] = [];
    for (let b = 0; b < 3000; b++) {
      const row = b * 5 + 4;
      const m = references.M.subarray(row * p, (row + 1) * p);
      losses.push(
        -Math.log(m[batch.targets[row]]) - m.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0),
      );
      maxima.push(Math.max(...m));
    }
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const sd = Math.sqrt(mean(losses.map((x) => x * x)) / 3000);
    expect(Math.abs(mean(losses))).toBeLessThan(4 * sd);
    const accuracy = mean(maxima);
    expect(Math.abs(reference.memorisingAccuracy - accuracy)).toBeLessThan(
      4 * Math.sqrt((accuracy * (1 - accuracy)) / 3000),
    );
  });

  it("without noise M knows the seen tasks and G, given a basis, every task; M has no support on unseen ones", () => {
    const [seenTasks, unseenTasks] = createProbeSets(config({ modulus: 11, trainTasks: 7, examples: 4 }));
    expect(seenTasks.reference).toMatchObject({
      memorisingAccuracy: 1,
      ceiling: 1,
      entropyG: 0,
      supportM: 1,
    });
    expect(unseenTasks.reference).toMatchObject({ ceiling: 1, entropyG: 0, supportM: 0 });
    expect(unseenTasks.reference.memorisingAccuracy).toBeLessThan(0.5);
  });

  it("the paper's family, noisy and with unseen inputs, has four sets", () => {
    const task = {
      modulus: 29,
      variables: 2,
      trainTasks: 512,
      examples: 32,
      inputFraction: 0.8,
      probeNoise: 0.1,
    };
    expect(createProbeSets(config(task, 256)).length).toBe(4);
  });

  it("refuses what validateTask refuses", () => {
    const c = config({ modulus: 11, trainTasks: 7, examples: 3 });
    const probes = (task: Partial<TaskConfig>) => createProbeSets({ ...c, task: { ...c.task, ...task } });
    expect(() => probes({ modulus: 9 })).toThrow(/task\.modulus/);
    expect(() => probes({ inputFraction: 0.8 })).toThrow(/task\.examples.*at most 2/);
  });
});
