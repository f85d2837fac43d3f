/** A run that is continued to more steps, or with evaluations at other steps. */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Config } from "../src/config/schema.ts";
import { configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { readManifest } from "../src/run/read.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import { runEnsemble } from "../src/run/run.ts";
import { runSchedule } from "../src/run/schedule.ts";
import { type FakeOptions, fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { fileHashes, resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `run-${count++}`);

const constant = (steps: number, every = 4, extra: Record<string, unknown> = {}) =>
  fakeConfig(3, {
    training: { steps, schedule: "constant", ...extra },
    evaluation: { every },
    checkpoints: { schedule: "evaluations" },
  });

const run = (out: string, config: Config, fake?: FakeOptions, signal?: AbortSignal) =>
  runEnsemble(config, {
    ...{ out, mode: "resume", workers: 2, signal },
    createPool: () => fakePool(undefined, fake),
  });

async function interrupted(config: Config, steps: number): Promise<string> {
  const out = fresh();
  const abort = new AbortController();
  let left = steps;
  const stop = () => {
    if (--left === 0) abort.abort();
    return false;
  };
  await run(out, config, { stop }, abort.signal);
  return out;
}

/** Without the answer table, which is asked at the end of each part too. */
function results(out: string) {
  const { "answers.jsonl": _, ...others } = resultHashes(out);
  return others;
}

const records = (out: string): MetricsRecord[] =>
  readFileSync(join(out, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("more steps", async () => {
  const longer = constant(40);
  const straight = fresh();
  await run(straight, longer);

  it.each([
    [
      "a finished run",
      async () => {
        const out = fresh();
        await run(out, constant(20));
        return out;
      },
    ],
    ["an interrupted one", () => interrupted(constant(20), 31)],
    ["one that had hardly begun", () => interrupted(constant(20), 2)],
  ])("of %s: the files of a run that was as long from the beginning", async (_, begun) => {
    const out = await begun();
    const { summary } = await run(out, longer);
    expect(summary?.steps).toBe(40);
    expect(results(out)).toEqual(results(straight));
    const again = fileHashes(out);
    expect((await run(out, longer)).summary).toEqual(summary);
    expect(fileHashes(out)).toEqual(again);
  });

  it("twice, stopped in between, with a state damaged", async () => {
    const out = await interrupted(constant(20), 31);
    const abort = new AbortController();
    let left = 40;
    const stop = () => {
      if (--left === 0) abort.abort();
      return false;
    };
    await run(out, constant(32), { stop }, abort.signal);
    const state = join(out, "state", "member-01.safetensors");
    writeFileSync(state, readFileSync(state).subarray(0, 1000));
    await run(out, longer);
    expect(results(out)).toEqual(results(straight));
    expect((await readManifest(out))?.earlier?.map(({ config }) => config.training.steps)).toEqual([20, 32]);
  });

  it("keeps the summary of the shorter run, and takes it for no longer run's", async () => {
    const out = fresh();
    await run(out, constant(20));
    const before = readFileSync(join(out, "summary.json"));
    const copy = fresh();
    cpSync(out, copy, { recursive: true });
    await run(out, longer);
    expect(readFileSync(join(out, "set-aside", "summary.json"))).toEqual(before);
  });

  it.each([
    ["cosine", fakeConfig(2), "the cosine schedule of the learning rate is over all of training.steps"],
    [
      "linear",
      fakeConfig(2, { training: { schedule: "linear" } }),
      "the linear schedule of the learning rate",
    ],
    [
      "ivon",
      fakeConfig(2, { training: { schedule: "constant", optimizer: "ivon", weightDecay: 1e-4 } }),
      "training.ivon.effectiveSampleSize, termsSeen, is counted from training.steps",
    ],
  ])("are refused where every step depends on how many there are (%s), and why", async (_, config, why) => {
    const out = await interrupted(config, 7);
    const before = fileHashes(out);
    const more = configSchema.parse({ ...config, training: { ...config.training, steps: 60 } });
    const refused = run(out, more);
    await expect(refused).rejects.toBeInstanceOf(UsageError);
    await expect(refused).rejects.toThrow("it differs in training.steps.");
    await expect(refused).rejects.toThrow(why);
    expect(fileHashes(out)).toEqual(before);
  });

  it("may be fewer, but not fewer than were done", async () => {
    const out = await interrupted(longer, 31);
    await expect(run(out, constant(4))).rejects.toThrow(
      /training\.steps: got 4, must be at least \d+, as far as/,
    );
    const { summary } = await run(out, constant(20));
    expect(summary?.steps).toBe(20);
    const shorter = fresh();
    await run(shorter, constant(20));
    expect(results(out)).toEqual(results(shorter));
  });
});

describe("another cadence", () => {
  it("holds from the furthest member's step on, and no number at a step changes", async () => {
    const out = await interrupted(constant(20), 31);
    const { until } = { until: Math.max(...[0, 1, 2].map((m) => stepOf(out, m))) };
    await run(out, constant(20, 3));
    const steps = records(out).map(({ step }) => step);
    const old = [0, 4, 8, 12, 16, 20].filter((step) => step <= until);
    expect(steps).toEqual([...old, ...[0, 3, 6, 9, 12, 15, 18, 20].filter((step) => step > until)]);
    const straight = fresh();
    await run(straight, constant(20, 1));
    const all = new Map(records(straight).map((record) => [record.step, record]));
    for (const { step, ensemble } of records(out)) expect(ensemble).toEqual(all.get(step)!.ensemble);
  });

  it("is followed again after a stop, without being asked for again", async () => {
    const out = await interrupted(constant(20), 31);
    await run(out, constant(20, 3), undefined, AbortSignal.abort());
    const manifest = (await readManifest(out))!;
    expect(manifest.config.evaluation.every).toBe(3);
    await run(out, manifest.config);
    expect(records(out).map(({ step }) => step)).toEqual(runSchedule(manifest).steps);
    expect(existsSync(join(out, "summary.json"))).toBe(true);
  });

  it("does not excuse another setting, which is named", async () => {
    const out = await interrupted(constant(20), 31);
    const other = { ...constant(40, 3), seed: 9 };
    await expect(run(out, other)).rejects.toThrow(/it differs in seed\. Resume it without/);
  });
});

/** The step a member's state is at. */
function stepOf(out: string, member: number): number {
  const text = readFileSync(join(out, "state", `member-0${member}.safetensors`)).toString("latin1", 8, 4000);
  return Number(/"step":"(\d+)"/.exec(text)![1]);
}
