import { describe, expect, it } from "vitest";
import { type AnswerTable, answerTableSize, drawAnswerTable } from "../src/tasks/answer-table.ts";
import { exactPredictive } from "../src/tasks/exact.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { drawPromptPool } from "../src/tasks/prompt-pool.ts";
import { type TaskConfig, taskSchema } from "../src/tasks/settings.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";
import { FRESH } from "./fixtures/config.ts";

const PROBES = 16;
const SEED = 3;
const PAPER = { modulus: 29, variables: 2, trainTasks: 512, examples: 4, inputFraction: 0.8 } as const;

const taskOf = (task: object): TaskConfig =>
  taskSchema.parse({ ...FRESH.task, zeroTask: false, examples: 2, ...task });
const tableOf = (task: TaskConfig) => drawAnswerTable(task, SEED, PROBES);

interface Prompt {
  task: number;
  query: number;
  context: { inputs: number[]; outputs: number[] };
  last: number;
  target: number;
}

/** The prompts as their tokens tell them, with the row and column they stand for. */
function promptsOf(config: TaskConfig, { batch, cells, tasks, inputs }: AnswerTable): Prompt[] {
  const { variables: v, examples } = config;
  const family = new TaskFamily(config);
  return Array.from(cells, (cell, b) => {
    const tokens = [...batch.tokens.subarray(b * batch.length, (b + 1) * batch.length)];
    const input = (k: number) => family.inputIndex(tokens.slice(k * (v + 1), k * (v + 1) + v));
    const context = Array.from({ length: examples - 1 }, (_, k) => k);
    return {
      task: tasks[Math.floor(cell / inputs.length)],
      query: inputs[cell % inputs.length],
      context: { inputs: context.map(input), outputs: context.map((k) => tokens[k * (v + 1) + v]) },
      last: input(examples - 1),
      target: batch.targets[b],
    };
  });
}

const poolKeys = (task: TaskConfig) => {
  const { tasks, inputs } = drawPromptPool(task, SEED, PROBES)!;
  const n = task.examples;
  return new Set(Array.from(tasks, (t, b) => `${t}:${inputs.subarray(b * n, (b + 1) * n)}`));
};
const keyOf = ({ task, context, last }: Prompt) => `${task}:${[...context.inputs, last]}`;

