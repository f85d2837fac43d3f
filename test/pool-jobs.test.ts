import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { runLanes, WriteQueue } from "../src/pool/jobs.ts";

const listOf = (...jobs: number[]) => {
  const left = jobs.values();
  return () => left.next().value;
};

describe("the queue of writes", () => {
  it("writes one at a time in the order asked for", async () => {
    const queue = new WriteQueue();
    const log: string[] = [];
    const write = (name: string, ms: number) => async () => {
      log.push(`${name} begins`);
      await wait(ms);
      log.push(`${name} ends`);
    };
    queue.add(write("slow", 20));
    await queue.add(write("quick", 0));
    expect(log).toEqual(["slow begins", "slow ends", "quick begins", "quick ends"]);
    await queue.drained();
  });

  it("does nothing more after a write that failed, and tells of it once", async () => {
    let told = 0;
    const queue = new WriteQueue(() => told++);
    const written: number[] = [];
    queue.add(async () => void written.push(1));
    queue.add(() => Promise.reject(new Error("disk full")));
    queue.add(async () => void written.push(3));
    await expect(queue.add(async () => void written.push(4))).rejects.toThrow("disk full");
    await expect(queue.drained()).rejects.toThrow("disk full");
    expect(queue.failed).toBe(true);
    expect(written).toEqual([1]);
    expect(told).toBe(1);
  });
});

describe("lanes", () => {
  it("run as many jobs at a time as there are workers, and end when there is none left", async () => {
    let under = 0;
    let most = 0;
    const results: number[] = [];
    await runLanes({
      workers: 2,
      next: listOf(1, 2, 3, 4, 5),
      run: async (job) => {
        most = Math.max(most, ++under);
        await wait(5);
        under--;
        return 10 * job;
      },
      done: async (_, result) => void results.push(result),
      queue: new WriteQueue(),
    });
    expect(results.sort()).toEqual([10, 20, 30, 40, 50]);
    expect(most).toBe(2);
  });

  it("run the next job while a result is written, and wait with its result until it has been", async () => {
    const queue = new WriteQueue();
    const log: string[] = [];
    await runLanes({
      workers: 1,
      next: listOf(1, 2),
      run: async (job) => void log.push(`run ${job}`),
      done: (job) => {
        log.push(`take ${job}`);
        return queue.add(async () => {
          await wait(20);
          log.push(`written ${job}`);
        });
      },
      queue,
    });
    expect(log).toEqual(["run 1", "take 1", "run 2", "written 1", "take 2", "written 2"]);
  });

  it("begin nothing after a failed write, and throw when the jobs under way have ended", async () => {
    const queue = new WriteQueue();
    const ended: number[] = [];
    // An error that nobody waits for yet would end the process.
    const slowly = async (job: number) => {
      await wait(job === 1 ? 0 : 30);
      ended.push(job);
    };
    const lanes = runLanes({
      workers: 2,
      next: listOf(1, 2, 3, 4, 5),
      run: slowly,
      done: async () => await queue.add(() => Promise.reject(new Error("disk full"))),
      queue,
    });
    await expect(lanes).rejects.toThrow("disk full");
    expect(ended.sort()).toEqual([1, 2, 3]);
  });
});
