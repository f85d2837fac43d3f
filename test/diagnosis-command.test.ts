/** `epigrok diagnose` as a user calls it. */
import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { diagnoseRun } from "../src/diagnosis/diagnose-run.ts";
import { decodeNpz, encodeNpz } from "../src/diagnosis/npz.ts";
import { arrayFile } from "../src/export/arrays.ts";
import { createConfig, diagnose, readRun, runEnsemble } from "../src/index.ts";
import { epigrok } from "./fixtures/cli.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const run = join(root, "run");
const numpy = (name: string) => join(import.meta.dirname, "fixtures/numpy", name);
const settings = (savePredictions: "none" | "last" | "all") =>
  createConfig({
    task: { modulus: 5, variables: 1, zeroTask: true, trainTasks: 3, examples: 2, promptPool: 0 },
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
    training: { steps: 4, batchSize: 4 },
    evaluation: { every: 2, prompts: 6, savePredictions },
    ensemble: { members: 2 },
    math: "strict",
  });

beforeAll(() => runEnsemble(settings("all"), { out: run, workers: 1 }));

describe("of a file", () => {
  it("prints what the library says", async () => {
    const { code, stdout } = await epigrok(["diagnose", "--predictions", numpy("compressed.npz"), "--json"]);
    expect(code).toBe(0);
    const { arrays } = decodeNpz(new Uint8Array(readFileSync(numpy("compressed.npz"))), [
      ...["predictions", "steps", "seen", "seenLabels", "unseenLabels"],
    ]);
    const expected = diagnose({
      predictions: arrays.get("predictions")!,
      steps: arrays.get("steps")!.data,
      seen: { predictions: arrays.get("seen")!, labels: arrays.get("seenLabels")!.data },
      labels: arrays.get("unseenLabels")!.data,
    });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(expected)));
    expect(JSON.parse(stdout)).toMatchObject({ schema: "epigrok-diagnosis/1", alarmStep: null });
  });

  it("as a table, with steps that are given", async () => {
    const { code, stdout } = await epigrok([
      ...["diagnose", "--predictions", numpy("float32-is-not-there.npy"), "--steps", "0,500"],
    ]);
    expect([code, stdout]).toEqual([2, ""]);
    const given = await epigrok(["diagnose", "--predictions", numpy("fortran.npy"), "--steps", "0,500"]);
    expect(given.code).toBe(0);
    expect(given.stdout).toMatch(/^step +state +probability +estimate +from +to +labels +MI\n +0 /);
    expect(given.stdout).toMatch(/At step 500: \w+, with probability 0\.\d\d\. Estimated accuracy/);
  });

  it("writes a report, and replaces nothing else by it", async () => {
    const out = join(root, "diagnosis.html");
    const args = ["diagnose", "--predictions", numpy("compressed.npz"), "--report"];
    expect((await epigrok([...args, out])).stderr).toBe(`Report: ${out}\n`);
    const html = readFileSync(out, "utf8");
    expect(html).toContain("Diagnosis of compressed.npz");
    expect(html.match(/<svg/g)).toHaveLength(3);
    const mine = join(root, "mine.html");
    writeFileSync(mine, "mine");
    const { code, stderr } = await epigrok([...args, mine]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("is no HTML report of epigrok")]);
    expect(readFileSync(mine, "utf8")).toBe("mine");
    // Before anything is computed.
    expect(await epigrok([...args, join(root, "nowhere", "x.html")])).toMatchObject({
      ...{ code: 2, stdout: "" },
      stderr: expect.stringContaining(`there is no folder ${join(root, "nowhere")}`),
    });
  });

  it.each([
    [[], /give a run, or --predictions FILE, or --follow/],
    [["x", "--predictions", "y"], /give a run, or --predictions FILE, or --follow/],
    [
      ["--predictions", numpy("float64.npy"), "--steps", "0,1,2"],
      /float64\.npy: length of steps: got 3, must be 2/,
    ],
    [
      ["--predictions", numpy("fortran.npy"), "--steps", ",500"],
      /--steps: got ",500", must be numbers such as/,
    ],
    [
      ["--predictions", numpy("fortran.npy"), "--steps", "1e1,0x20"],
      /--steps: got "1e1,0x20", must be numbers/,
    ],
    [["--follow", "--predictions", root], /: it is a directory$/m],
    [["--predictions", numpy("README.md")], /README\.md: not a valid safetensors file/],
    [["--predictions", numpy("float64.npy"), "--ceiling", "2"], /ceiling: got 2, must be from 0 to 1/],
    [[run, "--logits"], /--logits goes with --predictions: a run says it itself/],
    [[run, "--cycle", "x.npz"], /--cycle goes with --predictions/],
    [[run, "--cycle-chance", "0.1"], /--cycle-chance goes with --predictions/],
    [[run, "--cycle-ceiling", "0.9"], /--cycle-ceiling goes with --predictions/],
    [["--follow", "--report", "x.html"], /--report, --cycle, --seen and --steps do not go with it/],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await epigrok(["diagnose", ...args]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
  });
});

