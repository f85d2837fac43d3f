import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../src/errors.ts";
import { type MemberProgress, newMember } from "../src/pool/controller.ts";
import { makeDefaultRunDirectory, type OpenMode, RunDirectory } from "../src/run/directory.ts";
import { ForeignRunError } from "../src/run/errors.ts";
import { runHash } from "../src/run/identity.ts";
import { configHash } from "../src/run/manifest.ts";
import { decodeMember, encodeMember } from "../src/run/member-file.ts";
import { readMember, readMetrics, readSummary } from "../src/run/read.ts";
import { isTemporary } from "../src/run/write-file.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { RECORD_VERSION } from "../src/uncertainty/statistics.ts";
import { fakeConfig } from "./fixtures/fake-trainer.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const native = (path: string) => join(...path.split("/"));
let count = 0;
const fresh = () => join(root, `d${count++}`);

const config = fakeConfig(2);
const run = runHash(config);
const manifest = { config, hash: configHash(config), overrides: [], commandLine: [] };

/** What a kill leaves of a file that was to appear. */
const leftover = ".epigrok-0123456789abcdef.tmp";

const evaluation = (step: number) => ({ step, members: [], ensemble: {} });
const line = (step: number) => `${JSON.stringify(evaluation(step))}\n`;

async function withRun(): Promise<string> {
  const path = fresh();
  const directory = await RunDirectory.open(path, "new", run);
  await directory.writeManifest(manifest);
  await directory.appendLine("metrics.jsonl", evaluation(0));
  directory.close();
  return path;
}

const open = async (path: string, mode: OpenMode) => (await RunDirectory.open(path, mode, run)).close();

describe("RunDirectory.open", () => {
  it("creates a new directory, also several levels deep, and uses an empty one", async () => {
    await open(join(fresh(), "a", "b"), "new");
    const empty = fresh();
    mkdirSync(empty);
    await open(empty, "new");
  });

  it("refuses a run that is there, and says what can be done", async () => {
    const path = await withRun();
    await expect(open(path, "new")).rejects.toThrow(/already holds a run.*--resume.*--overwrite/);
    await expect(open(path, "new")).rejects.toBeInstanceOf(UsageError);
  });

  it.each<OpenMode>(["new", "resume", "overwrite"])(
    "never touches a directory of something else (%s)",
    async (mode) => {
      const path = fresh();
      mkdirSync(path);
      writeFileSync(join(path, "thesis.tex"), "precious");
      await expect(open(path, mode)).rejects.toThrow("not empty and not a run directory");
      expect(readdirSync(path)).toEqual(["thesis.tex"]);
    },
  );

  it("takes a directory in which a kill left only temporary files for empty", async () => {
    const path = fresh();
    mkdirSync(path);
    writeFileSync(join(path, leftover), "{");
    await open(path, "new");
    expect(readdirSync(path)).toEqual([]);
  });

  it("deletes the old run, but nothing else, when it overwrites", async () => {
    const path = await withRun();
    const run = [
      "metrics.jsonl",
      "summary.json",
      "state/member-00.safetensors",
      "predictions/step-00000004.safetensors",
    ];
    const users = [
      "notes.txt",
      "state/notes.txt",
      "checkpoints/step-00000004/mine.safetensors",
      "config.json.1",
    ];
    for (const name of [...run, ...users].map(native)) {
      mkdirSync(join(path, dirname(name)), { recursive: true });
      writeFileSync(join(path, name), "{}");
    }
    await open(path, "overwrite");
    const left = Object.keys(fileHashes(path));
    expect(left.sort()).toEqual(["config.json", ...users].map(native).sort());
    expect(existsSync(join(path, "predictions"))).toBe(false);
  });

  it.each<OpenMode>(["overwrite", "resume"])(
    "stays a run directory at every moment of overwriting: a kill there strands nothing (%s)",
    async (mode) => {
      const path = await withRun();
      writeFileSync(join(path, "notes.txt"), "mine");
      await open(path, "overwrite");
      await open(path, mode);
      expect(readdirSync(path).sort()).toEqual(["config.json", "notes.txt"]);
    },
  );

  it.each<OpenMode>(["new", "resume", "overwrite"])(
    "does not take a directory with somebody's config.json for a run (%s)",
    async (mode) => {
      for (const content of ['{"port": 80}', "port: 80", "[]", "null", ""]) {
        const path = fresh();
        mkdirSync(join(path, "checkpoints"), { recursive: true });
        writeFileSync(join(path, "config.json"), content);
        writeFileSync(join(path, "checkpoints", "best.pt"), "precious");
        await expect(open(path, mode)).rejects.toThrow(
          "its config.json is none of a run: choose another one",
        );
        expect(readFileSync(join(path, "checkpoints", "best.pt"), "utf8")).toBe("precious");
      }
    },
  );

  it.each<OpenMode>(["new", "resume", "overwrite"])(
    "does not take an empty path, such as that of an unset variable, for the working directory (%s)",
    async (mode) => {
      await expect(open("", mode)).rejects.toThrow('the run directory: got "", must be a path');
    },
  );

  it("names a path that cannot be a directory", async () => {
    const file = fresh();
    writeFileSync(file, "");
    await expect(open(file, "new")).rejects.toThrow(`cannot use ${file}: it is not a directory`);
    await expect(open(join(file, "below"), "new")).rejects.toBeInstanceOf(UsageError);
  });

  it("has one writer at a time", async () => {
    const path = await withRun();
    const first = await RunDirectory.open(path, "resume", run);
    await expect(open(path, "resume")).rejects.toThrow(`written by process ${process.pid}`);
    first.close();
    await open(path, "resume");
  });
});