describe("drawAnswerTable", () => {
  const quick = taskOf({ modulus: 29, trainTasks: 23, promptPool: 5500 });

  it("has all tasks and inputs of one variable, the seen ones first", () => {
    const { tasks, seenTasks, inputs, seenInputs, batch } = tableOf(quick);
    const { train, heldOut } = splitTasks(quick, SEED);
    expect([...tasks]).toEqual([...train, ...heldOut]);
    expect(seenTasks).toBe(23);
    expect([...inputs]).toEqual(Array.from({ length: 29 }, (_, i) => i));
    expect(seenInputs).toBe(29);
    expect([...batch.positions]).toEqual([2]);
  });

  it("asks each cell with a context outside the pool that leaves one answer, and that is the target", () => {
    const table = tableOf(quick);
    const fresh = promptsOf(quick, table).slice(0, table.cells.length - table.pooled);
    expect([...table.cells.subarray(0, fresh.length)]).toEqual(Array.from({ length: 28 * 29 }, (_, i) => i));
    const family = new TaskFamily(quick);
    const pool = poolKeys(quick);
    for (const prompt of fresh) {
      const { task, query, context, last, target } = prompt;
      expect(last).toBe(query);
      expect(context.inputs).not.toContain(query);
      expect(pool.has(keyOf(prompt))).toBe(false);
      expect(target).toBe(family.evaluate(family.task(task), family.input(query)));
      const exact = exactPredictive({
        ...{ modulus: 29, variables: 1, contextNoise: 0, prior: "generalising" },
        inputs: context.inputs.map((input) => family.input(input)),
        outputs: context.outputs,
        query: family.input(query),
      });
      expect(exact[target]).toBeCloseTo(1, 12);
    }
  });

  it("has a prompt of the pool for every cell of which there is one", () => {
    const table = tableOf(quick);
    const pooled = promptsOf(quick, table).slice(-table.pooled);
    const pool = drawPromptPool(quick, SEED, PROBES)!;
    const cells = new Set(Array.from(pool.tasks, (task, b) => `${task}:${pool.inputs[2 * b + 1]}`));
    expect(new Set(pooled.map(({ task, query }) => `${task}:${query}`))).toEqual(cells);
    expect(pooled).toHaveLength(cells.size);
    // x = 0 gives no task away: such a prompt stands for a cell without another one only.
    const useless = pooled.filter(({ context }) => context.inputs[0] === 0);
    for (const { task, query } of useless) {
      const all = Array.from(pool.tasks, (_, b) => b).filter(
        (b) => pool.tasks[b] === task && pool.inputs[2 * b + 1] === query,
      );
      expect(query === 0 || all.every((b) => pool.inputs[2 * b] === 0)).toBe(true);
    }
    const keys = poolKeys(quick);
    expect(pooled.every((prompt) => keys.has(keyOf(prompt)) && prompt.last === prompt.query)).toBe(true);
  });

  it("has no second prompts without a pool, and leaves out cells whose every context is in it", () => {
    expect(tableOf(taskOf({ modulus: 11, trainTasks: 8 })).pooled).toBe(0);
    // 4 tasks, 5 x 4 ordered pairs of inputs; the probe sets leave 72.
    const full = taskOf({ modulus: 5, trainTasks: 3, promptPool: 52 });
    const table = drawAnswerTable(full, SEED, 1);
    const fresh = table.cells.length - table.pooled;
    expect(fresh).toBeLessThan(4 * 5);
    const unseen = [...table.cells.subarray(0, fresh)].filter((cell) => cell >= 3 * 5);
    expect(unseen).toHaveLength(5);
  });

  it("samples tasks and directions of several variables in proportion, seen and unseen inputs apart", () => {
    const task = taskOf(PAPER);
    const { tasks, seenTasks, inputs, seenInputs } = tableOf(task);
    const family = new TaskFamily(task);
    const { train, heldOut } = splitTasks(task, SEED);
    const { seen, unseen } = splitInputs(task, SEED);
    expect([tasks.length, seenTasks, inputs.length]).toEqual([48, 29, 32]);
    expect([...tasks.subarray(0, seenTasks)].every((t) => train.includes(t))).toBe(true);
    expect([...tasks.subarray(seenTasks)].every((t) => heldOut.includes(t))).toBe(true);
    const columns = [inputs.subarray(0, seenInputs), inputs.subarray(seenInputs)];
    columns.forEach((column, i) => {
      expect(column.length).toBeGreaterThan(10);
      expect([...column].every((input) => [seen, unseen][i].includes(input))).toBe(true);
      const slopes = Array.from(column, (input) => {
        const [x, y] = family.input(input);
        return x === 0
          ? y === 0
            ? "zero"
            : "vertical"
          : Array.from({ length: 29 }, (_, s) => s).find((s) => (s * x - y) % 29 === 0);
      });
      expect(new Set(slopes).size).toBe(column.length);
    });
  });

  it("takes any multiple of a query from the pool", () => {
    const task = taskOf({ modulus: 5, variables: 2, trainTasks: 18, examples: 4, promptPool: 800 });
    const table = tableOf(task);
    const family = new TaskFamily(task);
    const pooled = promptsOf(task, table).slice(-table.pooled);
    for (const { task: own, query, last, target } of pooled) {
      const [[a, b], [c, d]] = [family.input(query), family.input(last)];
      expect(Math.abs(a * d - b * c) % 5).toBe(0);
      expect(target).toBe(family.evaluate(family.task(own), family.input(last)));
    }
    // 18 tasks, 6 directions and the zero input.
    expect(pooled.length).toBeGreaterThan(18 * 6);
    expect(pooled.some(({ query, last }) => query !== last)).toBe(true);
  });

  it("gives unseen queries contexts of unseen inputs", () => {
    const task = taskOf({ modulus: 11, trainTasks: 6, inputFraction: 0.6, examples: 3 });
    const table = tableOf(task);
    const { seen, unseen } = splitInputs(task, SEED);
    expect(table.inputs.length - table.seenInputs).toBe(unseen.length);
    for (const { query, context } of promptsOf(task, table)) {
      const from = unseen.includes(query) ? unseen : seen;
      expect(context.inputs.every((input) => from.includes(input))).toBe(true);
    }
  });

  it("is the same again, another for another seed, and no larger than said", () => {
    expect(tableOf(quick)).toEqual(tableOf(quick));
    expect(drawAnswerTable(quick, SEED + 1, PROBES)).not.toEqual(tableOf(quick));
    for (const task of [quick, taskOf(PAPER), taskOf({ modulus: 97, trainTasks: 60 })])
      expect(tableOf(task).cells.length).toBeLessThanOrEqual(answerTableSize(task));
    expect(tableOf(taskOf({ modulus: 97, trainTasks: 60 })).cells).toHaveLength(48 * 32);
    expect(answerTableSize(taskOf(PAPER))).toBe(48 * 32);
  });
});
