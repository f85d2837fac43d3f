/** Threads that share the steps of one member: the same bytes whatever their number, and what happens when one is lost. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { ConfigInput } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { createTransformer } from "../src/core/create.ts";
import { shardingOf } from "../src/core/shards.ts";
import { Team, type TeamHandle } from "../src/core/team.ts";
import { createWorkerPool, startThreads } from "../src/pool/pool.ts";
import type { WorkerPool } from "../src/pool/segments.ts";
import { Teams } from "../src/pool/teams.ts";
import { runEnsemble } from "../src/run/run.ts";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { createMemberModel } from "../src/training/member-model.ts";
import { initialParameters, transformerShape } from "../src/training/model.ts";
import { teamSizeOf, threadsFor, trainingSharding } from "../src/training/team-size.ts";
import { freshConfig } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

/** Batches of 14 micro-batches. */
const large = (input: ConfigInput = {}) =>
  freshConfig({
    math: "strict",
    ensemble: { members: 1 },
    evaluation: { every: 10, prompts: 16 },
    ...input,
    task: { modulus: 7, trainTasks: 5, examples: 3 },
    model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 24, ...input.model },
    training: { steps: 20, batchSize: 1050, ...input.training },
  });

describe("the shards of a batch", () => {
  const { shape } = { shape: { ...transformerShape(large()), ropeBase: 30, roles: 0, dropout: 0 } };
  const cut = (batchSize: number) => shardingOf(shape as never, batchSize, 8);

  it("are one for small batches, and of a fixed size for large ones, whatever the batch", () => {
    const config = large();
    expect(trainingSharding(config)).toEqual({ shards: 7, sequences: 152 });
    expect(trainingSharding(large({ training: { batchSize: 532 } }))).toEqual({ shards: 1, sequences: 532 });
    expect(trainingSharding(large({ training: { batchSize: 533 } }))).toEqual({ shards: 4, sequences: 152 });
    for (const batchSize of [1, 7, 300, 337, 338, 1000, 5000]) {
      const { shards, sequences } = cut(batchSize);
      expect(shards * sequences).toBeGreaterThanOrEqual(batchSize);
      expect((shards - 1) * sequences).toBeLessThan(batchSize);
    }
  });

  it("add up to the gradient of the whole batch", async () => {
    const config = large();
    const model = await createTransformer(transformerShape(config), { math: "strict" });
    model.setParameters(
      Float32Array.from({ length: model.parameterCount }, (_, i) => 0.3 * Math.sin(i * 1.7)),
    );
    const sampler = new PromptSampler({ ...config, seed: 0, evaluation: { prompts: 16 } });
    const batch = sampler.createBatch(1050, "all");
    sampler.sampleInto(batch, 0, 1);
    const { loss, gradient } = model.lossAndGradient(batch);
    const sum = new Float64Array(gradient.length);
    let mean = 0;
    const part = 210;
    for (let first = 0; first < 1050; first += part) {
      const of = (values: Int32Array, width: number) =>
        values.subarray(first * width, (first + part) * width);
      const result = model.lossAndGradient({
        ...batch,
        batchSize: part,
        tokens: of(batch.tokens, batch.length),
        targets: of(batch.targets, batch.positions.length),
      });
      mean += result.loss / 5;
      result.gradient.forEach((g, i) => {
        sum[i] += g / 5;
      });
    }
    expect(loss).toBeCloseTo(mean, 6);
    const scale = Math.hypot(...sum);
    // Sums of some thousand float32 terms in another order.
    gradient.forEach((g, i) => {
      expect(Math.abs(g - sum[i])).toBeLessThan(1e-5 * scale);
    });
  });
});

describe("threads of one member", () => {
  const train = async (config: ReturnType<typeof large>, name: string, workers: number) => {
    const out = join(root, name);
    await runEnsemble(config, { out, workers });
    return resultHashes(out);
  };

  it.each([
    ["AdamW", {}],
    [
      "IVON with dropout",
      {
        model: { dropout: 0.1, actFn: "gelu" },
        training: { optimizer: "ivon", learningRate: 0.1, weightDecay: 1e-4, steps: 10 },
      },
    ],
  ] as const)("give the same bytes whatever their number: %s", async (name, input) => {
    const config = large(input as ConfigInput);
    const alone = await train(config, `${name}-1`, 1);
    for (const workers of [2, 3, 9])
      expect(await train(config, `${name}-${workers}`, workers)).toEqual(alone);
  });

  it("and so for two members on three threads", async () => {
    const config = large({ ensemble: { members: 2 }, training: { steps: 20, batchSize: 1050 } });
    expect(await train(config, "two-3", 3)).toEqual(await train(config, "two-1", 1));
  });

  it("are as many as have something to do", () => {
    expect(threadsFor(large(), 1)).toEqual({ used: 1, perMember: 1 });
    expect(threadsFor(large(), 4)).toEqual({ used: 4, perMember: 4 });
    expect(threadsFor(large(), 64)).toEqual({ used: 7, perMember: 7 });
    expect(threadsFor(large({ ensemble: { members: 3 } }), 8)).toEqual({ used: 8, perMember: 2 });
    expect(threadsFor(large({ training: { batchSize: 64 } }), 8)).toEqual({ used: 1, perMember: 1 });
  });
});

