/** What `verify` and `status` say of runs in every condition. */
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { decodeSafetensors, readCheckpoint, readRun, writeReport } from "../src/index.ts";
import { encodeCheckpoint } from "../src/run/checkpoints.ts";
import { checkpointFile, LOCK } from "../src/run/files.ts";
import { runHash } from "../src/run/identity.ts";
import { acquireLock } from "../src/run/lock.ts";
import { runEnsemble } from "../src/run/run.ts";
import { runStatuses } from "../src/run/status.ts";
import { verifyRun } from "../src/run/verify.ts";
import { epigrok } from "./fixtures/cli.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const config = fakeConfig(2, { evaluation: { every: 4 }, checkpoints: { keep: 4 } });
const whole = join(root, "runs", "whole");
const createPool = () => fakePool();
beforeAll(async () => {
  await runEnsemble(config, { out: whole, workers: 2, createPool });
});

function copy(happens: (directory: string) => void): string {
  const directory = join(root, `copy-${count++}`);
  cpSync(whole, directory, { recursive: true });
  happens(directory);
  return directory;
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 2)] ^= 4;
  writeFileSync(path, bytes);
}

const again = { members: 2, until: 20, workers: 2, createPool };

describe("verify", () => {
  it("finds nothing wrong with a run, and changes nothing, also when it trains again", async () => {
    const before = fileHashes(whole);
    expect(await verifyRun(whole)).toMatchObject({ sealed: true, faults: [], recomputed: 0 });
    const { faults, recomputed, files } = await verifyRun(whole, again);
    expect(faults).toEqual([]);
    // Four checkpoints and five losses of each member.
    expect(recomputed).toBe(18);
    expect(files).toBe(Object.keys(before).length);
    expect(fileHashes(whole)).toEqual(before);
  });

  it("names each file that is damaged, missing or cut off", async () => {
    const directory = copy((d) => {
      flip(join(d, checkpointFile({ step: 4, member: 1 })));
      flip(join(d, "summary.json"));
      flip(join(d, "state", "member-00.safetensors"));
      truncateSync(join(d, "predictions", "step-00000008.safetensors"), 100);
      rmSync(join(d, checkpointFile({ step: 0, member: 0 })));
    });
    const { faults } = await verifyRun(directory);
    for (const name of [
      "summary.json",
      "state.member-00",
      "step-00000008",
      "step-00000000.member-00",
      "step-00000004.member-01",
    ])
      expect(faults.filter((fault) => new RegExp(`${name}.*(damaged|missing)`).test(fault))).toHaveLength(1);
    // Without these the run has only step 0, which its states are ahead of.
    expect(faults.filter((fault) => !fault.includes("is ahead of"))).toHaveLength(5);
  });

  it("names a line that is there twice, and one in another place, in the report, too", async () => {
    const metrics = (change: (lines: string[]) => void) =>
      copy((d) => {
        const path = join(d, "metrics.jsonl");
        const lines = readFileSync(path, "utf8").trimEnd().split("\n");
        change(lines);
        writeFileSync(path, `${lines.join("\n")}\n`);
      });
    const twice = metrics((lines) => lines.splice(3, 0, lines[2]));
    const fault = `${join(twice, "metrics.jsonl")}:4: a second evaluation at step 8`;
    expect((await verifyRun(twice)).faults).toEqual([fault]);
    await expect(readRun(twice)).rejects.toThrow(fault);
    expect(readFileSync(await writeReport([twice]), "utf8")).toContain(
      "metrics.jsonl:4: a second evaluation at step 8",
    );
    const moved = metrics((lines) => lines.push(...lines.splice(2, 1)));
    expect((await verifyRun(moved)).faults).toEqual([
      `${join(moved, "metrics.jsonl")}:6: out of order: step 8 after step 20`,
    ]);
    await runEnsemble(config, { out: moved, mode: "resume", workers: 1, createPool });
    expect((await verifyRun(moved)).faults).toEqual([]);
    expect(readFileSync(join(moved, "metrics.jsonl"))).toEqual(readFileSync(join(whole, "metrics.jsonl")));
  });

  it("trains again, and finds a checkpoint that has its checksum, but not its numbers", async () => {
    const directory = copy(() => {});
    const key = { step: 8, member: 1 };
    const path = join(directory, checkpointFile(key));
    const { tensors } = decodeSafetensors(readFileSync(path));
    let offset = 0;
    const table = [...tensors].map(([name, { shape, data }]) => {
      const entry = { name, shape: [...shape], offset, length: data.length };
      offset += data.length;
      return entry;
    });
    const flat = Float32Array.from([...tensors.values()].flatMap(({ data }) => [...(data as Float32Array)]));
    flat[3] += 1;
    writeFileSync(path, encodeCheckpoint(key, flat, table, runHash(config)));
    expect((await verifyRun(directory)).faults).toEqual([]);
    expect((await verifyRun(directory, again)).faults).toEqual([
      expect.stringMatching(
        /step-00000008.member-01\.safetensors: the checkpoint, computed again, is another one/,
      ),
    ]);
    expect((await verifyRun(directory, { ...again, members: 1 })).faults).toEqual([]);
    expect((await verifyRun(directory, { ...again, until: 4 })).faults).toEqual([]);
  });

  it("refuses a run that is being written, and what is none", async () => {
    const lock = acquireLock(join(whole, LOCK));
    await expect(verifyRun(whole)).rejects.toThrow(`process ${process.pid}`);
    lock.release();
    await expect(verifyRun(root)).rejects.toThrow("there is no run in");
    await expect(verifyRun(whole, { ...again, members: 3 })).rejects.toThrow("members: got 3");
  });
});

