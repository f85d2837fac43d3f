import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createWorkerPool } from "../src/pool/pool.ts";
import { runHash } from "../src/run/identity.ts";
import { encodeObject } from "../src/run/json.ts";
import type { RunObserver } from "../src/run/observer.ts";
import { readManifest } from "../src/run/read.ts";
import type { MetricsRecord, RunSummary } from "../src/run/records.ts";
import { type RunOptions, runEnsemble } from "../src/run/run.ts";
import { survived } from "../src/run/summary.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { estimateCost } from "../src/training/cost.ts";
import { type FakeOptions, fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { dropLastLine, fileHashes, resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const config = fakeConfig(4, { evaluation: { every: 4, savePredictions: "all" }, checkpoints: { keep: 4 } });
let directories = 0;
const fresh = () => join(root, `run-${directories++}`);

interface Settings extends Partial<RunOptions> {
  fake?: FakeOptions;
  delay?: Parameters<typeof fakePool>[0];
}

const run = ({ fake, delay, ...options }: Settings = {}, settings = config) =>
  runEnsemble(settings, {
    out: options.out ?? fresh(),
    workers: 2,
    createPool: () => fakePool(delay, fake),
    ...options,
  });

const metrics = (dir: string): MetricsRecord[] =>
  readFileSync(join(dir, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("runEnsemble", async () => {
  const reference = await run({ workers: 1 });
  const expected = resultHashes(reference.runDir);

  it("writes the run directory", async () => {
    const files = Object.keys(fileHashes(reference.runDir));
    expect(files).not.toContain("lock");
    expect(files).toEqual(
      expect.arrayContaining([
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "timing.jsonl",
      ]),
    );
    expect(metrics(reference.runDir).map((r) => r.step)).toEqual([0, 4, 8, 12, 16, 20]);
    const manifest = await readManifest(reference.runDir);
    expect(manifest?.config).toEqual(config);
    const environment = JSON.parse(readFileSync(join(reference.runDir, "environment.json"), "utf8"));
    expect(environment).toMatchObject({
      node: process.version,
      wasmSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it("reports means over each interval, and no wall-clock time", () => {
    const [first, second] = metrics(reference.runDir);
    expect(first.members.map((m) => m.loss)).toEqual([null, null, null, null]);
    expect(second.members.map((m) => m.member)).toEqual([0, 1, 2, 3]);
    expect(second.tokens).toBe(4 * estimateCost(config).tokensPerStep);
    expect(Object.keys(second).sort()).toEqual([
      "ensemble",
      "learningRate",
      "members",
      "run",
      "sha256",
      "step",
      "tokens",
      "version",
    ]);
    const timing = readFileSync(join(reference.runDir, "timing.jsonl"), "utf8").trimEnd().split("\n");
    expect(timing.map((line) => JSON.parse(line).step)).toEqual([0, 4, 8, 12, 16, 20]);
  });

  it("keeps log-spaced checkpoints of all members, with parameters by name", () => {
    const steps = new Set(Object.keys(expected).flatMap((path) => path.match(/step-\d+(?=\/)/) ?? []));
    expect([...steps]).toEqual(["step-00000000", "step-00000004", "step-00000008", "step-00000020"]);
    const folder = join(reference.runDir, "checkpoints", "step-00000008");
    const { metadata, tensors } = decodeSafetensors(readFileSync(join(folder, "member-03.safetensors")));
    expect(metadata).toEqual({
      ...{ format: "pt", step: "8", member: "3", run: runHash(config) },
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(tensors.get("transformer.wte.weight")?.shape).toEqual([5, 8]);
    const elements = [...tensors.values()].reduce((sum, { data }) => sum + data.length, 0);
    expect(elements).toBe(estimateCost(config).parameters);
    expect(JSON.parse(readFileSync(join(folder, "config.json"), "utf8"))).toMatchObject({
      dModel: 8,
      dVocab: 5,
      step: 8,
    });
  });

  it("keeps predictions as (members, prompts, positions, classes), or of the last position", async () => {
    const file = join("predictions", "step-00000012.safetensors");
    const all = decodeSafetensors(readFileSync(join(reference.runDir, file)));
    expect(all.metadata.members).toBe("[0,1,2,3]");
    expect([...all.tensors.keys()].sort()).toEqual(["seenTasks", "unseenTasks"]);
    const { shape, data } = all.tensors.get("unseenTasks")!;
    expect(shape).toEqual([4, 3, 2, 5]);

    const lastOnly = fakeConfig(4, {
      evaluation: { every: 4, savePredictions: "last" },
      checkpoints: { keep: 4 },
    });
    const { runDir } = await run({}, lastOnly);
    const last = decodeSafetensors(readFileSync(join(runDir, file))).tensors.get("unseenTasks")!;
    expect(last.shape).toEqual([4, 3, 5]);
    const rows = Array.from({ length: 12 }, (_, i) => [...data.subarray((2 * i + 1) * 5, (2 * i + 2) * 5)]);
    expect([...last.data]).toEqual(rows.flat());

    const none = await run({}, fakeConfig(4, { evaluation: { savePredictions: "none" } }));
    expect(existsSync(join(none.runDir, "predictions"))).toBe(false);
  });

  it("writes the same bytes for 1 and 3 workers, whoever is faster", async () => {
    const { runDir } = await run({
      workers: 3,
      delay: ({ member, toStep }) => (member * 5 + toStep * 3) % 7,
    });
    expect(resultHashes(runDir)).toEqual(expected);
  });

  it.each([1, 7, 30, 61, 79])(
    "after a stop %i steps into the run resumes to the same bytes",
    async (stopAfter) => {
      const out = fresh();
      const abort = new AbortController();
      let steps = 0;
      const stop = () => {
        if (++steps === stopAfter) abort.abort();
        return false;
      };
      const stopped = await run({ out, signal: abort.signal, fake: { stop } });
      expect(stopped).toMatchObject({ status: "stopped", summary: null });
      expect(existsSync(join(out, "lock"))).toBe(false);
      const resumed = await run({ out, mode: "resume" });
      expect(resumed.status).toBe("finished");
      expect(resultHashes(out)).toEqual(expected);
    },
  );

  it("resumes to the same bytes from whatever a kill leaves on the disk", async () => {
    const copies: string[] = [];
    const out = fresh();
    const dead = { pid: spawnSync(process.execPath, ["--version"]).pid, host: hostname(), started: "1" };
    const snapshot = () => {
      const copy = fresh();
      cpSync(out, copy, { recursive: true });
      rmSync(join(copy, "lock"), { recursive: true });
      writeFileSync(join(copy, "lock"), JSON.stringify(dead));
      copies.push(copy);
    };
    // A copy in the middle of every segment, and one between an evaluation's last write and the next.
    const observer: RunObserver = { evaluated: snapshot };
    const stop = (_: number, step: number) => {
      if (step === 10) snapshot();
      return false;
    };
    await run({ out, observer, fake: { stop } });
    expect(copies.length).toBeGreaterThan(8);
    for (const copy of copies) {
      await appendFile(join(copy, "metrics.jsonl"), '{"step":9999,"tok');
      const half = join(copy, "state", ".epigrok-0123456789abcdef.tmp");
      writeFileSync(half, "half a file");
      expect((await run({ out: copy, mode: "resume", workers: 3 })).status).toBe("finished");
      expect(resultHashes(copy)).toEqual(expected);
      expect(existsSync(half)).toBe(false);
    }
  });

  it("writes no answer table again after a kill between it and its evaluation", async () => {
    const out = fresh();
    cpSync(reference.runDir, out, { recursive: true });
    rmSync(join(out, "summary.json"));
    for (const name of ["metrics.jsonl", "timing.jsonl"]) dropLastLine(join(out, name));
    await run({ out, mode: "resume" });
    expect(resultHashes(out)).toEqual(expected);
    const tables = readFileSync(join(out, "answers.jsonl"), "utf8").trimEnd().split("\n");
    expect(tables.map((line) => JSON.parse(line).step)).toEqual([0, 20]);
  });

  it("returns the summary of a finished run without touching it", async () => {
    const before = fileHashes(reference.runDir);
    const again = await run({ out: reference.runDir, mode: "resume" });
    expect(again).toEqual({ runDir: reference.runDir, status: "finished", summary: reference.summary });
    expect(fileHashes(reference.runDir)).toEqual(before);
  });

  it("refuses to resume with another configuration and names the keys", async () => {
    const other = fakeConfig(3, {
      evaluation: { every: 4, savePredictions: "all" },
      checkpoints: { keep: 4 },
    });
    other.training.steps = 40;
    await expect(run({ out: reference.runDir, mode: "resume" }, other)).rejects.toThrow(
      /differs in training\.steps, ensemble\.members\./,
    );
  });

  it("goes on without a member whose loss becomes non-finite", async () => {
    const messages: string[] = [];
    const { summary, runDir } = await run({
      fake: { nonFinite: { 2: 11 } },
      observer: { memberFailed: (failure) => messages.push(failure.message) },
    });
    expect(messages).toEqual(["member 2: the loss became non-finite at step 11"]);
    expect(metrics(runDir).map((r) => r.members.map((m) => m.member))).toEqual([
      ...Array(3).fill([0, 1, 2, 3]),
      ...Array(3).fill([0, 1, 3]),
    ]);
    const failed = (summary as RunSummary).perMember.map((m) => m.failedStep);
    expect(failed).toEqual([null, null, 11, null]);
    expect(summary?.verdict).toContain("Member 2: the loss became non-finite at step 11.");
    expect(survived(summary!)).toBe(true);
    expect(metrics(runDir)[0].ensemble.unseenTasks?.mutualInformation).toBeLessThanOrEqual(Math.log(4));
  });

  it.each([
    ["at once", { 0: 2, 1: 2, 3: 2 }],
    ["one after the other", { 0: 3, 1: 7, 3: 10 }],
    ["all of them", { 0: 3, 1: 2, 2: 1, 3: 4 }],
  ])("ends with the same files for any number of workers when too many fail %s", async (_, nonFinite) => {
    const ended = async (workers: number, delay?: Settings["delay"]) => {
      const { runDir, summary } = await run({ workers, delay, fake: { nonFinite } });
      const { tokensPerSecond, runDir: _dir, ...rest } = summary!;
      return { rest, files: resultHashes(runDir) };
    };
    const one = await ended(1);
    for (const workers of [2, 3, 4]) {
      expect(await ended(workers)).toEqual(one);
      expect(await ended(workers, ({ member, toStep }) => (member * 5 + toStep * 3) % 17)).toEqual(one);
      expect(await ended(workers, ({ member }) => (member === 2 ? 0 : 20))).toEqual(one);
    }
  });

  it("a member that waits for others ends when they cannot be saved, or are stopped", async () => {
    const abort = new AbortController();
    const delay = ({ member }: { member: number }) => (member === 0 ? 0 : 60);
    const out = fresh();
    const stopping = run({ out, workers: 4, delay, signal: abort.signal });
    setTimeout(() => abort.abort(), 90);
    expect((await stopping).status).toBe("stopped");
    await run({ out, mode: "resume" });
    expect(resultHashes(out)).toEqual(expected);
    const lost = fresh();
    const observer = {
      evaluated: () => {
        throw new Error("no space left on device");
      },
    };
    await expect(run({ out: lost, workers: 4, delay, observer })).rejects.toThrow("no space left");
  });

  it("does not take a failed member back after a resume", async () => {
    const out = fresh();
    const abort = new AbortController();
    const observer = { memberFailed: () => abort.abort() };
    expect((await run({ out, signal: abort.signal, observer, fake: { nonFinite: { 0: 3 } } })).status).toBe(
      "stopped",
    );
    const { summary } = await run({ out, mode: "resume" });
    expect(summary?.perMember[0]).toMatchObject({ failedStep: 3 });
    expect(
      metrics(out)
        .at(-1)
        ?.members.map((m) => m.member),
    ).toEqual([1, 2, 3]);
  });

  describe("after crashes of a member's workers", () => {
    const crashes: [string, Record<number, number>][] = [
      ["in the middle", { 1: 12 }],
      ["at the beginning", { 0: 0 }],
      ["of two members at different steps", { 0: 16, 3: 8 }],
      ["of too many members to go on", { 0: 4, 1: 8, 3: 4 }],
      ["of all members", { 0: 0, 1: 0, 2: 0, 3: 0 }],
    ];
    it.each(crashes)("%s, a resume comes to what would have been", async (_, crash) => {
      const { runDir, status, summary } = await run({ fake: { crash } });
      expect(status).toBe("finished");
      for (const member of Object.keys(crash).map(Number))
        expect(summary?.perMember[member].failedStep).not.toBeNull();
      const again = await run({ out: runDir, mode: "resume", fake: { crash } });
      expect(again.summary?.perMember).toEqual(summary?.perMember);
      const healthy = await run({ out: runDir, mode: "resume" });
      expect(healthy.summary?.perMember.map((m) => m.failedStep)).toEqual([null, null, null, null]);
      expect(resultHashes(runDir)).toEqual(expected);
      expect(existsSync(join(runDir, "waiting"))).toBe(false);
      const { tokensPerSecond, runDir: _dir, ...rest } = healthy.summary!;
      const { tokensPerSecond: _speed, runDir: _other, ...undisturbed } = reference.summary!;
      expect(rest).toEqual(undisturbed);
    });

    it("a resume that is killed, or stopped, while it tries again loses nothing", async () => {
      const { runDir } = await run({ fake: { crash: { 0: 16, 3: 8 } } });
      const copies: string[] = [];
      const snapshot = () => {
        const copy = fresh();
        cpSync(runDir, copy, { recursive: true });
        rmSync(join(copy, "lock"), { recursive: true });
        copies.push(copy);
      };
      const stop = (_: number, step: number) => {
        if (step === 9 || step === 17) snapshot();
        return false;
      };
      await run({ out: runDir, mode: "resume", observer: { evaluated: snapshot }, fake: { stop } });
      expect(copies.length).toBeGreaterThan(4);
      for (const copy of copies) {
        await run({ out: copy, mode: "resume", workers: 1 });
        expect(resultHashes(copy)).toEqual(expected);
      }
    });

    it("a member whose loss was not finite stays out, and the crashed one comes back", async () => {
      const fake = { nonFinite: { 2: 10 } };
      const undisturbed = await run({ fake });
      const { runDir } = await run({ fake: { ...fake, crash: { 1: 4 } } });
      const { summary } = await run({ out: runDir, mode: "resume", fake });
      expect(summary?.perMember.map((m) => m.failedStep)).toEqual([null, null, 10, null]);
      expect(resultHashes(runDir)).toEqual(resultHashes(undisturbed.runDir));
    });

    it("a resume says so where parts of the evaluations without it are gone, and goes on", async () => {
      const { runDir } = await run({ fake: { crash: { 1: 12 } } });
      rmSync(join(runDir, "waiting"), { recursive: true });
      const warnings: string[] = [];
      const observer = { warned: (message: string) => void warnings.push(message) };
      const { summary } = await run({ out: runDir, mode: "resume", observer });
      expect(warnings).toEqual(["evaluations up to step 20 were made without member 1, and stay so"]);
      expect(summary?.perMember[1].failedStep).toBeNull();
    });
  });

  it("has not survived when fewer than two members are left, or the only one is lost", async () => {
    const most = await run({ fake: { nonFinite: { 0: 2, 1: 5, 3: 9 } } });
    expect(most.status).toBe("finished");
    expect(survived(most.summary!)).toBe(false);
    const alone = fakeConfig(1);
    expect(survived((await run({}, alone)).summary!)).toBe(true);
    expect(survived((await run({ fake: { nonFinite: { 0: 2 } } }, alone)).summary!)).toBe(false);
  });

  it("continues the clock, not the interruption", async () => {
    const out = fresh();
    const abort = new AbortController();
    await run({
      out,
      signal: abort.signal,
      observer: { evaluated: (r) => void (r.step === 8 && abort.abort()) },
    });
    const seconds = () =>
      readFileSync(join(out, "timing.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map((l) => JSON.parse(l).seconds);
    const before = seconds();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await run({ out, mode: "resume" });
    const after = seconds();
    expect(after.slice(0, before.length)).toEqual(before);
    const pauses = after.slice(1).map((s: number, i: number) => s - after[i]);
    expect(Math.min(...pauses)).toBeGreaterThan(0);
    expect(Math.max(...pauses)).toBeLessThan(1.4);
  });

  it("warns when it goes on with another build of the core", async () => {
    const out = fresh();
    const abort = new AbortController();
    await run({ out, signal: abort.signal, observer: { evaluated: () => abort.abort() } });
    const file = join(out, "environment.json");
    const resume = async () => {
      const warnings: string[] = [];
      const signal = AbortSignal.abort();
      await run({ out, mode: "resume", signal, observer: { warned: (message) => warnings.push(message) } });
      return warnings;
    };
    expect(await resume()).toEqual([]);
    const environment = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, encodeObject({ ...environment, wasmSha256: "0" }, environment.run));
    expect(await resume()).toEqual([expect.stringContaining("another build")]);
  });

  it("refuses probe sets that leave too little to train on before it touches the disk", async () => {
    const out = fresh();
    await expect(run({ out }, fakeConfig(2, { evaluation: { prompts: 50 } }))).rejects.toThrow(
      /^evaluation\.prompts: got 50, must be lower/,
    );
    expect(existsSync(out)).toBe(false);
  });

  it("refuses a senseless number of workers before it touches the disk", async () => {
    const out = fresh();
    await expect(run({ out, workers: 0 })).rejects.toThrow("workers: got 0");
    expect(existsSync(out)).toBe(false);
  });

  it("trains with real worker threads to the same bytes for 1 and 2 of them", async () => {
    const [one, two] = [fresh(), fresh()];
    await runEnsemble(config, { out: one, workers: 1, createPool: createWorkerPool });
    const { summary } = await runEnsemble(config, { out: two, workers: 2 });
    expect(resultHashes(one)).toEqual(resultHashes(two));
    expect(Object.keys(resultHashes(one))).toEqual(Object.keys(expected));
    expect(summary?.tokensPerSecond).toBeGreaterThan(0);
  });
});
