/** The search behind the presets goes by the events of a run. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import type { RunSummary } from "../src/run/records.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const search = fileURLToPath(new URL("../experiments/presets/search.mjs", import.meta.url));

const SETTINGS = [
  ...["task.modulus=5", "task.trainTasks=1", "task.examples=4"],
  ...["model.dModel=16", "model.nHeads=2", "model.nLayers=1", "model.dMlp=32"],
  ...["training.steps=100", "training.batchSize=64", "training.warmupSteps=10"],
  ...["training.learningRate=0.01", "training.weightDecay=0"],
  ...["evaluation.every=25", "evaluation.prompts=6", "math=strict"],
];

async function searched(name: string, settings: string[], ...flags: string[]) {
  writeFileSync(join(root, "settings.txt"), `${name} ${settings.join(" ")}\n`);
  const out = join(root, `${name}.tsv`);
  const given = [join(root, "settings.txt"), "--seeds", "0", "--out", out, ...flags];
  const { stdout } = await promisify(execFile)(process.execPath, [search, ...given]);
  const [head, ...rows] = readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  return { stdout, rows: rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [head[i], cell]))) };
}

it("tells when a single task is memorised, and that no other is learnt", async () => {
  const { rows, stdout } = await searched("one", SETTINGS);
  expect(rows).toHaveLength(1);
  expect(rows[0]).toMatchObject({ name: "one", seed: "0", steps: "100", memorised: "25", grokked: "-" });
  expect(rows[0]).toMatchObject({ seen: "1.000", "seen curve": "1.00 1.00 1.00 1.00", members: "1" });
  expect(rows[0]).toMatchObject({ generalised: "-", pool: "-", "MI peak": "-", "each member": "-" });
  expect(stdout).toBe("one seed 0, 100 steps: memorised 25, grokked -\n");
});

it("tells the events of an ensemble with a pool, as those of the run itself", async () => {
  const changed = ["task.trainTasks=3", "task.promptPool=90", "evaluation.prompts=8", "training.steps=300"];
  const pooled = [...SETTINGS, ...changed];
  const { rows, stdout } = await searched("pooled", pooled, "--members", "2");
  const set = [...FRESH_ASSIGNMENTS, ...pooled, "ensemble.members=2"].flatMap((item) => ["--set", item]);
  const flags = ["--out", join(root, "run"), "--json", "--quiet", "--no-posterior"];
  const run = await epigrok(["run", ...set, ...flags]);
  const summary = JSON.parse(run.stdout) as RunSummary;
  const short = ({ memorisedStep, generalisedStep, grokStep }: Partial<RunSummary>) =>
    [memorisedStep, generalisedStep, grokStep].map((step) => step ?? "-").join("/");
  const { memorisedStep, generalisedStep, grokStep, accuracy, mutualInformation, collapseStep } = summary;
  expect(memorisedStep).not.toBeNull();
  const [row] = rows;
  expect([row.memorised, row.generalised, row.grokked].join("/")).toBe(
    short({ memorisedStep, generalisedStep, grokStep }),
  );
  expect(row).toMatchObject({
    ...{ members: "2", steps: "300", collapse: String(collapseStep ?? "-") },
    MI: mutualInformation.final!.toFixed(3),
    "mean prediction": short(summary.meanPrediction!),
    "each member": summary.perMember.map(short).join(" "),
  });
  const median = summary.perMember.reduce((sum, m) => sum + m.accuracy.trainPrompts! / 2, 0);
  expect(row.pool).toBe(median.toFixed(3));
  expect(accuracy.trainPrompts).toBeGreaterThanOrEqual(median);
  expect(stdout).toContain(`memorised ${memorisedStep}, generalised ${generalisedStep ?? "-"}`);
  expect(stdout).toContain(`each member ${row["each member"]}`);
});

it("gives an older table its new columns and leaves its rows, and skips what is there", async () => {
  const old = [
    "name",
    "seed",
    "steps",
    "memorised",
    "grokked",
    "delay",
    "seen",
    "unseen",
    "ceiling",
    "TFLOP",
  ];
  const head = [...old, "seconds", "seen curve", "unseen curve", "settings"];
  const row = ["again", "0", ...Array(11).fill("1"), "a=b"];
  writeFileSync(join(root, "again.tsv"), `${head.join("\t")}\n${row.join("\t")}\n`);
  const { rows, stdout } = await searched("again", SETTINGS);
  expect({ rows, stdout }).toEqual({
    rows: [Object.fromEntries(head.map((column, i) => [column, row[i]]))],
    stdout: "",
  });
  const asEnsemble = await searched("again", SETTINGS, "--members", "2");
  expect(asEnsemble.rows.map(({ members }) => members)).toEqual([undefined, "2"]);
});
