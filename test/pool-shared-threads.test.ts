/** Runs that share worker threads: whose turn it is, and that nothing of one run reaches another. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import { createWorkerPool, startThreads } from "../src/pool/pool.ts";
import type { Threads } from "../src/pool/segments.ts";
import { SharedThreads } from "../src/pool/shared-threads.ts";
import { Turnstile } from "../src/pool/turnstile.ts";
import { freshConfig } from "./fixtures/config.ts";

const pause = (milliseconds = 5) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("the turnstile", () => {
  /** Tasks that last until they are told to end. */
  function bench(places: number) {
    const turnstile = new Turnstile(places);
    const inside: string[] = [];
    const ends = new Map<string, () => void>();
    const come = (name: string, rank: number) =>
      turnstile.pass(rank, async () => {
        inside.push(name);
        await new Promise<void>((resolve) => ends.set(name, resolve));
        inside.splice(inside.indexOf(name), 1);
        return name;
      });
    const end = (name: string) => ends.get(name)!();
    return { come, end, inside: () => inside.join("") };
  }

  it("lets in as many as there are places, the lowest rank first", async () => {
    const { come, end, inside } = bench(2);
    come("a", 0);
    come("b", 1);
    come("c", 3);
    come("d", 2);
    come("e", 2);
    await pause();
    expect(inside()).toBe("ab");
    end("a");
    await pause();
    expect(inside()).toBe("bd");
    end("b");
    await pause();
    expect(inside()).toBe("de");
    end("d");
    await pause();
    expect(inside()).toBe("ec");
  });

  it("keeps the place of one who comes back at once, and gives it away if not", async () => {
    const { come, end, inside } = bench(1);
    const first = come("a", 0);
    come("z", 9);
    await pause();
    end("a");
    await first;
    come("b", 0);
    await pause();
    expect(inside()).toBe("b");
    end("b");
    await pause();
    expect(inside()).toBe("z");
  });

  it("takes a task that fails for one that has ended", async () => {
    const { come, inside } = bench(1);
    const turnstile = new Turnstile(1);
    await expect(turnstile.pass(0, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(turnstile.pass(0, async () => 3)).resolves.toBe(3);
    come("a", 0);
    await pause();
    expect(inside()).toBe("a");
  });
});

describe("shared threads", async () => {
  const core = await loadCoreModule("strict");
  const config = (seed: number) =>
    freshConfig({
      seed,
      math: "strict",
      task: { modulus: 7, trainTasks: 5, examples: 3 },
      model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 24 },
      training: { steps: 30, batchSize: 16 },
      evaluation: { every: 10, prompts: 8 },
      ensemble: { members: 1 },
    });
  const request = (seed: number, toStep: number) => ({
    config: config(seed),
    member: 0,
    state: null,
    toStep,
  });

  it("give each run the bytes that it has alone, and no more threads for more runs", async () => {
    const threads = startThreads({ workers: 2 });
    const shared = new SharedThreads(threads, 2);
    const alone = createWorkerPool({ workers: 1, members: 1, core });
    try {
      const tasks = () => (process.platform === "linux" ? readdirSync("/proc/self/task").length : 0);
      const pools = Array.from({ length: 6 }, () => shared.createPool({ members: 1, core }));
      const first = await Promise.all(pools.map((pool, seed) => pool.runSegment(request(seed, 20))));
      const before = tasks();
      const more = Array.from({ length: 30 }, () => shared.createPool({ members: 1, core }));
      await Promise.all(more.map((pool, seed) => pool.runSegment(request(seed % 6, 5))));
      expect(tasks()).toBeLessThanOrEqual(before);
      for (const [seed, { state, predictions }] of first.entries()) {
        const expected = await alone.runSegment(request(seed, 20));
        expect(state).toEqual(expected.state);
        expect(predictions).toEqual(expected.predictions);
      }
    } finally {
      await alone.close();
      await shared.close();
    }
  });

  it("stop one run and not the others", async () => {
    const shared = new SharedThreads(startThreads({ workers: 1 }), 1);
    try {
      const [one, other] = [1, 2].map(() => shared.createPool({ members: 1, core }));
      one.stop();
      const [stopped, whole] = await Promise.all([
        one.runSegment(request(1, 20)),
        other.runSegment(request(2, 20)),
      ]);
      expect(stopped.state.step).toBe(0);
      expect(whole.state.step).toBe(20);
      expect([one.stopped(), other.stopped()]).toEqual([true, false]);
      expect([one.progress(0).step, other.progress(0).step]).toEqual([0, 20]);
      await one.close();
      expect((await other.runSegment(request(2, 10))).state.step).toBe(10);
    } finally {
      await shared.close();
    }
  });

  it("never have more segments under way than there are threads", async () => {
    let under = 0;
    let most = 0;
    const threads: Threads = {
      run: async <Result>() => {
        most = Math.max(most, ++under);
        await pause(1);
        under--;
        return {} as Result;
      },
      close: async () => {},
    };
    const shared = new SharedThreads(threads, 3);
    const pools = Array.from({ length: 10 }, () => shared.createPool({ members: 2, core }));
    await Promise.all(
      pools.flatMap((pool, i) => [pool.runSegment(request(i, 5)), pool.runSegment(request(i, 5))]),
    );
    expect(most).toBe(3);
  });
});