describe("what a kill left behind", () => {
  it("goes when the run is opened; what only looks like it is the user's, and stays", async () => {
    const path = await withRun();
    const users = [
      "config.json.1",
      "report.html.77",
      "notes.tmp",
      ".epigrok.tmp",
      ".epigrok-mine.tmp",
      `${leftover}.bak`,
    ];
    const folders = ["", "state", "checkpoints/step-00000001"].map(native);
    for (const folder of folders) {
      mkdirSync(join(path, folder), { recursive: true });
      for (const name of [leftover, ...users]) writeFileSync(join(path, folder, name), "x");
    }
    await open(path, "resume");
    const files = Object.keys(fileHashes(path));
    expect(files.filter(isTemporary)).toEqual([]);
    for (const folder of folders)
      expect(files).toEqual(expect.arrayContaining(users.map((name) => join(folder, name))));
  });
});

describe("metrics.jsonl", () => {
  it("is read without a cut-off last line, loses it when the run is opened, and is appended to after it", async () => {
    const path = await withRun();
    const file = join(path, "metrics.jsonl");
    writeFileSync(file, `${line(0)}${line(4)}{"step":8,"tokens"`);
    expect(await readMetrics(path)).toEqual([evaluation(0), evaluation(4)]);
    const directory = await RunDirectory.open(path, "resume", run);
    expect(readFileSync(file, "utf8")).toBe(`${line(0)}${line(4)}`);
    await directory.appendLine("metrics.jsonl", evaluation(8));
    directory.close();
    const [last] = readFileSync(file, "utf8").split("\n").slice(2);
    expect(readFileSync(file, "utf8")).toBe(`${line(0)}${line(4)}${last}\n`);
    expect(JSON.parse(last)).toEqual({
      ...{ version: RECORD_VERSION, run, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ...evaluation(8),
    });
    expect(await readMetrics(path)).toEqual([0, 4, 8].map(evaluation));
  });

  it("of a newer version is refused, with the versions that can be read", async () => {
    const path = await withRun();
    const newer = `{"version":${RECORD_VERSION + 1},"step":4,"members":[],"ensemble":{}}\n`;
    writeFileSync(join(path, "metrics.jsonl"), `${line(0)}${newer}`);
    await expect(readMetrics(path)).rejects.toThrow(
      `metrics.jsonl:2: record version ${RECORD_VERSION + 1}, from a newer epigrok; this one reads versions up to ${RECORD_VERSION}`,
    );
  });
});

describe("a damaged file", () => {
  it("is named", async () => {
    const path = await withRun();
    mkdirSync(join(path, "state"));
    writeFileSync(join(path, "state", "member-00.safetensors"), "junk");
    writeFileSync(join(path, "metrics.jsonl"), `${line(0)}{"step"\n${line(8)}`);
    writeFileSync(join(path, "summary.json"), "{");
    await expect(readMember(path, { member: 0 }, null)).rejects.toThrow(
      /member-00\.safetensors: damaged, not a valid safetensors/,
    );
    await expect(readMetrics(path)).rejects.toThrow(/metrics\.jsonl:2: not JSON/);
    await expect(readSummary(path)).rejects.toThrow(/summary\.json: not JSON/);
    for (const read of [
      () => readMember(path, { member: 0 }, null),
      () => readMetrics(path),
      () => readSummary(path),
    ])
      await expect(read()).rejects.toBeInstanceOf(ForeignRunError);
  });
});

describe("a member's state", () => {
  const state = {
    step: 7,
    parameters: new Float32Array([1, Number.MIN_VALUE, -0]),
    firstMoment: new Float32Array([0.1, 0.2, 0.3]),
    secondMoment: new Float32Array([1e-20, 2, 3]),
  };
  const progress = {
    ...newMember(3),
    state,
    evaluated: 4,
    tokens: 123456789012,
    sums: { steps: 3, loss: 0.1 + 0.2, gradientNorm: 1 / 3 },
    pending: [
      {
        member: 3,
        step: 0,
        tokens: 0,
        loss: Number.NaN,
        gradientNorm: Number.NaN,
        predictions: [
          {
            set: "unseenTasks" as const,
            probabilities: new Float32Array([0.25, 0.75]),
            cycle: new Float32Array([1, 0]),
          },
        ],
      },
      {
        member: 3,
        step: 4,
        tokens: 12,
        loss: 1,
        gradientNorm: 2,
        predictions: [{ set: "seenTasks" as const, probabilities: new Float32Array([0.5, 0.5]) }],
        answers: { right: new Float32Array([0, 1]), confidence: new Float32Array([0.1, 0.9]) },
      },
    ],
    failure: { member: 3, step: 8, reason: "crash" as const, message: "é" },
  };

  it("comes back bit for bit, with sums, pending evaluations and failure", () => {
    const again = (before: MemberProgress) =>
      decodeMember(decodeSafetensors(Buffer.from(encodeMember(before, run))));
    expect(again(progress)).toEqual(progress);
    expect(again(newMember(1))).toEqual(newMember(1));
  });

  it("is refused when it is cut off", () => {
    const bytes = encodeMember(progress, run);
    expect(() => decodeMember(decodeSafetensors(bytes.subarray(0, bytes.length - 4)))).toThrow(RangeError);
  });
});

describe("names and hashes", () => {
  it("gives equal configurations equal hashes and others not", () => {
    expect(configHash(fakeConfig(2))).toBe(configHash(config));
    expect(configHash(fakeConfig(3))).not.toBe(configHash(config));
  });

  it("names a run by date and name, and makes its directory, so that the next one gets another", () => {
    const date = new Date("2031-02-03T04:05:06Z");
    const before = process.cwd();
    process.chdir(root);
    try {
      const names = Array.from({ length: 3 }, () => makeDefaultRunDirectory("quick", date));
      const name = join("runs", "2031-02-03-quick");
      expect(names).toEqual([name, `${name}-2`, `${name}-3`]);
      expect(names.every((path) => existsSync(path))).toBe(true);
    } finally {
      process.chdir(before);
    }
  });
});