describe("of a run", () => {
  it("has the accuracies that the run has, beside the estimates", async () => {
    const { code, stdout } = await epigrok(["diagnose", run, "--json"]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    const records = readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n");
    const { references } = JSON.parse(readFileSync(join(run, "summary.json"), "utf8"));
    expect(result.ceiling).toBe(references.unseenTasks.ceiling);
    expect(result.evaluations).toHaveLength(records.length);
    for (const [i, record] of records.map((line) => JSON.parse(line)).entries()) {
      const { step, accuracy, seenAccuracy, statistics } = result.evaluations[i];
      const { unseenTasks, seenTasks } = record.ensemble;
      expect([step, accuracy, seenAccuracy]).toEqual([record.step, unseenTasks.accuracy, seenTasks.accuracy]);
      for (const [name, value] of Object.entries(statistics))
        expect(unseenTasks[name]).toBeCloseTo(value as number, 6);
    }
  });

  it("is that of its arrays, prompts asked back in the archive or in a file beside it", async () => {
    const data = await readRun(run);
    const { cycle, cycleLabels, ...arrays } = Object.fromEntries(
      decodeNpz(await arrayFile(data), [
        ...["predictions", "steps", "cycle", "cycleLabels", "seen", "seenLabels", "unseenLabels"],
      ]).arrays,
    );
    const [own, beside] = ["own.npz", "beside.npz"].map((name) => join(root, name));
    writeFileSync(own, encodeNpz(arrays));
    writeFileSync(beside, encodeNpz({ predictions: cycle, labels: cycleLabels }));
    const expected = (await diagnoseRun(data))!.result;
    const { chance, ceiling, cycleChance, cycleCeiling } = expected;
    expect(new Set([chance, cycleChance, ceiling, cycleCeiling]).size).toBe(4);
    const settings = { chance, ceiling, "cycle-chance": cycleChance, "cycle-ceiling": cycleCeiling };
    const { code, stdout } = await epigrok([
      ...["diagnose", "--predictions", own, "--cycle", beside, "--json"],
      ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`),
    ]);
    expect(code).toBe(0);
    expect(expected.evaluations.every(({ estimates }) => estimates.cycle !== null)).toBe(true);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(expected)));
  });

  it("that has kept none says so", async () => {
    const none = join(root, "none");
    await runEnsemble(settings("none"), { out: none, workers: 1 });
    const { code, stderr } = await epigrok(["diagnose", none]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("evaluation.savePredictions is none")]);
  });
});

describe("as lines come", () => {
  const line = (step: number, p = 0.75) =>
    `${JSON.stringify({ step, predictions: Array(2).fill(Array(3).fill([p, 1 - p])) })}\n`;

  it("from standard input", async () => {
    const { code, stdout } = await epigrok(["diagnose", "--follow", "--json"], {
      running: (child) => child.stdin!.end(`${line(0, 0.5)}\n${line(10)}${line(20)}`),
    });
    expect(code).toBe(0);
    const rows = stdout
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text));
    expect(rows.map(({ step, state }) => [step, state])).toEqual([
      [0, "untrained"],
      [10, expect.any(String)],
      [20, expect.any(String)],
    ]);
    expect(rows[2]).toMatchObject({
      alarmStep: null,
      members: 2,
      estimates: { agreement: 1, confidence: 0.75 },
    });
  });

  it("from a file that grows, until it is interrupted", async () => {
    const path = join(root, "growing.jsonl");
    writeFileSync(path, line(0) + line(10).slice(0, 20));
    const { code, stdout } = await epigrok(["diagnose", "--follow", "--predictions", path], {
      running: (child) => {
        let seen = "";
        child.stdout!.on("data", (chunk) => {
          const before = seen.includes("At step 0");
          seen += chunk;
          if (!before && seen.includes("At step 0")) appendFileSync(path, line(10).slice(20));
          if (seen.includes("At step 10")) child.kill("SIGTERM");
        });
      },
    });
    expect(stdout.match(/At step \d+/g)).toEqual(["At step 0", "At step 10"]);
    expect(code).toBe(143);
  });

  it.skipIf(process.platform === "win32")("from a pipe, to its end", async () => {
    const path = join(root, "pipe");
    execFileSync("mkfifo", [path]);
    const { code, stdout } = await epigrok(["diagnose", "--follow", "--predictions", path], {
      running: () => void writeFile(path, line(0) + line(10)),
    });
    expect(stdout.match(/At step \d+/g)).toEqual(["At step 0", "At step 10"]);
    expect(code).toBe(0);
  });

  it("names the line that is none", async () => {
    const { code, stdout, stderr } = await epigrok(["diagnose", "--follow"], {
      running: (child) => child.stdin!.end(`${line(0)}\n${line(10, 2)}`),
    });
    expect(code).toBe(2);
    expect(stdout).toContain("At step 0");
    expect(stderr).toContain("standard input, line 3: predictions[0,0,1]: got -1, must be a probability");
  });
});
