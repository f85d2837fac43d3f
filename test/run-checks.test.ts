import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { overrideLayer, resolveConfig } from "../src/config/load.ts";
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
    const run = runEnsemble(config, { out: join(root, "never"), workers: 1, createPool });
    for (const refused of [run, planRun(config, 1)]) {
      await expect(refused).rejects.toThrow(/^evaluation\.prompts: got 300, must be lower/);
      await expect(refused).rejects.toBeInstanceOf(UsageError);
    }
    expect(existsSync(join(root, "never"))).toBe(false);
  });
});

describe.runIf(existsSync("/proc/self/status"))("memory that a dry run tells", () => {
  const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
  /** The most that the process had in memory until the training was over. */
  const peak = async (child: ChildProcess, out: string): Promise<number> => {
    let most = 0;
    while (child.exitCode === null && !existsSync(join(out, "summary.json"))) {
      try {
        const [, size] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))!;
        most = Number(size) * 1024;
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return most;
  };

  it.each([
    ["of a small run", ["model.dModel=16", "model.nHeads=2", "model.nLayers=1", "model.dMlp=16"], 2],
    ["of a large model", ["model.dModel=256", "model.nLayers=4", "model.dMlp=1024", "ensemble.members=2"], 2],
    [
      "of many predictions",
      ["task.modulus=13", "task.examples=8", "model.dModel=16", "model.nHeads=2", "evaluation.prompts=4096"],
      1,
    ],
  ])(
    "%s is within 15 %% of what it takes",
    async (name, settings, workers) => {
      const all = [
        "task.modulus=7",
        "task.trainTasks=5",
        "task.examples=3",
        "training.steps=4",
        "training.batchSize=8",
        "evaluation.every=2",
      ].concat("evaluation.prompts=8", "ensemble.members=2", settings);
      const { memoryBytes } = await planRun(resolved(all), workers);
      const out = join(root, name.replaceAll(" ", "-"));
      const args = [
        "run",
        "--quiet",
        "--no-posterior",
        "--set",
        "task.promptPool=0",
        "--workers",
        String(workers),
        "--out",
        out,
      ];
      const child = spawn(process.execPath, [cli, ...args, ...all.flatMap((setting) => ["--set", setting])], {
        stdio: "ignore",
      });
      const taken = await peak(child, out);
      child.kill("SIGKILL");
      expect(Math.abs(memoryBytes / taken - 1), `${memoryBytes} told, ${taken} taken`).toBeLessThan(0.15);
    },
    240_000,
  );
});
