import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import type { Config } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { createWorkerPool, startThreads } from "../src/pool/pool.ts";
import type { Threads, WorkerPool } from "../src/pool/segments.ts";
import type { SegmentRequest } from "../src/training/messages.ts";
import { trainSegment } from "../src/training/segment.ts";
import { fakeConfig } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const core = await loadCoreModule("fast");
const { training, ...others } = fakeConfig(2);
/** At a rate that knows no last step: segments here may go on for as long as it takes. */
const config: Config = { ...others, training: { ...training, schedule: "constant" } };
let pool: WorkerPool;
afterEach(() => pool.close());

describe("worker threads", () => {
  it("return what the same segment gives in the main thread, byte for byte", async () => {
    pool = createWorkerPool({ workers: 2, members: 2, core });
    const stop = () => false;
    for (const member of [0, 1]) {
      const first = await pool.runSegment({ config, member, state: null, toStep: 5 });
      const second = await pool.runSegment({ config, member, state: first.state, toStep: 10 });
      const here = trainSegment({ config, member, state: null, toStep: 5 }, { core, stop });
      const after = trainSegment({ config, member, state: here.state, toStep: 10 }, { core, stop });
      expect(second.state).toEqual(after.state);
      expect(second.sums).toEqual(after.sums);
      expect(second.predictions).toEqual(after.predictions);
      expect(second.predictions.map((p) => p.set)).toEqual(["seenTasks", "unseenTasks"]);
    }
  });

  it("leave the state they are sent with its owner", async () => {
    pool = createWorkerPool({ workers: 1, members: 1, core });
    const { state } = await pool.runSegment({ config, member: 0, state: null, toStep: 0 });
    const before = structuredClone(state);
    await pool.runSegment({ config, member: 0, state, toStep: 5 });
    expect(state).toEqual(before);
  });

  it("show their step and loss while they work, and stop at the next step when told", async () => {
    pool = createWorkerPool({ workers: 1, members: 2, core });
    expect(pool.progress(1)).toEqual({ step: 0, loss: Number.NaN });
    const endless = pool.runSegment({ config, member: 1, state: null, toStep: 1e9 });
    while (pool.progress(1).step < 10) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(pool.progress(1).loss).toBeGreaterThan(0);
    pool.stop();
    const result = await endless;
    expect(result.state.step).toBeGreaterThanOrEqual(10);
    expect(result.sums.steps).toBe(result.state.step);
    expect(result.predictions).toEqual([]);
    expect(pool.stopped()).toBe(true);
    expect(pool.progress(1).step).toBe(result.state.step);
    expect(pool.progress(0).step).toBe(0);
  });

  it("may be started before their pool, and work side by side although only one starts at once", async () => {
    const threads = startThreads({ workers: 2, atOnce: 1 });
    pool = createWorkerPool({ workers: 2, members: 2, core, threads });
    const endless = [0, 1].map((member) => pool.runSegment({ config, member, state: null, toStep: 1e9 }));
    while (!endless.every((_, member) => pool.progress(member).step > 0))
      await new Promise((resolve) => setTimeout(resolve, 1));
    pool.stop();
    for (const { state } of await Promise.all(endless)) expect(state.step).toBeGreaterThan(0);
  });
});

describe("threads that are closed while they load", () => {
  it("end, and do not take the process with them", () => {
    const program = `
      import { startThreads } from ${JSON.stringify(new URL("../dist/pool/pool.js", import.meta.url).href)};
      for (let i = 0; i < 30; i++) {
        const pools = [startThreads({ workers: 2 }), startThreads({ workers: 2 })];
        await new Promise((resolve) => setTimeout(resolve, 20 + 4 * i));
        await Promise.all(pools.map((pool) => pool.close()));
      }`;
    const args = ["--input-type=module", "--eval", program];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describe("a segment", () => {
  it("keeps its result in the arrays of a state that was given away, and leaves any other alone", () => {
    const start = trainSegment(
      { config, member: 0, state: null, toStep: 3 },
      { core, stop: () => false },
    ).state;
    const before = structuredClone(start);
    const request = { config, member: 0, state: start, toStep: 6 };
    const kept = trainSegment(request, { core, stop: () => false });
    expect(start).toEqual(before);
    const taken = trainSegment(request, { core, stop: () => false, takeState: true });
    expect(taken).toEqual({
      ...kept,
      trainSeconds: taken.trainSeconds,
      evaluationSeconds: taken.evaluationSeconds,
    });
    for (const vector of ["parameters", "firstMoment", "secondMoment"] as const) {
      expect(taken.state[vector]).toBe(start[vector]);
      expect(taken.state[vector]).not.toEqual(before[vector]);
    }
  });
});

describe("a worker that dies", () => {
  const filename = fileURLToPath(new URL("./fixtures/crashing-worker.mjs", import.meta.url));
  const request = (way: string): SegmentRequest => {
    const vector = () => new Float32Array([1, 2]);
    const state = { step: 3, parameters: vector(), firstMoment: vector(), secondMoment: vector() };
    const marker = join(root, way);
    return { member: 0, state, toStep: 4, config: { way, marker } } as unknown as SegmentRequest;
  };

  it.each([
    ["exit", /exited with code: 7/],
    ["throw", /thrown by the worker/],
  ])("by %s fails its segment, and the next attempt runs in a new one", async (way, message) => {
    pool = createWorkerPool({
      workers: 1,
      members: 1,
      core,
      threads: startThreads({ workers: 1, filename }),
    });
    const sent = request(way);
    await expect(pool.runSegment(sent)).rejects.toThrow(message);
    const { member, state, toStep } = sent;
    expect(await pool.runSegment(sent)).toEqual({ member, state, toStep });
  });

  describe.each(["exit", "throw"])("before it is ready, by %s,", (way) => {
    const stillborn = fileURLToPath(new URL("./fixtures/stillborn-worker.mjs", import.meta.url));
    let count = 0;
    const start = (times: number) => {
      const workerData = { way, times, marker: join(root, `stillborn-${way}-${count++}`) };
      threads = startThreads({ workers: 2, atOnce: 1, filename: stillborn, workerData });
    };
    const attempt = (member: number) =>
      threads.run<{ member: number }>({ request: { member } }).then(
        (result) => result.member,
        (error: Error) => error.message,
      );
    let threads: Threads;
    afterEach(() => threads.close());

    it("fails its segment, every time", async () => {
      start(1000);
      for (let i = 0; i < 3; i++)
        for (const message of await Promise.all([attempt(0), attempt(1)]))
          expect(message).toMatch(/exited with code: 7|cannot be loaded|before it was ready/);
    });

    it("is replaced, once there is a next attempt", async () => {
      start(2);
      const member = async (m: number) => {
        for (let i = 0; i < 6; i++) if ((await attempt(m)) === m) return true;
        return false;
      };
      expect(await Promise.all([member(0), member(1)])).toEqual([true, true]);
    });
  });

  it("because it was never built is reported at once", () => {
    expect(() => startThreads({ workers: 1, filename: join(root, "none.js") })).toThrow(
      /none\.js does not exist: run "npm run build" first/,
    );
  });
});
