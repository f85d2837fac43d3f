/** The search behind the presets goes by the events of a run. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const search = fileURLToPath(new URL("../experiments/presets/search.mjs", import.meta.url));

it("tells when a single task is memorised, and that no other is learnt", async () => {
  const settings = [
    ...["task.modulus=5", "task.trainTasks=1", "task.examples=4"],
    ...["model.dModel=16", "model.nHeads=2", "model.nLayers=1", "model.dMlp=32"],
    ...["training.steps=100", "training.batchSize=64", "training.warmupSteps=10"],
    ...["training.learningRate=0.01", "training.weightDecay=0"],
    ...["evaluation.every=25", "evaluation.prompts=6", "math=strict"],
  ];
  writeFileSync(join(root, "settings.txt"), `one ${settings.join(" ")}\n`);
  const out = join(root, "results.tsv");
  await promisify(execFile)(process.execPath, [
    search,
    join(root, "settings.txt"),
    "--seeds",
    "0",
    "--out",
    out,
  ]);
  const [head, ...rows] = readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  const [row] = rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [head[i], cell])));
  expect(row).toMatchObject({ name: "one", seed: "0", steps: "100", memorised: "25", grokked: "-" });
  expect(row).toMatchObject({ seen: "1.000", "seen curve": "1.00 1.00 1.00 1.00" });
});
