/** Sweeps as a whole: the same bytes however they were run, and what becomes of runs that fail. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeSweepReport } from "../src/report/report.ts";
import { runEnsemble } from "../src/run/run.ts";
import { runStatuses } from "../src/run/status.ts";
import { defineSweep, parseAxis, type SweepInput } from "../src/sweep/definition.ts";
import { cancelSweep, readFailure, readSweep, removeFailure, runDirectory } from "../src/sweep/directory.ts";
import { expand } from "../src/sweep/expand.ts";
import type { SweepObserver } from "../src/sweep/observer.ts";
import { RESULT_FILES, writeResults } from "../src/sweep/results.ts";
import { sweepStatus } from "../src/sweep/status.ts";
import { extendSweep, goOn, runSweep, type SweepOptions } from "../src/sweep/sweep.ts";
import { readParquet } from "./fixtures/parquet.ts";
import { noSmallDisk, smallDisk } from "./fixtures/small-disk.ts";
import { GRID, sweepHashes, TINY } from "./fixtures/sweep.ts";
import { dropLastLine, resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `sweep-${count++}`);

async function sweep(input: SweepInput = GRID, options: Partial<SweepOptions> = {}) {
  const out = options.out ?? fresh();
  return { out, outcome: await runSweep(input, { workers: 2, ...options, out }) };
}

/** What an observer was told, in words. */
function witness() {
  const log: string[] = [];
  const observer: SweepObserver = {
    started: ({ runs, open }) => void log.push(`${open.length} of ${runs.length}`),
    runStarted: ({ run }) => void log.push(`${run} starts`),
    runEnded: ({ run }, { state, here }) => void log.push(`${run} ${state}${here ? "" : " elsewhere"}`),
    warned: (message) => void log.push(message),
  };
  return { log, observer };
}

