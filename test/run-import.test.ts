/** Runs of checkpoints from elsewhere. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { createConfig, loadCheckpoint, readRun, runEnsemble, runPosteriors } from "../src/index.ts";
import { checkpointFile } from "../src/run/files.ts";
import { identifyCheckpoints } from "../src/run/foreign.ts";
import { importRun } from "../src/run/import.ts";
import { verifyRun } from "../src/run/verify.ts";
import { encodeSafetensors, type Tensor } from "../src/safetensors.ts";
import { epigrok } from "./fixtures/cli.ts";
import { noSmallDisk, smallDisk } from "./fixtures/small-disk.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const original = join(root, "original");
const settings = {
  task: { modulus: 5, variables: 1, zeroTask: true, trainTasks: 3, examples: 2, promptPool: 0 },
  model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
  training: { steps: 4, batchSize: 4 },
  evaluation: { every: 2, prompts: 6 },
  ensemble: { members: 2 },
  checkpoints: { schedule: "evaluations" },
  math: "strict",
} as const;
const config = createConfig(settings);
const files = [2, 4].flatMap((step) =>
  [0, 1].map((member) => join(original, checkpointFile({ step, member }))),
);
const options = { overrides: [], commandLine: [] };

beforeAll(() => runEnsemble(config, { out: original, workers: 1 }));

describe("a run of the checkpoints of another run", () => {
  const out = join(root, "imported");
  beforeAll(async () => {
    await importRun(config, await identifyCheckpoints(files, 4), { ...options, out });
  });

  it("has its checkpoints, predictions and measures at these steps", async () => {
    const [before, after] = [await readRun(original), await readRun(out)];
    expect(after.records.map(({ step }) => step)).toEqual([2, 4]);
    for (const record of after.records) {
      const same = before.records.find(({ step }) => step === record.step)!;
      expect(record.ensemble).toEqual(same.ensemble);
      expect(record.members.map(({ sets }) => sets)).toEqual(same.members.map(({ sets }) => sets));
      expect(record.members.map(({ loss }) => loss)).toEqual([null, null]);
      const name = `predictions/step-0000000${record.step}.safetensors`;
      expect(readFileSync(join(out, name))).toEqual(readFileSync(join(original, name)));
    }
    for (const file of files) expect(readFileSync(file.replace(original, out))).toEqual(readFileSync(file));
  });

  it("is whole, and can be reported and fitted like any other", async () => {
    expect(await verifyRun(out)).toMatchObject({ faults: [], sealed: true });
    await runPosteriors(out, {
      ...{ methods: ["laplace-diagonal"], steps: [4], members: 1, checkpoints: 0, workers: 1 },
    });
    const [fitted] = (await readRun(out)).posteriors;
    expect(fitted).toMatchObject({ step: 4 });
    expect((await epigrok(["report", out])).code).toBe(0);
  });

  it("that was cut off is made by the same command, and replaces nothing else", async () => {
    const cut = join(root, "cut");
    cpSync(out, cut, { recursive: true });
    rmSync(join(cut, "summary.json"));
    rmSync(join(cut, checkpointFile({ step: 4, member: 1 })));
    writeFileSync(join(cut, "notes.txt"), "mine");
    const metrics = readFileSync(join(cut, "metrics.jsonl"), "utf8");
    writeFileSync(join(cut, "metrics.jsonl"), metrics.slice(0, metrics.indexOf("\n") + 9));
    const given = await identifyCheckpoints(files, 4);
    const other = { ...config, seed: 9 };
    await expect(importRun(other, given, { ...options, out: cut })).rejects.toThrow(/already holds a run/);
    await importRun(config, given, { ...options, out: cut });
    expect(resultHashes(cut)).toEqual(resultHashes(out));
    expect(readFileSync(join(cut, "notes.txt"), "utf8")).toBe("mine");
    await expect(importRun(config, given, { ...options, out: cut })).rejects.toThrow(/already holds a run/);
  });

  it.skipIf(noSmallDisk)("on a full disk names the file, and is made once there is space", async () => {
    const disk = smallDisk("4m");
    const filler = join(disk, "filler");
    const place = join(disk, "imported");
    const given = await identifyCheckpoints(files, 4);
    const { bsize, bavail } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(bsize * (bavail - 6)));
    await expect(importRun(config, given, { ...options, out: place })).rejects.toThrow(
      /cannot write .*ENOSPC/,
    );
    rmSync(filler);
    await importRun(config, given, { ...options, out: place });
    expect(resultHashes(place)).toEqual(resultHashes(out));
  });

  it("is not trained on, nor trained again", async () => {
    const resumed = runEnsemble(config, { out, mode: "resume", workers: 1 });
    await expect(resumed).rejects.toThrow(/holds checkpoints from elsewhere .*: it cannot be trained on/);
    const again = verifyRun(out, { members: 1, until: 4, workers: 1 });
    await expect(again).rejects.toThrow(/how they were trained is not known/);
    expect((await epigrok(["status", out])).stdout).toMatch(/^finished/);
  });
});

describe("the command", () => {
  it("takes members and steps from the files", async () => {
    const path = join(root, "four.yaml");
    writeFileSync(path, stringify({ ...settings, ensemble: { members: 9 }, training: { batchSize: 4 } }));
    const out = join(root, "by-command");
    const { code, stdout, stderr } = await epigrok(["import", ...files, "--config", path, "--out", out]);
    expect([code, stderr]).toEqual([0, "step 2\nstep 4\n"]);
    expect(stdout).toContain(`run        ${out}`);
    const read = await readRun(out);
    expect(read.config).toMatchObject({ ensemble: { members: 2 }, training: { steps: 4 } });
    expect(existsSync(join(out, "report.html"))).toBe(true);
    const { model } = await loadCheckpoint(out, { step: 2, member: 1 });
    expect(model.getParameters()).toEqual(
      (await loadCheckpoint(original, { step: 2, member: 1 })).model.getParameters(),
    );
  });

  it("warns of checkpoints of different runs", async () => {
    const other = join(root, "other");
    await runEnsemble({ ...config, seed: 7 }, { out: other, workers: 1 });
    const path = join(root, "mixed.yaml");
    writeFileSync(path, stringify(settings));
    const mixed = [files[2], join(other, checkpointFile({ step: 4, member: 1 }))];
    const args = ["import", ...mixed, "--config", path, "--out", join(root, "mixed")];
    const { code, stderr } = await epigrok(args);
    expect(code).toBe(0);
    expect(stderr).toContain(`warning: ${mixed[1]} is of another run than ${mixed[0]}`);
  });

  it("wants a configuration and a directory", async () => {
    const { code, stderr } = await epigrok(["import", files[0]]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("Missing required arguments: config, out")]);
  });
});

describe("refusals", () => {
  const written = (name: string, tensors: [string, Tensor][], metadata = {}) => {
    const path = join(root, name);
    writeFileSync(path, encodeSafetensors(tensors, metadata));
    return path;
  };
  const tensorsOf = async (change: (tensor: Tensor, name: string) => Tensor | null) => {
    const { model } = await loadCheckpoint(original);
    const flat = model.getParameters();
    return model.parameters.flatMap(({ name, shape, offset, length }): [string, Tensor][] => {
      const tensor = change({ shape, data: flat.slice(offset, offset + length) }, name);
      return tensor ? [[name, tensor]] : [];
    });
  };

  it.each<[string, (tensor: Tensor, name: string) => Tensor | null, RegExp]>([
    [
      "a transposed matrix",
      (t, name) => (name.endsWith("c_proj.weight") ? { ...t, shape: [4, 16] } : t),
      /c_proj\.weight: got shape \[4,16\], must be \[8,8\]/,
    ],
    [
      "a missing tensor",
      (t, name) => (name === "lm_head.weight" ? null : t),
      /tensor lm_head\.weight of shape \[5,8\] is missing/,
    ],
    [
      "float64",
      (t) => ({ ...t, data: Float64Array.from(t.data as Float32Array) }),
      /is missing or not of float32 values/,
    ],
  ])("%s, before anything is written", async (name, change, message) => {
    const path = written(`${name}.safetensors`, await tensorsOf(change));
    const out = join(root, `from ${name}`);
    const importing = importRun(config, [{ path, step: 4, member: 0 }], { ...options, out });
    await expect(importing).rejects.toThrow(message);
    await expect(importing).rejects.toThrow(path);
    expect(existsSync(out)).toBe(false);
  });

  it("a directory that is not empty", async () => {
    const before = readdirSync(original);
    const importing = importRun(config, await identifyCheckpoints(files, 4), { ...options, out: original });
    await expect(importing).rejects.toThrow(/already holds a run/);
    expect(readdirSync(original)).toEqual(before);
  });

  it("an optimiser whose checkpoints are posteriors", async () => {
    const ivon = createConfig({
      ...settings,
      training: { steps: 4, batchSize: 4, optimizer: "ivon", learningRate: 0.1, weightDecay: 1e-4 },
    });
    const importing = importRun(ivon, await identifyCheckpoints(files, 4), {
      ...options,
      out: join(root, "i"),
    });
    await expect(importing).rejects.toThrow(/training\.optimizer: got ivon, must be adamw/);
  });

  it("files that do not go together", async () => {
    const copy = join(root, "copy", "step-2");
    mkdirSync(copy, { recursive: true });
    cpSync(files[0], join(copy, "member-0.safetensors"));
    const twice = identifyCheckpoints([files[0], join(copy, "member-0.safetensors")], 4);
    await expect(twice).rejects.toThrow(/it is of member 0 at step 2, as .* is/);
    await expect(identifyCheckpoints(files.slice(0, 3), 4)).rejects.toThrow(
      "at step 4 there are the members 0, must be 0 to 1, as at the other steps",
    );
    const lone = join(root, "copy", "step-2", "member-5.safetensors");
    cpSync(files[0], lone);
    await expect(identifyCheckpoints([lone], 4)).rejects.toThrow(
      /at step 2 there are the members 5, must be 0, the only one$/,
    );
    await expect(identifyCheckpoints([join(root, "none")], 4)).rejects.toThrow(/none: ENOENT/);
  });

  it("a step in the name of a folder above is none of the file", async () => {
    const folder = join(root, "step-9-of-10", "step-3");
    mkdirSync(folder, { recursive: true });
    cpSync(files[0], join(folder, "member-0.safetensors"));
    expect(await identifyCheckpoints([join(folder, "member-0.safetensors")], 4)).toMatchObject([
      { step: 3, member: 0 },
    ]);
  });

  it("metadata that are no numbers, by name", async () => {
    const tensors = await tensorsOf((t) => t);
    for (const step of ["abc", "-5", "1e300", "0x10", "", "4294967296"]) {
      const path = written("odd.safetensors", tensors, { step });
      await expect(identifyCheckpoints([path], 4)).rejects.toThrow(
        `${path}: metadata step: got "${step}", must be a whole number below 2^32`,
      );
    }
    const path = written("odd.safetensors", tensors, { member: "first" });
    await expect(identifyCheckpoints([path], 4)).rejects.toThrow(/metadata member: got "first"/);
  });

  it("a file given twice, also by another name", async () => {
    const path = written("twice.safetensors", await tensorsOf((t) => t));
    await expect(identifyCheckpoints([path, path], 4)).rejects.toThrow(`${path}: it is given twice`);
    symlinkSync(path, join(root, "link.safetensors"));
    const linked = identifyCheckpoints([path, join(root, "link.safetensors")], 4);
    await expect(linked).rejects.toThrow("link.safetensors: it is given twice");
  });

  it("another function of the same parameters", async () => {
    const gelu = { ...config, model: { ...config.model, actFn: "gelu" as const } };
    const out = join(root, "gelu");
    const importing = importRun(gelu, await identifyCheckpoints(files, 4), { ...options, out });
    await expect(importing).rejects.toThrow(/model\.actFn: got gelu, must be relu, of which/);
    expect(existsSync(out)).toBe(false);
  });

  it("names and metadata are told apart", async () => {
    const one = written("a.safetensors", await tensorsOf((t) => t), { step: "7", member: "1" });
    const other = written("b.safetensors", await tensorsOf((t) => t), { step: "7" });
    const key = ({ step, member }: { step: number; member: number }) => [step, member];
    expect((await identifyCheckpoints([other, one], 4)).map(key)).toEqual([
      [7, 0],
      [7, 1],
    ]);
    const bare = ["c", "d"].map((name) => join(root, `${name}.safetensors`));
    for (const path of bare) writeFileSync(path, encodeSafetensors(await tensorsOf((t) => t)));
    expect((await identifyCheckpoints(bare, 4)).map(key)).toEqual([
      [4, 0],
      [4, 1],
    ]);
  });
});
