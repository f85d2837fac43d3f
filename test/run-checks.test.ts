import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { overrideLayer } from "../src/config/load.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { planRun } from "../src/run/plan.ts";
import { runEnsemble } from "../src/run/run.ts";
import { reserveProbePrompts } from "../src/tasks/reserved.ts";
import { fakePool } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const resolved = (settings: string[]) =>
  resolveConfig(["task.promptPool=0", "task.examples=6", ...settings].map(overrideLayer));

describe("a setting that no machine could follow", () => {
  it.each([
    ["training.steps=1e12", /^training\.steps: got 1000000000000 from --set/],
    [
      "training.steps=2e8",
      /^evaluation\.every: got \d+ by default, must be at least 2000, .*training\.steps/,
    ],
    ["evaluation.prompts=1e9", /^evaluation\.prompts: got 1000000000 .*must be at most \d+, of \d+ tokens/],
    ["task.promptPool=1e12", /^task\.promptPool/],
    ["training.batchSize=4e9", /^training\.batchSize/],
  ])("%s is refused with the configuration", (setting, message) => {
    expect(() => resolved([setting])).toThrow(message);
    expect(() => resolved([setting])).toThrow(UsageError);
  });

  it.each([
    [["ensemble.members=1e9"], /would take about \d+ MiB of memory.*Choose a smaller/],
    [
      ["model.dropout=0.1", "evaluation.posteriorSamples=1e6", "evaluation.prompts=1e5"],
      /evaluation\.prompts \d+ it fits/,
    ],
    [["model.dModel=8192"], /4 GiB/],
  ])("%s is refused by a run and by its plan, before anything is written", async (settings, message) => {
    const config = resolved(settings);
    const out = join(root, "never");
    const createPool = () => fakePool();
    await expect(runEnsemble(config, { out, workers: 2, createPool })).rejects.toThrow(message);
    await expect(planRun(config, 2)).rejects.toThrow(message);
    await expect(planRun(config, 2)).rejects.toBeInstanceOf(UsageError);
    expect(existsSync(out)).toBe(false);
  });

  it("fits with the number of probe prompts that the refusal names", async () => {
    const settings = ["model.dropout=0.1", "evaluation.posteriorSamples=1e6"];
    const refused = await planRun(resolved([...settings, "evaluation.prompts=1e5"]), 4).catch(String);
    const [, prompts] = /evaluation\.prompts (\d+) it fits/.exec(refused as string)!;
    const config = resolved([
      ...settings,
      `evaluation.prompts=${prompts}`,
      "training.steps=1",
      "evaluation.every=1",
    ]);
    expect((await planRun({ ...config, model: { ...config.model, dModel: 16, dMlp: 16 } }, 1)).workers).toBe(
      1,
    );
  });
});

it("the plan of a run that is shorter than what is measured", async () => {
  const tiny = [
    "model.dModel=8",
    "model.nHeads=2",
    "model.nLayers=1",
    "model.dMlp=8",
    "training.batchSize=4",
  ];
  for (const schedule of ["warmup-stable-decay", "linear", "cosine"]) {
    const short = ["training.steps=4", "training.warmupSteps=0", `training.schedule=${schedule}`];
    const { secondsPerStep } = await planRun(resolved([...tiny, ...short, "evaluation.every=4"]), 1);
    expect(secondsPerStep).toBeGreaterThan(0);
  }
});

describe("probe sets too large for the family", () => {
  it.each([
    { modulus: 7, variables: 1, trainTasks: 3, examples: 2 },
    { modulus: 5, variables: 2, trainTasks: 3, examples: 2, distinctInputs: true },
    { modulus: 7, variables: 1, trainTasks: 5, examples: 3, trainNoise: 0.3, noisyTargets: true },
  ])("%o: the number that is named passes, and one more does not", (task) => {
    const config = configSchema.parse({ task: { promptPool: 0, ...task }, evaluation: { prompts: 300 } });
    const refusal = (prompts: number) =>
      reserveProbePrompts(config.task, config.seed, prompts).contradictions.map(({ allowed }) => allowed)[0];
    const enough = Number(/lower, about (\d+)/.exec(refusal(300))?.[1]);
    expect(enough).toBeGreaterThan(0);
    expect(refusal(enough)).toBeUndefined();
    expect(refusal(enough + 1)).toContain(`lower, about ${enough},`);
  });

  it("are refused by the plan of a run as by the run", async () => {
    const config = configSchema.parse({
      task: { modulus: 7, trainTasks: 3, examples: 2 },
      evaluation: { prompts: 300 },
    });
    const createPool = () => fakePool();
    const run = () => runEnsemble(config, { out: join(root, "never"), workers: 1, createPool });
    for (const refused of [run, () => planRun(config, 1)]) {
      await expect(refused()).rejects.toThrow(/^evaluation\.prompts: got 300, must be lower/);
      await expect(refused()).rejects.toBeInstanceOf(UsageError);
    }
    expect(existsSync(join(root, "never"))).toBe(false);
  });
});
