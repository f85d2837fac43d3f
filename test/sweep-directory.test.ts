/** The directory of a sweep: whose it is, what is added to it, and what is refused. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { acquireLock } from "../src/run/lock.ts";
import { requireSameBuilds } from "../src/sweep/builds.ts";
import { defineSweep, parseAxis, type SweepInput } from "../src/sweep/definition.ts";
import { cancelRequest, cancelSweep, changeSweep, readSweep, removeFailure } from "../src/sweep/directory.ts";
import { requireAtomicRename } from "../src/sweep/file-system.ts";
import { sweepStatus } from "../src/sweep/status.ts";
import { extendSweep, goOn, prepareSweep } from "../src/sweep/sweep.ts";
import { GRID, TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `sweep-${count++}`);
const prepare = (input: SweepInput = GRID, out = fresh()) =>
  prepareSweep(defineSweep(input), { out, workers: 2 });

describe("the directory of a sweep", () => {
  it("holds the runs, with what they were made with", async () => {
    const out = await prepare();
    const { runs, builds, definition } = readSweep(out);
    expect(runs.map(({ settings }) => settings.seed)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(builds.cores.strict).toMatchObject({
      math: "strict",
      wasmSha256: expect.stringMatching(/^\w{64}$/),
    });
    expect(definition.axes).toHaveLength(2);
    expect(readdirSync(out)).toEqual(["sweep.json"]);
  });

  it("is found again by the same sweep, and by a part of it", async () => {
    const out = await prepare();
    const before = readFileSync(join(out, "sweep.json"), "utf8");
    await prepare(GRID, out);
    await prepare({ ...GRID, axes: { ...GRID.axes, seed: 1 } }, out);
    expect(readFileSync(join(out, "sweep.json"), "utf8")).toBe(before);
  });

  it("is made once by those who ask at the same time", async () => {
    const out = fresh();
    await Promise.all([1, 2, 3].map(() => prepare(GRID, out)));
    expect(readSweep(out).runs).toHaveLength(6);
    expect(readdirSync(out)).toEqual(["sweep.json"]);
  });

  it("refuses another sweep, and the same runs with other evaluations", async () => {
    const out = await prepare();
    const more = { ...GRID, axes: { ...GRID.axes, seed: "2..4" } };
    await expect(prepare(more, out)).rejects.toThrow(
      /holds another sweep: 4 of these 6 runs are not in it, such as task\.trainTasks=4 seed=3.* epigrok sweep extend/,
    );
    const often = { ...GRID, set: { ...TINY, evaluation: { every: 10, prompts: 8 } } };
    await expect(prepare(often, out)).rejects.toThrow(
      /with other numbers of steps, evaluations or checkpoints/,
    );
  });

  it("refuses what holds something else, and leaves it alone", async () => {
    const out = fresh();
    mkdirSync(out);
    writeFileSync(join(out, "thesis.tex"), "");
    await expect(prepare(GRID, out)).rejects.toThrow(/is not empty and holds no sweep/);
    expect(readdirSync(out)).toEqual(["thesis.tex"]);
    const file = join(out, "thesis.tex");
    await expect(prepare(GRID, file)).rejects.toThrow(/cannot write to .*thesis\.tex/);
    await expect(prepare(GRID, "")).rejects.toThrow(/must be a path/);
  });

  it("refuses a sweep.json that is damaged, or of another kind", async () => {
    const out = await prepare();
    const path = join(out, "sweep.json");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace('"steps": 60', '"steps": 61'));
    expect(() => readSweep(out)).toThrow(/sweep\.json: damaged, it does not have its checksum/);
    writeFileSync(path, text.slice(0, 400));
    expect(() => readSweep(out)).toThrow(/sweep\.json: not JSON/);
    writeFileSync(path, text.replace("epigrok-sweep/1", "epigrok-sweep/9"));
    expect(() => readSweep(out)).toThrow(/schema is "epigrok-sweep\/9"/);
    expect(() => readSweep(root)).toThrow(/there is no sweep in/);
  });

  it.each([
    ["{}", /the reason cannot be read: .*\.json: says no message$/],
    ["null", /says no message$/],
    ["[1]", /says no message$/],
    ['{"message": "ENOS', /\.json: .*JSON/],
    ['{"message": "it broke"}', /^it broke$/],
  ])("knows that a run has failed of which it says %s, and lets it be tried again", async (text, message) => {
    const out = await prepare();
    const [{ run }] = readSweep(out).runs;
    mkdirSync(join(out, "failures"));
    writeFileSync(join(out, "failures", `${run}.json`), text);
    const { counts, runs } = await sweepStatus(out);
    expect(counts).toMatchObject({ failed: 1, waiting: 5 });
    expect(runs[0].failure).toEqual({
      message: expect.stringMatching(message),
      at: "unknown",
      host: "unknown",
      pid: 0,
    });
    await removeFailure(out, run);
    expect((await sweepStatus(out)).counts).toMatchObject({ failed: 0, waiting: 6 });
  });

  it("takes its time while another process changes it", async () => {
    const out = await prepare();
    const lock = acquireLock(join(out, "lock"));
    setTimeout(() => lock.release(), 250);
    const { added } = await extendSweep(out, { axes: [parseAxis("seed=3")] });
    expect(added).toBe(2);
  });
});

describe("an extension", () => {
  it("adds runs to the end, and nothing twice", async () => {
    const out = await prepare();
    const before = readSweep(out).runs;
    const { sweep, added } = await extendSweep(out, { axes: [parseAxis("seed=2..4")] });
    expect(added).toBe(4);
    expect(sweep.runs.slice(0, 6)).toEqual(before);
    expect(sweep.runs.slice(6).map(({ settings }) => Object.values(settings))).toEqual([
      [4, 3],
      [4, 4],
      [5, 3],
      [5, 4],
    ]);
    expect(readSweep(out)).toEqual(sweep);
    expect((await extendSweep(out, { axes: [parseAxis("seed=2..4")] })).added).toBe(0);
    // What the sweep was begun with is still a part of it.
    await prepare(GRID, out);
  });

  it("is no other axis, and no value that is not allowed", async () => {
    const out = await prepare();
    await expect(extendSweep(out, { axes: [parseAxis("training.weightDecay=1,2")] })).rejects.toThrow(
      /no axis over training\.weightDecay, .*there are: task\.trainTasks, seed/,
    );
    await expect(extendSweep(out, { axes: [parseAxis("task.trainTasks=99")] })).rejects.toThrow(
      /task\.trainTasks: got 99/,
    );
    expect(readSweep(out).runs).toHaveLength(6);
  });

  it("is of more steps where none depends on their number", async () => {
    const out = await prepare();
    const { sweep, added } = await extendSweep(out, { steps: 100 });
    expect(added).toBe(0);
    expect(sweep.runs.map(({ steps }) => steps)).toEqual(Array(6).fill(100));
    await expect(extendSweep(out, { steps: 80 })).rejects.toThrow(/--steps: got 80, must be at least 100/);
    await expect(prepare(GRID, out)).rejects.toThrow(/with other numbers of steps/);
    const falling = await prepare({
      ...GRID,
      set: { ...TINY, training: { ...TINY.training, schedule: "cosine" } },
    });
    await expect(extendSweep(falling, { steps: 100 })).rejects.toThrow(
      /cannot go on to more steps, since the cosine schedule .* is over all of training\.steps/,
    );
  });
});

describe("what the numbers depend on", () => {
  const builds = {
    epigrok: "1.0.0",
    cores: { fast: { math: "fast", simd: 256, wasmSha256: "a".repeat(64) } },
  } as const;

  it("is the same for all runs of a sweep, unless that is not wanted", async () => {
    requireSameBuilds(builds, builds);
    const other = {
      epigrok: "1.1.0",
      cores: { fast: { math: "strict", simd: 128, wasmSha256: "b".repeat(64) } },
    } as const;
    expect(() => requireSameBuilds(builds, other)).toThrow(
      /begun with epigrok 1\.0\.0, here 1\.1\.0; math fast, here strict; simd 256, here 128; Wasm a{12}, here b{12}\..*--mixed/,
    );
    const out = await prepare();
    const { builds: there } = readSweep(out);
    // As if another version had made it.
    await changeSweep(out, async (sweep) => ({ ...sweep, builds: { ...there, epigrok: "0.0.1" } }));
    await expect(goOn(out, { workers: 1 })).rejects.toThrow(/begun with epigrok 0\.0\.1, here/);
    await expect(prepare(GRID, out)).rejects.toThrow(/begun with epigrok 0\.0\.1, here/);
    await expect(extendSweep(out, { axes: [parseAxis("seed=9")] })).rejects.toThrow(
      /begun with epigrok 0\.0\.1/,
    );
    expect((await extendSweep(out, { axes: [parseAxis("seed=9")] }, { mixed: true })).added).toBe(2);
  });
});

describe("a request to stop", () => {
  it("is another one each time", async () => {
    const out = await prepare();
    expect(cancelRequest(out)).toBeNull();
    await cancelSweep(out);
    const first = cancelRequest(out);
    await cancelSweep(out);
    expect(cancelRequest(out)).not.toBe(first);
  });
});

describe("a file system", () => {
  it("that renames atomically is fine, and nothing stays behind", () => {
    const folder = fresh();
    mkdirSync(folder);
    requireAtomicRename(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each<[string, typeof renameSync]>([
    [
      "replaces directories",
      (from, to) => {
        rmSync(to, { recursive: true, force: true });
        renameSync(from, to);
      },
    ],
    [
      "replaces no files",
      () => {
        throw new Error("EEXIST: file already exists");
      },
    ],
    ["copies", (from, to) => writeFileSync(to, readFileSync(from))],
  ])("that %s is refused", (_, rename) => {
    const folder = fresh();
    mkdirSync(folder);
    expect(() => requireAtomicRename(folder, rename)).toThrow(
      /has no atomic rename, on which the claims of runs rest/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});
