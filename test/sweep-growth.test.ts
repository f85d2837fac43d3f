/** What a sweep takes of the machine does not depend on how many runs it has. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ConfigInput } from "../src/config/schema.ts";
import { TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

/** Next to no training: what counts is beginning and ending. */
const SMALLEST = {
  ...TINY,
  task: { modulus: 5, trainTasks: 3, examples: 2, promptPool: 0 },
  model: { dModel: 8, nHeads: 1, nLayers: 1, dMlp: 8 },
  training: { ...TINY.training, steps: 2, batchSize: 4, warmupSteps: 1 },
  evaluation: { every: 2, prompts: 2 },
} satisfies ConfigInput;

/** In a process of its own, where garbage is collected: heaps grow as long as nothing forces them. */
const PROGRAM = `
  import { readdirSync } from "node:fs";
  import { runSweep } from ${JSON.stringify(new URL("../dist/sweep/sweep.js", import.meta.url).href)};
  const [input, out] = process.argv.slice(1);
  let ended = 0;
  const runEnded = () => {
    if (++ended % 25 !== 0) return;
    gc();
    console.log(ended, readdirSync("/proc/self/task").length, process.memoryUsage.rss() / 2 ** 20);
  };
  await runSweep(JSON.parse(input), { out, workers: 2, observer: { runEnded } });`;

it.runIf(existsSync("/proc/self/task"))(
  "a sweep of 500 runs has no more threads and memory in its last hundred than in its first",
  () => {
    const input = { set: SMALLEST, axes: { seed: "0..499" } };
    const flags = ["--expose-gc", "--max-semi-space-size=2", "--input-type=module", "--eval", PROGRAM];
    const args = [JSON.stringify(input), join(root, "sweep")];
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: "utf8" });
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" ").map(Number));
    expect(lines.at(-1)?.[0], stderr).toBe(500);
    /** The least of a hundred runs: collections of garbage come and go. */
    const least = (runs: number, column: number) =>
      Math.min(...lines.slice(runs / 25 - 4, runs / 25).map((line) => line[column]));
    expect(least(500, 1), stdout).toBeLessThanOrEqual(least(100, 1));
    expect(least(500, 2) - least(100, 2), stdout).toBeLessThan(15);
  },
  120_000,
);
