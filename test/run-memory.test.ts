/** What a run takes of the machine's memory: as told beforehand, and no more in the end than in the beginning. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { overrideLayer } from "../src/config/load.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { planRun } from "../src/run/plan.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const resolved = (settings: string[]) => resolveConfig(settings.map(overrideLayer));
const LARGE = ["model.dModel=256", "model.nLayers=4", "model.dMlp=1024"];

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
    ["of a large model", LARGE, 2],
    ["of IVON", [...LARGE, "training.optimizer=ivon", "training.weightDecay=1e-4"], 2],
    ["of dropout", [...LARGE, "model.dropout=0.1"], 2],
    ["of two threads that share a member", [...LARGE, "ensemble.members=1", "training.batchSize=4096"], 2],
    [
      "of a pool",
      [
        "task.modulus=29",
        "task.trainTasks=23",
        "task.promptPool=18000",
        "task.examples=2",
        "model.dModel=16",
      ],
      1,
    ],
    [
      "of many predictions",
      ["task.modulus=13", "task.examples=8", "model.dModel=16", "model.nHeads=2", "evaluation.prompts=4096"],
      1,
    ],
  ])(
    "%s is what it takes, to 15 percent",
    async (name, settings, workers) => {
      const all = [
        "task.modulus=7",
        "task.trainTasks=5",
        "task.examples=3",
        "training.steps=4",
        "training.batchSize=8",
        "evaluation.every=2",
        "task.promptPool=0",
      ].concat("evaluation.prompts=8", "ensemble.members=2", settings);
      const { memoryBytes } = await planRun(resolved(all), workers);
      const args = ["run", "--quiet", "--no-posterior", "--workers", String(workers)];
      const off = () => Math.abs(memoryBytes / taken - 1);
      // The peak has garbage on top that a busy machine collects late: the least of at most three is what it takes.
      let taken = Number.POSITIVE_INFINITY;
      for (let run = 0; run < 3 && taken > memoryBytes && off() >= 0.15; run++) {
        const out = join(root, `${name.replaceAll(" ", "-")}-${run}`);
        const given = [...args, "--out", out, ...all.flatMap((setting) => ["--set", setting])];
        const child = spawn(process.execPath, [cli, ...given], { stdio: "ignore" });
        taken = Math.min(taken, await peak(child, out));
        child.kill("SIGKILL");
      }
      expect(off(), `${memoryBytes} told, ${taken} taken`).toBeLessThan(0.15);
    },
    240_000,
  );
});

describe("a long run", () => {
  /**
   * In a process of its own, where garbage is collected, in the workers too (`--gc-interval`, in allocations): heaps grow as
   * long as nothing forces them.
   */
  const PROGRAM = `
    import { runEnsemble } from ${JSON.stringify(new URL("../dist/run/run.js", import.meta.url).href)};
    const [config, out] = process.argv.slice(1);
    const evaluated = ({ step }) => { gc(); console.log(step, process.memoryUsage.rss() / 2 ** 20); };
    await runEnsemble(JSON.parse(config), { out, workers: 2, observer: { evaluated } });`;

  it("takes no more memory after 20,000 steps than after 5000", () => {
    const config = resolved([
      ...[
        "task.modulus=7",
        "task.trainTasks=5",
        "task.examples=3",
        "task.promptPool=64",
        "training.batchSize=8",
      ],
      ...["model.dModel=8", "model.nHeads=2", "model.nLayers=1", "model.dMlp=8", "ensemble.members=2"],
      ...[
        "training.steps=20000",
        "evaluation.every=250",
        "evaluation.prompts=8",
        "checkpoints.schedule=last",
      ],
    ]);
    const garbage = ["--expose-gc", "--max-semi-space-size=2", "--gc-global", "--gc-interval=100000"];
    const flags = [...garbage, "--input-type=module", "--eval", PROGRAM];
    const args = [JSON.stringify(config), join(root, "long")];
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: "utf8" });
    const resident = new Map(
      stdout.split("\n").map((line) => line.split(" ").map(Number) as [number, number]),
    );
    expect(resident.has(20_000), stderr).toBe(true);
    const least = (last: number) =>
      Math.min(...Array.from({ length: 10 }, (_, i) => resident.get(last - 250 * i)!));
    expect(least(20_000) - least(5000), stdout).toBeLessThan(5);
  });
});