describe("a sweep", () => {
  let whole: string;
  beforeAll(async () => {
    const { out, outcome } = await sweep(GRID, { workers: 1 });
    expect(outcome).toEqual({ status: "finished", finished: 6, failed: [] });
    whole = out;
  });

  it("leaves run directories like any others, and results", async () => {
    expect(readdirSync(whole).sort()).toEqual([...RESULT_FILES, "runs", "sweep.json"].sort());
    const { runs } = readSweep(whole);
    const alone = join(root, "alone");
    const [, { config }] = expand(defineSweep(GRID));
    await runEnsemble(config, { out: alone, workers: 1 });
    expect(resultHashes(runDirectory(whole, runs[1].run))).toEqual(resultHashes(alone));
    const statuses = await runStatuses(join(whole, "runs"));
    expect(statuses.map(({ state }) => state)).toEqual(Array(6).fill("finished"));

    const lines = readFileSync(join(whole, "results.jsonl"), "utf8").trimEnd().split("\n");
    const results = lines.map((line) => JSON.parse(line));
    expect(results.map(({ run }) => run)).toEqual(runs.map(({ run }) => run));
    const [first] = results;
    expect(first).toMatchObject({
      settings: { "task.trainTasks": 4, seed: 0 },
      steps: 60,
      verdict: expect.any(String),
      final: { unseenTasks: { accuracy: expect.any(Number), mutualInformation: 0 } },
    });
    expect(first).not.toHaveProperty("tokensPerSecond");

    const [header, ...rows] = readFileSync(join(whole, "results.csv"), "utf8").trimEnd().split("\n");
    expect(header).toBe("run,task.trainTasks,seed,member,event,set,position,metric,value");
    expect(rows).toContain(
      `${runs[0].run},4,0,,final,unseenTasks,,accuracy,${first.final.unseenTasks.accuracy}`,
    );
    expect(rows).toContain(
      `${runs[0].run},4,0,,final,unseenTasks,1,accuracy,${first.final.unseenTasks.accuracyByPosition[1]}`,
    );
    expect(rows).toContain(`${runs[0].run},4,0,,grokked,,,step,`);
    expect(rows).toContain(`${runs[0].run},4,0,0,final,,,loss,${first.perMember[0].finalLoss}`);

    const table = await readParquet(join(whole, "results.parquet"));
    expect(table.columns).toEqual(header.split(","));
    expect(table.rows.map((row) => row.map((cell) => cell ?? "").join(","))).toEqual(rows);
  });

  it("comes out the same with more threads, and of larger ensembles", async () => {
    const { out } = await sweep(GRID, { workers: 3 });
    expect(sweepHashes(out)).toEqual(sweepHashes(whole));
    const ensembles = { ...GRID, axes: { seed: "0..1" }, set: { ...TINY, ensemble: { members: 3 } } };
    const [one, two] = [await sweep(ensembles, { workers: 1 }), await sweep(ensembles, { workers: 4 })];
    expect(sweepHashes(two.out)).toEqual(sweepHashes(one.out));
  });

  it.skipIf(process.platform !== "linux")("starts no threads that have nothing to do", async () => {
    let threads = 0;
    const observer: SweepObserver = {
      runEnded: () => {
        threads = readdirSync("/proc/self/task").length;
      },
    };
    const before = readdirSync("/proc/self/task").length;
    const { outcome } = await sweep({ set: TINY, axes: { seed: [0, 1] } }, { workers: 200, observer });
    expect(outcome.finished).toBe(2);
    expect(threads - before).toBeLessThan(50);
  });

  it("skips what is finished", async () => {
    const { log, observer } = witness();
    const { outcome } = await sweep(GRID, { out: whole, observer });
    expect(outcome).toMatchObject({ status: "finished", finished: 6 });
    expect(log).toEqual(["0 of 6"]);
  });

  it.each([1, 2, 4])("stopped after %i runs goes on to the same bytes", async (after) => {
    const stop = new AbortController();
    let ended = 0;
    const observer: SweepObserver = { runEnded: () => void (++ended === after && stop.abort()) };
    const { out, outcome } = await sweep(GRID, { signal: stop.signal, observer });
    expect(outcome.status).toBe("stopped");
    expect(outcome.finished).toBeGreaterThanOrEqual(after);
    expect(existsSync(join(out, "results.csv"))).toBe(false);
    const { counts } = await sweepStatus(out);
    expect(counts.running + counts.failed).toBe(0);
    expect((await sweep(GRID, { out })).outcome).toMatchObject({ status: "finished", finished: 6 });
    expect(sweepHashes(out)).toEqual(sweepHashes(whole));
  });

  it("that is extended by values ends as one that had them from the beginning", async () => {
    const few = { ...GRID, axes: { "task.trainTasks": [4, 5], seed: [0, 2] } };
    const { out } = await sweep(few);
    await extendSweep(out, { axes: [parseAxis("seed=1")] });
    const { log, observer } = witness();
    expect((await goOn(out, { workers: 2, observer })).finished).toBe(6);
    expect(log[0]).toBe("2 of 6");
    const [mine, theirs] = [sweepHashes(out).runs, sweepHashes(whole).runs];
    expect(mine).toEqual(theirs);
  });

  it("takes up runs that are added while it goes on", async () => {
    const few = { ...GRID, axes: { "task.trainTasks": [4, 5], seed: [0, 2] } };
    const out = fresh();
    let extended: Promise<unknown> | undefined;
    const observer: SweepObserver = {
      runStarted: () => {
        extended ??= extendSweep(out, { axes: [parseAxis("seed=1")] });
      },
    };
    const { outcome } = await sweep(few, { out, observer });
    await extended;
    expect(outcome.finished).toBe(6);
    expect(sweepHashes(out).runs).toEqual(sweepHashes(whole).runs);
  });

  it("that is extended by steps ends as one that had them from the beginning", async () => {
    const longer = { ...GRID, set: { ...TINY, training: { ...TINY.training, steps: 90 } } };
    const { out } = await sweep(GRID);
    await extendSweep(out, { steps: 90 });
    expect((await sweepStatus(out)).counts).toMatchObject({ finished: 0, interrupted: 6 });
    await goOn(out, { workers: 2 });
    const { out: expected } = await sweep(longer);
    const states = (directory: string) =>
      readSweep(directory).runs.map(({ run }) => {
        const metrics = readFileSync(join(runDirectory(directory, run), "metrics.jsonl"), "utf8");
        // 60 is an evaluation of the first part only: its intervals are 20 long, as those of the other.
        return metrics.trimEnd().split("\n").at(-1);
      });
    expect(states(out)).toEqual(states(expected));
  });
});