describe("epigrok verify", () => {
  it.each<[string[], string]>([
    [["--members", "2"], "--members: got 2, must be left out without --recompute"],
    [["--until", "4"], "--until: got 4, must be left out without --recompute"],
    [["--recompute", "--members", "3"], "members: got 3, must be an integer from 1 to 2"],
    [
      ["--recompute", "--members", "1e300"],
      "--members: got 1e+300, must be a positive integer and below 2^53",
    ],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await epigrok(["verify", whole, ...args]);
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: "", stderr: `epigrok: ${message}\n` });
  });
});

describe("status", () => {
  it("tells running, finished, interrupted and broken runs apart, and passes over other directories", async () => {
    const runs = join(root, "several");
    mkdirSync(join(runs, "notes"), { recursive: true });
    writeFileSync(join(runs, "notes", "config.txt"), "");
    for (const name of ["broken", "damaged", "finished", "interrupted", "running"])
      cpSync(whole, join(runs, name), { recursive: true });
    flip(join(runs, "broken", "config.json"));
    flip(join(runs, "damaged", "metrics.jsonl"));
    for (const name of ["interrupted", "running"]) rmSync(join(runs, name, "summary.json"));
    const lock = acquireLock(join(runs, "running", LOCK));
    const statuses = await runStatuses(runs);
    lock.release();
    expect(
      statuses.map(({ directory, state, step }) => [directory.split(/[\\/]/).at(-1), state, step]),
    ).toEqual([
      ["broken", "broken", null],
      ["damaged", "broken", 20],
      ["finished", "finished", 20],
      ["interrupted", "interrupted", 20],
      ["running", "running", 20],
    ]);
    expect(statuses[0].message).toMatch(/config\.json: (damaged|not JSON)/);
    expect(await runStatuses(join(runs, "finished"))).toEqual([statuses[2]]);
    expect(await runStatuses(join(runs, "notes"))).toEqual([]);
  });
});

describe("readCheckpoint", () => {
  it("gives parameters by name and shape, of the newest step or of the one asked for", async () => {
    const { step, member, parameters } = await readCheckpoint(whole);
    expect([step, member]).toEqual([20, 0]);
    const { tensors } = decodeSafetensors(readFileSync(join(whole, checkpointFile({ step, member }))));
    expect(parameters).toEqual(tensors);
    expect((await readCheckpoint(whole, { step: 4, member: 1 })).step).toBe(4);
    await expect(readCheckpoint(whole, { step: 5 })).rejects.toThrow("no checkpoint of member 0 at step 5");
  });

  it("refuses a damaged one", async () => {
    const directory = copy((d) => flip(join(d, checkpointFile({ step: 20, member: 0 }))));
    await expect(readCheckpoint(directory)).rejects.toThrow("damaged, it does not have its checksum");
  });
});
