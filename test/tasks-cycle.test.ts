/** Prompts asked back: what they ask, who comes back, and how often the exact predictor does. */
import { describe, expect, it } from "vitest";
import type { ConfigInput } from "../src/config/schema.ts";
import { askedBack, cycleCeiling, shownFirst } from "../src/tasks/cycle.ts";
import { exactPredictive } from "../src/tasks/exact.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { drawProbePrompts, type ProbePrompts } from "../src/tasks/probe-prompts.ts";
import { freshConfig } from "./fixtures/config.ts";

const cases: [string, ConfigInput["task"]][] = [
  ["two examples", { modulus: 7, trainTasks: 4 }],
  ["three of two variables", { modulus: 5, variables: 2, trainTasks: 12, examples: 3 }],
  ["a constant, noise", { modulus: 5, constantTerm: true, trainTasks: 12, examples: 4, probeNoise: 0.3 }],
  ["repeated inputs", { modulus: 3, trainTasks: 1, examples: 2, distinctInputs: false }],
];

function unseenOf(input: ConfigInput["task"]) {
  const { task } = freshConfig({ task: input });
  return { task, probe: drawProbePrompts(task, 3, 40)[1] };
}

/** (n) inputs and (n - 1) outputs of prompt b. */
function read({ tokens, length }: ProbePrompts["batch"], b: number, variables: number) {
  const own = Array.from(tokens.subarray(b * length, (b + 1) * length));
  const inputs: number[][] = [];
  const outputs: number[] = [];
  while (own.length > 0) {
    inputs.push(own.splice(0, variables));
    outputs.push(...own.splice(0, 1));
  }
  return { inputs, outputs };
}

describe.each(cases)("%s", (_, input) => {
  const { task, probe } = unseenOf(input);
  const { batch } = probe;
  const { variables, modulus, examples } = task;
  const family = new TaskFamily(task);
  const right = batch.targets.filter((_, i) => i % examples === examples - 1);

  it("has query and answer in place of the first example, and that one's input as the query", () => {
    const answers = right.map((z) => (z + 1) % modulus);
    const back = askedBack(batch, variables, answers);
    expect(back.positions).toEqual(batch.positions.slice(-1));
    for (let b = 0; b < batch.batchSize; b++) {
      const before = read(batch, b, variables);
      const after = read(back, b, variables);
      expect(after.inputs).toEqual([
        before.inputs[examples - 1],
        ...before.inputs.slice(1, -1),
        before.inputs[0],
      ]);
      expect(after.outputs).toEqual([answers[b], ...before.outputs.slice(1)]);
      expect(back.targets[b]).toBe(before.outputs[0]);
    }
    const again = askedBack({ ...back, positions: batch.positions }, variables, shownFirst(batch, variables));
    expect(again.tokens).toEqual(batch.tokens);
  });

  it("comes back with a prompt's own task, and with another one where they agree", () => {
    const back = (of: (b: number) => number) => {
      const says = (prompt: ProbePrompts["batch"], b: number) =>
        family.evaluate(family.task(of(b)), read(prompt, b, variables).inputs[examples - 1]);
      const answers = Int32Array.from({ length: batch.batchSize }, (_, b) => says(batch, b));
      const asked = askedBack(batch, variables, answers);
      return Array.from(answers, (_, b) => says(asked, b));
    };
    const shown = Array.from({ length: batch.batchSize }, (_, b) =>
      family.evaluate(family.task(probe.tasks[b]), read(batch, b, variables).inputs[0]),
    );
    expect(back((b) => probe.tasks[b])).toEqual(shown);
    const other = (b: number) => (probe.tasks[b] === family.taskCount - 1 ? 0 : family.taskCount - 1);
    expect(back(other).filter((z, b) => z === shown[b]).length).toBeLessThan(batch.batchSize / 2);
  });

  it("lets the exact predictor come back as often as counted", () => {
    const predict = ({ inputs, outputs }: ReturnType<typeof read>) =>
      exactPredictive({
        ...task,
        ...{ contextNoise: task.probeNoise, prior: "generalising" },
        ...{ inputs: inputs.slice(0, -1), outputs, query: inputs[inputs.length - 1] },
      });
    const answers = Int32Array.from({ length: batch.batchSize }, (_, b) => {
      const p = predict(read(batch, b, variables));
      return p.indexOf(Math.max(...p));
    });
    const back = askedBack(batch, variables, answers);
    let sum = 0;
    for (let b = 0; b < batch.batchSize; b++) {
      const p = predict(read(back, b, variables));
      const best = Math.max(...p) * (1 - 1e-12);
      if (p[back.targets[b]] >= best) sum += 1 / p.filter((each) => each >= best).length;
    }
    const ceiling = cycleCeiling(task, probe);
    expect(ceiling).toBeCloseTo(sum / batch.batchSize, 12);
    expect(ceiling).toBeGreaterThan(2 / modulus);
  });
});