describe("a run that fails", () => {
  it("is tried once more, then told and left out; the others go on", async () => {
    const { out } = await sweep();
    const whole = sweepHashes(out);
    const [, { run }] = readSweep(out).runs;
    const file = (name: string) => join(runDirectory(out, run), name);
    for (const name of ["summary.json", "metrics.jsonl"]) rmSync(file(name));
    mkdirSync(file("metrics.jsonl"));
    const { log, observer } = witness();
    const outcome = await goOn(out, { workers: 2, observer });
    expect(outcome).toMatchObject({ status: "finished", finished: 5, failed: [{ run }] });
    expect(log).toEqual([
      "1 of 6",
      expect.stringMatching(/^task\.trainTasks=4 seed=1: .*metrics\.jsonl: EISDIR.*; it is tried once more$/),
      `${run} failed`,
    ]);
    expect(readFailure(out, run)).toMatchObject({
      message: expect.stringContaining("EISDIR"),
      pid: process.pid,
    });
    expect(readFileSync(join(out, "results.jsonl"), "utf8").trimEnd().split("\n")).toHaveLength(5);
    expect((await sweepStatus(out)).counts).toMatchObject({ finished: 5, failed: 1 });

    // It stays so until it is to be tried again.
    rmdirSync(file("metrics.jsonl"));
    const again = await goOn(out, { workers: 2 });
    expect(again).toMatchObject({ status: "finished", finished: 5, failed: [{ run }] });
    await removeFailure(out, run);
    expect(await goOn(out, { workers: 2 })).toEqual({ status: "finished", finished: 6, failed: [] });
    expect(sweepHashes(out)).toEqual(whole);
  });

  it("for want of members is one, and is not tried for ever", async () => {
    const diverging = { set: TINY, axes: { "training.learningRate": [0.003, 1e30] } };
    const { out, outcome } = await sweep(diverging);
    expect(outcome).toMatchObject({
      status: "finished",
      finished: 1,
      failed: [{ settings: { "training.learningRate": 1e30 } }],
    });
    const { failure } = (await sweepStatus(out)).runs[1];
    expect(failure?.message).toMatch(/^1 of 1 member lost: member 0 at step 2$/);
  });

  it("stops the others with failFast, which lose nothing", async () => {
    const diverging = { set: TINY, axes: { "training.learningRate": [1e30, 0.003, 0.002, 0.001, 0.0005] } };
    const { out, outcome } = await sweep(diverging, { failFast: true, workers: 1 });
    expect(outcome.status).toBe("failed");
    expect(outcome.failed).toHaveLength(1);
    expect(outcome.finished).toBeLessThan(4);
    expect(await goOn(out, { workers: 2 })).toMatchObject({ status: "finished", finished: 4 });
  });

  it("because its directory is something else is told at once", async () => {
    const out = fresh();
    const [{ run }] = expand(defineSweep(GRID));
    mkdirSync(join(out, "runs"), { recursive: true });
    await expect(runSweep(GRID, { out })).rejects.toThrow("holds no sweep");
    const { out: made, outcome } = await sweep({ ...GRID, axes: { "task.trainTasks": 4, seed: 5 } });
    expect(outcome.finished).toBe(1);
    await extendSweep(made, { axes: [parseAxis("seed=0")] });
    writeFileSync(join(made, "runs", run.run), "a file");
    const { log, observer } = witness();
    expect(await goOn(made, { workers: 1, observer })).toMatchObject({
      finished: 1,
      failed: [{ run: run.run }],
    });
    expect(log.some((line) => line.includes("tried once more"))).toBe(false);
  });
});

