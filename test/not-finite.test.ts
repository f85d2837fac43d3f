/** Numbers that are not finite: of a member, which drops out, or in files, which are refused. */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { predictPrompts } from "../src/analysis/predict.ts";
import { type ConfigInput, createConfig, runEnsemble } from "../src/index.ts";
import { checkpointFile, checkpointFolder } from "../src/run/files.ts";
import { findCheckpoints, readModel } from "../src/run/find-checkpoints.ts";
import { importRun } from "../src/run/import.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import { parsePrompts } from "../src/tasks/prompt-text.ts";
import { epigrok } from "./fixtures/cli.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const original = join(root, "original");
const checkpoint = join(original, checkpointFile({ step: 4, member: 0 }));

const tiny = (extra: ConfigInput = {}) =>
  createConfig({
    task: { modulus: 5, trainTasks: 3, examples: 2, promptPool: 0 },
    evaluation: { every: 2, prompts: 4 },
    ensemble: { members: 2 },
    math: "strict",
    ...extra,
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8, ...extra.model },
    training: { steps: 4, batchSize: 4, warmupSteps: 0, ...extra.training },
  });

beforeAll(() => runEnsemble(tiny(), { out: original, workers: 1 }));

describe("a member", () => {
  const ivon = { optimizer: "ivon", weightDecay: 1e-4 } as const;
  it.each<[string, ConfigInput, number]>([
    ["from the beginning", { model: { initStd: 3e38 } }, 0],
    ["with dropout", { model: { initStd: 3e38, dropout: 0.2 } }, 0],
    ["with a posterior", { model: { initStd: 3e38 }, training: ivon }, 0],
    ["after a step", { training: { learningRate: 1e30 }, evaluation: { every: 1, prompts: 4 } }, 1],
  ])("%s drops out, for good", async (name, extra, step) => {
    const out = join(root, name);
    const { status, summary } = await runEnsemble(tiny(extra), { out, workers: 1 });
    expect(status).toBe("finished");
    expect(summary!.perMember[0].failedStep).toBe(step);
    expect(summary!.verdict).toContain(`Member 0: the predictions became non-finite at step ${step}.`);
    const resumed = await runEnsemble(tiny(extra), { out, workers: 1, mode: "resume" });
    expect(resumed.summary).toEqual(summary);
  });
});

/** The checkpoint with another value in one place of a tensor, or of all. */
function changed(name: string, value: number, everywhere = false): string {
  const { tensors, metadata } = decodeSafetensors(readFileSync(checkpoint));
  const { sha256: _, ...others } = metadata;
  for (const [tensor, { data }] of tensors)
    if (everywhere && data instanceof Float32Array) data.fill(value);
    else if (tensor === "lm_head.weight") data[3] = value;
  const path = join(root, name);
  writeFileSync(path, encodeSafetensors(tensors, others));
  return path;
}

/** The checkpoint as 16-bit floats, all of one pattern. */
function halves(name: string, bits: number): string {
  const header: Record<string, object> = {};
  let size = 0;
  for (const [tensor, { shape, data }] of decodeSafetensors(readFileSync(checkpoint)).tensors) {
    header[tensor] = { dtype: "F16", shape, data_offsets: [size, size + 2 * data.length] };
    size += 2 * data.length;
  }
  const text = JSON.stringify(header);
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  const path = join(root, name);
  const values = new Uint8Array(new Uint16Array(size / 2).fill(bits).buffer);
  writeFileSync(path, Buffer.concat([length, Buffer.from(text), values]));
  return path;
}

describe("a file", () => {
  const values = (path: string, tensor: string) => `${path}: tensor ${tensor} has values that are not finite`;
  const first = () => [...decodeSafetensors(readFileSync(checkpoint)).tensors.keys()][0];

  it("is nothing to begin with", async () => {
    for (const [path, tensor] of [
      [changed("nan", Number.NaN), "lm_head.weight"],
      [changed("infinite", Infinity), "lm_head.weight"],
      [halves("half", 0x7c00), first()],
    ]) {
      const out = join(root, "begun");
      const begun = runEnsemble(tiny({ model: { initFrom: path } }), { out, workers: 1 });
      await expect(begun).rejects.toThrow(`model.initFrom: got "${path}": ${values(path, tensor)}`);
      expect(existsSync(out)).toBe(false);
    }
  });

  it("is not imported, nor if what it predicts is not finite", async () => {
    for (const [path, message] of [
      [changed("i-nan", Number.NaN), "tensor lm_head.weight has values that are not finite"],
      [halves("i-half", 0xfc00), "has values that are not finite"],
      [changed("i-huge", 1e30, true), "what it predicts is not finite"],
    ]) {
      const out = join(root, "imported");
      const options = { out, overrides: [], commandLine: [] };
      const imported = importRun(tiny(), [{ path, step: 4, member: 0 }], options);
      await expect(imported).rejects.toThrow(message);
      await expect(imported).rejects.toThrow(path);
      expect(existsSync(out)).toBe(false);
    }
  });

  it("is not predicted with", async () => {
    const folder = join(original, checkpointFolder(4));
    cpSync(join(folder, "config.json"), join(root, "config.json"));
    const prompts = join(root, "prompts.jsonl");
    writeFileSync(prompts, "[1,2,3]\n");
    const path = changed("p-nan.safetensors", Number.NaN);
    const { code, stdout, stderr } = await epigrok(["predict", path, prompts]);
    expect([code, stdout, stderr]).toEqual([
      2,
      "",
      `epigrok: ${values(path, "lm_head.weight")}: NaN at index 3\n`,
    ]);

    const huge = changed("p-huge.safetensors", 1e30, true);
    const found = await findCheckpoints(huge);
    const model = await readModel(found);
    const written = parsePrompts("[1,2,3]", "jsonl", model.task, "p");
    await expect(predictPrompts(found, model, written, "last")).rejects.toThrow(
      `${huge}: what it predicts is not finite`,
    );
  });
});
