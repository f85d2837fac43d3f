/** Runs whose members begin with the parameters of checkpoints. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type ConfigInput, createConfig, loadCheckpoint, runEnsemble } from "../src/index.ts";
import { checkpointFile, checkpointFolder, initialFile } from "../src/run/files.ts";
import { planRun } from "../src/run/plan.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS, freshConfig } from "./fixtures/config.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const source = join(root, "source");

const tiny = (initFrom?: string, extra: ConfigInput = {}) =>
  freshConfig({
    task: { modulus: 5, trainTasks: 3, examples: 2 },
    evaluation: { every: 2, prompts: 4 },
    ensemble: { members: 2 },
    checkpoints: { schedule: "evaluations" },
    math: "strict",
    ...extra,
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8, initFrom, ...extra.model },
    training: { steps: 4, batchSize: 4, ...extra.training },
  });

const run = (out: string, config = tiny(), extra: object = {}) =>
  runEnsemble(config, { out: join(root, out), workers: 1, ...extra });
const parameters = async (out: string, member: number, step: number) =>
  (await loadCheckpoint(join(root, out), { member, step })).model.getParameters();

beforeAll(() => run("source"));

describe("model.initFrom", () => {
  it("of a run gives each member the newest parameters of the same member", async () => {
    await run("whole", tiny(source));
    for (const member of [0, 1])
      expect(await parameters("whole", member, 0)).toEqual(await parameters("source", member, 4));
    expect(await parameters("whole", 0, 4)).not.toEqual(await parameters("source", 0, 4));
  });

  it("of a step's folder, or of a file for all members", async () => {
    await run("folder", tiny(join(source, checkpointFolder(2))));
    expect(await parameters("folder", 1, 0)).toEqual(await parameters("source", 1, 2));
    await run("file", tiny(join(source, checkpointFile({ step: 2, member: 1 }))));
    for (const member of [0, 1])
      expect(await parameters("file", member, 0)).toEqual(await parameters("source", 1, 2));
    // The prompts are each member's own.
    expect(await parameters("file", 0, 4)).not.toEqual(await parameters("file", 1, 4));
  });

  it("starts an IVON member with its first h", async () => {
    const training = { optimizer: "ivon", weightDecay: 0.001, learningRate: 0.1 } as const;
    const { status } = await run("ivon", tiny(source, { training: { steps: 4, batchSize: 4, ...training } }));
    expect(status).toBe("finished");
    expect(await parameters("ivon", 1, 0)).toEqual(await parameters("source", 1, 4));
  });

  it("is in the configuration only where it is set", () => {
    expect(createConfig().model).not.toHaveProperty("initFrom");
    expect(() => createConfig({ model: { initFrom: "" } })).toThrow(/model\.initFrom: got "" from settings/);
  });

  it("leaves copies, with which the run goes on to the same bytes when the checkpoints are gone", async () => {
    cpSync(source, join(root, "lent"), { recursive: true });
    const config = tiny(join(root, "lent"));
    await run("undisturbed", config);
    const stopped = await run("stopped", config, { signal: AbortSignal.abort() });
    expect(stopped.status).toBe("stopped");
    // As if it had been killed before any state was saved.
    rmSync(join(root, "stopped", "state"), { recursive: true, force: true });
    renameSync(join(root, "lent"), join(root, "gone"));
    const resumed = await run("stopped", config, { mode: "resume" });
    expect(resumed.status).toBe("finished");
    const results = (out: string) =>
      Object.entries(fileHashes(join(root, out))).filter(([name]) =>
        /^(checkpoints|init|predictions|metrics)/.test(name),
      );
    expect(results("stopped")).toEqual(results("undisturbed"));
    expect(results("stopped").filter(([name]) => name.startsWith("init"))).toHaveLength(2);
    rmSync(join(root, "stopped", initialFile(0)));
    rmSync(join(root, "stopped", "summary.json"));
    await expect(run("stopped", config, { mode: "resume" })).rejects.toThrow(/model\.initFrom: got .*lent/);
  });

  it("takes a file of 16-bit numbers from elsewhere", async () => {
    const bytes = readFileSync(join(source, checkpointFile({ step: 4, member: 0 })));
    const { tensors } = decodeSafetensors(bytes);
    const header: Record<string, object> = {};
    const halves: number[] = [];
    for (const [name, { shape, data }] of tensors) {
      const offset = 2 * halves.length;
      halves.push(...new Uint32Array((data as Float32Array).buffer).map((bits) => bits >>> 16));
      header[name] = { dtype: "BF16", shape, data_offsets: [offset, 2 * halves.length] };
    }
    const text = JSON.stringify(header);
    const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
    const path = join(root, "model.safetensors");
    writeFileSync(
      path,
      Buffer.concat([length, Buffer.from(text), new Uint8Array(Uint16Array.from(halves).buffer)]),
    );
    await run("half", tiny(path));
    const [exact, begun] = await Promise.all([parameters("source", 0, 4), parameters("half", 1, 0)]);
    const truncated = new Float32Array(
      new Uint32Array(exact.buffer).map((bits) => (bits >>> 16) * 2 ** 16).buffer,
    );
    expect(begun).toEqual(truncated);
  });
});

describe("refuses, before anything is written,", () => {
  const refused = async (config: ReturnType<typeof tiny>, message: RegExp) => {
    const out = join(root, "refused");
    await expect(run("refused", config)).rejects.toThrow(message);
    await expect(planRun(config, 1)).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
  };

  it("what is not there, or no checkpoint", async () => {
    await refused(tiny(join(root, "nothing")), /^model\.initFrom: got ".*nothing": no checkpoint: ENOENT/);
    mkdirSync(join(root, "empty"), { recursive: true });
    await refused(tiny(join(root, "empty")), /no checkpoint: .*empty is neither a run/);
    writeFileSync(join(root, "text"), "no tensors here");
    await refused(tiny(join(root, "text")), /text: damaged, not a valid safetensors file/);
  });

  it("a checkpoint of another model, by the tensor", async () => {
    await refused(tiny(source, { model: { dMlp: 16 } }), /mlp\.c_fc\.weight: got shape/);
    await refused(tiny(source, { model: { tiedEmbeddings: true } }), /lm_head\.weight is none of this model/);
    await refused(tiny(source, { model: { nLayers: 2 } }), /h\.1\..* missing/);
  });

  it("another function of the same parameters, by the settings that differ", async () => {
    const other = { actFn: "gelu", ropeBase: 100 } as const;
    await refused(
      tiny(source, { model: other }),
      /model\.actFn: got gelu, must be relu, .*; model\.ropeBase: got 100, must be 30, of which .*config\.json is/,
    );
    await refused(
      tiny(join(source, checkpointFile({ step: 2, member: 1 })), { model: { nHeads: 4 } }),
      /model\.nHeads: got 4, must be 2, of which .*config\.json is/,
    );
    // What says nothing of a model is none.
    const bare = join(root, "bare.safetensors");
    cpSync(join(source, checkpointFile({ step: 2, member: 1 })), bare);
    await planRun(tiny(bare, { model: other }), 1);
  });

  it("more members than there are", async () => {
    await refused(tiny(source, { ensemble: { members: 3 } }), /it has 2 members, and none for member 2/);
  });

  it("and keeps the run that it would have replaced", async () => {
    const before = fileHashes(source);
    const config = tiny(join(root, "nothing"));
    await expect(runEnsemble(config, { out: source, workers: 1, mode: "overwrite" })).rejects.toThrow(
      /initFrom/,
    );
    expect(fileHashes(source)).toEqual(before);
  });
});

describe("--init-from", () => {
  const settings = [
    ...FRESH_ASSIGNMENTS,
    ...[
      "task.modulus=5",
      "task.trainTasks=3",
      "task.examples=2",
      "evaluation.prompts=4",
      "ensemble.members=2",
    ],
    ...["model.dModel=8", "model.nHeads=2", "model.nLayers=1", "model.dMlp=8"],
    ...["training.steps=4", "training.batchSize=4"],
  ].flatMap((assignment) => ["--set", assignment]);

  it("is model.initFrom", async () => {
    const args = ["run", ...settings, "--init-from", "source", "--quiet", "--out", "from"];
    const { code, stderr } = await epigrok(args, { cwd: root });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { config } = JSON.parse(readFileSync(join(root, "from", "config.json"), "utf8"));
    expect(config.model.initFrom).toBe("source");
    expect(readdirSync(join(root, "from", "init"))).toEqual([
      "member-00.safetensors",
      "member-01.safetensors",
    ]);
  });

  it("names itself when it is wrong", async () => {
    const args = ["run", ...settings, "--init-from", "nowhere", "--out", "wrong"];
    const { code, stderr } = await epigrok(args, { cwd: root });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^epigrok: model\.initFrom: got "nowhere": no checkpoint: ENOENT.*\n$/);
    expect(existsSync(join(root, "wrong"))).toBe(false);
  });
});
