/** Checkpoints and predictions between epigrok and PyTorch, where that is installed. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { createConfig, loadCheckpoint, runEnsemble } from "../src/index.ts";
import { checkpointFile } from "../src/run/files.ts";
import { epigrok } from "./fixtures/cli.ts";
import { python, pythonWithTorch } from "./fixtures/python.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const repository = resolve(import.meta.dirname, "..");
const settings = {
  task: { modulus: 5, variables: 2, trainTasks: 12, examples: 3 },
  training: { steps: 4, batchSize: 8, learningRate: 0.01 },
  evaluation: { every: 2, prompts: 8 },
  ensemble: { members: 2 },
  math: "strict",
} as const;
const shape = { dModel: 16, nHeads: 2, nLayers: 2, dMlp: 24 };
/** Every part that a model may have or not have. */
const models = {
  plain: { ...shape, actFn: "relu" },
  tied: { ...shape, actFn: "gelu", tiedEmbeddings: true, ropeBase: 10000 },
  roles: { ...shape, actFn: "silu", roleEmbedding: true },
} as const;

describe.skipIf(!pythonWithTorch)("PyTorch", () => {
  const tokens = [0, 1, 2, 3, 4, 0, 1, 2];
  const load = `
import json, sys, torch
sys.path.insert(0, "${join(repository, "interop")}")
from modeling import Transformer, load, read_safetensors, write_safetensors
`;

  beforeAll(async () => {
    for (const [name, model] of Object.entries(models))
      await runEnsemble(createConfig({ ...settings, model }), { out: join(root, name), workers: 1 });
  });

  it.each(Object.keys(models))("has the same logits: %s", async (name) => {
    const key = { step: 4, member: 1 };
    const { model } = await loadCheckpoint(join(root, name), key);
    const positions = Int32Array.from(tokens, (_, t) => t);
    const ours = model.logits({
      ...{ tokens: Int32Array.from(tokens), batchSize: 1, length: tokens.length },
      ...{ positions, targets: new Int32Array(tokens.length) },
    });
    const path = join(root, name, checkpointFile(key));
    const printed = python([
      "-c",
      `${load}print(json.dumps(load("${path}")(torch.tensor([[${tokens}]])).flatten().tolist()))`,
    ]);
    const theirs: number[] = JSON.parse(printed);
    expect(theirs).toHaveLength(ours.length);
    theirs.forEach((logit, i) => {
      expect(logit).toBeCloseTo(ours[i], 4);
    });
  });

  it("writes checkpoints that become a run", async () => {
    const path = join(root, "plain", checkpointFile({ step: 4, member: 0 }));
    // In half precision, and the second one another model.
    python(
      [
        "-c",
        `${load}
for member in range(2):
    tensors = {name: (t * (1 + member)).half() for name, t in read_safetensors("${path}").items()}
    write_safetensors(tensors, f"foreign-{member}.safetensors", step=30, member=member)`,
      ],
      { cwd: root },
    );
    writeFileSync(join(root, "mine.yaml"), stringify({ ...settings, model: models.plain }));
    const files = [0, 1].map((member) => `foreign-${member}.safetensors`);
    const args = ["import", ...files, "--config", "mine.yaml", "--out", "mine"];
    const { code, stderr } = await epigrok(args, { cwd: root });
    expect([code, stderr]).toEqual([0, "step 30\n"]);
    const verified = await epigrok(["verify", "mine"], { cwd: root });
    expect(verified.code).toBe(0);
    const diagnosed = await epigrok(["diagnose", "mine", "--json"], { cwd: root });
    const { evaluations } = JSON.parse(diagnosed.stdout);
    expect(evaluations).toMatchObject([{ step: 30, members: 2 }]);
    // The same distributions, but for the rounding of the weights.
    const original = await epigrok(["diagnose", "plain", "--json"], { cwd: root });
    const { classes } = JSON.parse(original.stdout);
    expect(classes).toBe(5);
  });

  it("trains the ensemble of the example, whose predictions are diagnosed", async () => {
    const script = join(repository, "examples/pytorch/train.py");
    const size = [
      "--modulus",
      "5",
      "--train-tasks",
      "16",
      "--examples",
      "4",
      "--d-model",
      "16",
      "--batch",
      "16",
    ];
    const course = ["--steps", "6", "--every", "3", "--members", "2", "--prompts", "10", "--device", "cpu"];
    const printed = python([script, ...size, ...course, "--out", "predictions.npz"], { cwd: root });
    expect(printed.trim().split("\n")).toHaveLength(3);
    const { code, stdout } = await epigrok(["diagnose", "--predictions", "predictions.npz", "--json"], {
      cwd: root,
    });
    expect(code).toBe(0);
    const { evaluations, ...result } = JSON.parse(stdout);
    expect(result).toMatchObject({ prompts: 10, classes: 5 });
    expect(evaluations.map(({ step }: { step: number }) => step)).toEqual([0, 3, 6]);
    for (const { accuracy, seenAccuracy } of evaluations) {
      expect(accuracy).not.toBeNull();
      expect(seenAccuracy).not.toBeNull();
    }
    // As it printed them itself.
    const last = /step 6 .* seen (\S+) unseen (\S+) members/.exec(printed)!;
    expect(evaluations[2].seenAccuracy).toBeCloseTo(Number(last[1]), 3);
    expect(evaluations[2].accuracy).toBeCloseTo(Number(last[2]), 3);
  });
});