describe("a finished run whose files are not what was written", () => {
  const GRID_OF_TWO = { ...GRID, axes: { seed: "0..1" } };
  let whole: string;
  beforeAll(async () => {
    whole = (await sweep(GRID_OF_TWO)).out;
  });
  function copied() {
    const out = fresh();
    cpSync(whole, out, { recursive: true });
    const [first, second] = readSweep(out).runs.map(({ run }) => runDirectory(out, run));
    return { out, first, second };
  }

  it("is finished again where a bit of its summary has changed", async () => {
    const { out, first } = copied();
    const path = join(first, "summary.json");
    const text = readFileSync(path, "utf8");
    writeFileSync(
      path,
      text.replace(/"verdict": ?"./, (found) => `${found.slice(0, -1)}#`),
    );
    expect((await sweepStatus(out)).counts).toMatchObject({ finished: 1, interrupted: 1 });
    expect(await goOn(out, { workers: 1 })).toMatchObject({ finished: 2, failed: [] });
    expect(sweepHashes(out)).toEqual(sweepHashes(whole));
  });

  it("gives no results where its last evaluation is missing, and says what helps", async () => {
    const { out, first } = copied();
    const path = join(first, "metrics.jsonl");
    dropLastLine(path);
    const before = readFileSync(join(out, "results.jsonl"), "utf8");
    await expect(writeResults(out)).rejects.toThrow(
      `${path}: ends at step 40, must end at step 60; epigrok run --resume ${first} computes it again`,
    );
    expect(readFileSync(join(out, "results.jsonl"), "utf8")).toBe(before);
    const page = readFileSync(await writeSweepReport(out), "utf8");
    expect(page).toContain(`${path}: ends at step 40, must end at step 60`);
    expect(page).toContain("Of 1 finished runs");
    const [{ config }] = expand(defineSweep(GRID_OF_TWO));
    await runEnsemble(config, { out: first, mode: "resume", workers: 1 });
    await writeResults(out);
    expect(sweepHashes(out)).toEqual(sweepHashes(whole));
  });

  it("is not taken for another one in whose place it was put", async () => {
    const { out, first, second } = copied();
    rmSync(first, { recursive: true });
    cpSync(second, first, { recursive: true });
    expect((await sweepStatus(out)).counts).toMatchObject({ finished: 1, interrupted: 1 });
    const { finished, failed } = await goOn(out, { workers: 1 });
    expect({ finished, failed: failed.length }).toEqual({ finished: 1, failed: 1 });
    expect(readFailure(out, failed[0].run)?.message).toMatch(
      /has another configuration; it differs in .*seed/,
    );
  });
});

describe("several workers on one sweep", () => {
  it("never have a run together, and all of them see its end", async () => {
    const { log, observer } = witness();
    const out = fresh();
    const outcomes = await Promise.all([1, 2, 3].map(() => sweep(GRID, { out, workers: 1, observer })));
    expect(outcomes.map(({ outcome }) => outcome.finished)).toEqual([6, 6, 6]);
    const { runs } = readSweep(out);
    for (const { run } of runs) {
      expect(log.filter((line) => line === `${run} starts`)).toHaveLength(1);
      expect(log.filter((line) => line === `${run} finished`)).toHaveLength(1);
    }
  });

  it("stop when the sweep is cancelled, and those that begin later do not", async () => {
    const out = fresh();
    let asked = false;
    const long = {
      ...GRID,
      set: {
        ...TINY,
        training: { ...TINY.training, steps: 1_000_000 },
        evaluation: { every: 100_000, prompts: 8 },
      },
    };
    const observer: SweepObserver = {
      runStarted: () => {
        if (!asked) void cancelSweep(out);
        asked = true;
      },
    };
    const { outcome } = await sweep(long, { out, observer });
    expect(outcome).toMatchObject({ status: "cancelled", finished: 0 });
    const stop = new AbortController();
    const later = await goOn(out, {
      workers: 1,
      signal: stop.signal,
      observer: { runStarted: () => setTimeout(() => stop.abort(), 3000) },
    });
    expect(later.status).toBe("stopped");
  });
});

describe("a disk", () => {
  it("that is too small for all runs is told before any begins", async () => {
    const huge = {
      ...GRID,
      set: {
        ...TINY,
        model: { ...TINY.model, dModel: 256, dMlp: 1024, nLayers: 4 },
        training: { ...TINY.training, steps: 10 ** 6 },
        evaluation: { every: 10, prompts: 8 },
        checkpoints: { schedule: "evaluations" },
      },
    } satisfies SweepInput;
    const out = fresh();
    await expect(sweep(huge, { out })).rejects.toThrow(/^the sweep needs about \d+ MiB of disk in /);
    expect(existsSync(out)).toBe(false);
  });

  it.skipIf(noSmallDisk)("that becomes full ends the sweep with that, and not run by run", async () => {
    const disk = smallDisk("3m");
    const out = join(disk, "sweep");
    const filler = join(disk, "filler");
    const many = { ...GRID, axes: { "task.trainTasks": [4, 5], seed: "0..7" } };
    let full = false;
    const observer: SweepObserver = {
      runEnded: () => {
        if (full) return;
        full = true;
        try {
          writeFileSync(filler, Buffer.alloc(3 * 2 ** 20));
        } catch {
          // Full.
        }
      },
    };
    await expect(sweep(many, { out, observer })).rejects.toThrow(/ENOSPC|of disk in/);
    expect((await sweepStatus(out)).counts.failed).toBe(0);
    writeFileSync(filler, "");
    const { outcome } = await sweep(many, { out });
    expect(outcome).toEqual({ status: "finished", finished: 16, failed: [] });
  });
});