describe("a team", () => {
  it("gives the gradient of one thread, byte for byte, with shards of the assistants among its own", async () => {
    const config = large({ model: { dModel: 32, nLayers: 2, dMlp: 64 } });
    const core = await loadCoreModule("strict");
    const { transformer } = createMemberModel(config, core);
    transformer.setParameters(initialParameters(transformer.parameters, config, 0));
    const sampler = new PromptSampler({ ...config, seed: 0, evaluation: { prompts: 16 } });
    const batch = sampler.createBatch(1050, "all");
    sampler.sampleInto(batch, 0, 1);
    const alone = transformer.lossAndGradient(batch);
    const team = new Team(teamSizeOf(config, 3)!);
    const threads = startThreads({ workers: 2 });
    const task = { config, core, team: team.handle };
    const assistants = [0, 1].map(() => threads.run(task, { name: "assist" }));
    while (!team.helped()) await new Promise((resolve) => setTimeout(resolve, 1));
    transformer.setTeam(team);
    // After a round the word of a slot is not 0 if an assistant has left a gradient there.
    const ready = new Int32Array(team.handle.buffer, 64, team.handle.size.slots);
    let helped = 0;
    for (let round = 0; round < 500 && helped < 10; round++) {
      expect(transformer.lossAndGradient(batch)).toEqual(alone);
      if (ready.some((word) => word !== 0)) helped++;
    }
    expect(helped).toBe(10);
    team.dissolve();
    await Promise.all(assistants);
    expect(team.helped()).toBe(false);
    await threads.close();
  });
});

describe("a thread that dies while it helps", () => {
  let pool: WorkerPool;
  afterEach(() => pool.close());
  const filename = fileURLToPath(new URL("./fixtures/lost-assistant.mjs", import.meta.url));

  it.each(["exit", "throw"])("by %s fails the segment, which then gives the bytes it should", async (way) => {
    const core = await loadCoreModule("strict");
    const config = large();
    const marker = join(root, `lost-${way}`);
    const threads = startThreads({ workers: 2, filename, workerData: { marker, way } });
    pool = createWorkerPool({ workers: 2, members: 1, core, threads });
    const request = { config, member: 0, state: null, toStep: 60 };
    await expect(pool.runSegment(request)).rejects.toThrow(
      /a thread that helped with this member's steps has died/,
    );
    expect(existsSync(marker)).toBe(true);
    const { state } = await pool.runSegment(request);
    const alone = createWorkerPool({ workers: 1, members: 1, core });
    expect(state).toEqual((await alone.runSegment(request)).state);
    await alone.close();
  });
});

describe("idle threads", () => {
  /** Segments and assistants that last until they are told; at most `workers` at a time, or the test fails. */
  function bench(workers: number) {
    const size = teamSizeOf(large(), workers);
    const helping: { name: string; team: TeamHandle; leave: () => void }[] = [];
    const teams = new Teams<string>(workers, (name, team) => {
      return new Promise<void>((resolve) => {
        const entry = { name, team, leave: () => {} };
        entry.leave = () => {
          helping.splice(helping.indexOf(entry), 1);
          resolve();
        };
        helping.push(entry);
      });
    });
    const segment = (name: string, of = size) => {
      let end = () => {};
      const done = teams.lead(name, of, () => new Promise<void>((resolve) => (end = resolve)));
      return { end: () => end(), done };
    };
    const names = () => helping.map(({ name }) => name).sort();
    return { segment, helping, names };
  }

  it("help where fewest do, and only as many as there are shards", async () => {
    vi.useFakeTimers();
    const { segment, names } = bench(12);
    segment("a");
    segment("b");
    expect(names()).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual([..."aaaaabbbbb"]);
    const { segment: alone, names: helpers } = bench(40);
    alone("a");
    await vi.advanceTimersByTimeAsync(10);
    expect(helpers()).toEqual([..."aaaaaa"]);
    vi.useRealTimers();
  });

  it("are asked back for a segment, and do not help those that have one shard", async () => {
    vi.useFakeTimers();
    const { segment, helping, names } = bench(3);
    segment("a");
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual(["a", "a"]);
    const leave = () => new Int32Array(helping[0].team.buffer)[3];
    expect(leave()).toBe(0);
    const b = segment("b", null);
    expect(leave()).toBe(1);
    helping[0].leave();
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual(["a"]);
    b.end();
    await b.done;
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual(["a", "a"]);
    vi.useRealTimers();
  });

  it("help the next segment also if they are late to leave the last one", async () => {
    vi.useFakeTimers();
    const { segment, helping, names } = bench(2);
    const first = segment("a");
    await vi.advanceTimersByTimeAsync(10);
    const [{ leave }] = helping;
    first.end();
    await first.done;
    segment("b");
    await vi.advanceTimersByTimeAsync(50);
    expect(names()).toEqual(["a"]);
    leave();
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual(["b"]);
    vi.useRealTimers();
  });

  it("go on to the next segment, whose team has the memory of the last one", async () => {
    vi.useFakeTimers();
    const { segment, helping, names } = bench(2);
    const first = segment("a");
    await vi.advanceTimersByTimeAsync(10);
    const [{ team, leave }] = helping;
    first.end();
    await first.done;
    expect(new Int32Array(team.buffer)[4]).toBe(1);
    leave();
    await vi.advanceTimersByTimeAsync(1);
    segment("b");
    await vi.advanceTimersByTimeAsync(10);
    expect(names()).toEqual(["b"]);
    expect(helping[0].team.buffer).toBe(team.buffer);
    vi.useRealTimers();
  });
});
