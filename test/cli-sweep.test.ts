/** `epigrok sweep`: killed, interrupted, asked and misused. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readSweep } from "../src/sweep/directory.ts";
import { sweepStatus } from "../src/sweep/status.ts";
import { epigrok } from "./fixtures/cli.ts";
import { sweepHashes, TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const FILE = "grid.yaml";
/** Of twelve runs of about half a second, two members each. */
writeFileSync(
  join(root, FILE),
  JSON.stringify({
    set: {
      ...TINY,
      training: { ...TINY.training, steps: 400 },
      evaluation: { every: 40, prompts: 8 },
      ensemble: { members: 2 },
    },
    axes: { "task.trainTasks": [3, 4, 5], seed: "0..3" },
  }),
);
const sweep = (args: string[], running?: (child: ChildProcess) => void) =>
  epigrok(["sweep", ...args], { cwd: root, running });
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const hashesOf = (out: string) => sweepHashes(join(root, out));
const countsOf = async (out: string) => (await sweepStatus(join(root, out))).counts;

describe("epigrok sweep", () => {
  let expected: ReturnType<typeof sweepHashes>;
  beforeAll(async () => {
    const { code, stdout, stderr } = await sweep([FILE, "--out", "whole", "--workers", "2"]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `12 of 12 runs are finished\nresults    whole/results.csv\nreport     ${join(root, "whole", "report.html")}\n`,
    });
    expect(stderr).toMatch(/^whole: 12 runs of 2 members, 2 workers\n/);
    expect(stderr).toMatch(/\n12\/12 {2}task\.trainTasks=5 seed=\d/);
    expected = hashesOf("whole");
  }, 120_000);

  it("killed with SIGKILL at five moments ends with the same bytes as an uninterrupted one", async () => {
    const out = "killed";
    let kills = 0;
    for (const [i, after] of [1, 2, 4, 6, 9].entries()) {
      const { signal } = await sweep([FILE, "--out", out, "--workers", "2", "--quiet"], async (child) => {
        const started = () =>
          existsSync(join(root, out, "runs")) ? readdirSync(join(root, out, "runs")).length : 0;
        while (started() < after && child.exitCode === null) await pause(5);
        await pause(37 * i);
        child.kill("SIGKILL");
      });
      if (signal === "SIGKILL") kills++;
    }
    expect(kills).toBeGreaterThanOrEqual(4);
    expect((await countsOf(out)).finished).toBeLessThan(12);
    expect((await sweep([out, "--quiet"])).code).toBe(0);
    expect(hashesOf(out)).toEqual(expected);
  }, 240_000);

  it("killed at random moments has every file as it would have been", () => {
    const args = [
      "scripts/killed-sweep.mjs",
      "--seeds",
      "4",
      "--steps",
      "200",
      "--dir",
      join(root, "random"),
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
    const told = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
    expect(told).toMatchObject({ runs: 12, kills: 5, different: 0 });
    // Configuration, records, results, state, predictions and checkpoints of each run.
    expect(told.files).toBeGreaterThan(12 * 10);
  }, 120_000);

  it.each<[NodeJS.Signals, number]>([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ])(
    "stopped with %s saves all runs under way, and the same command goes on",
    async (name, code) => {
      const out = name.toLowerCase();
      const args = [FILE, "--out", out, "--workers", "2"];
      const outcome = await sweep([...args, "--quiet"], async (child) => {
        while (!existsSync(join(root, out, "runs")) && child.exitCode === null) await pause(5);
        await pause(500);
        child.kill(name);
      });
      expect(outcome).toMatchObject({
        code,
        stdout: "",
        stderr: `Stopped, nothing is lost. Continue with: epigrok sweep ${out}\n`,
      });
      const counts = await countsOf(out);
      expect(counts.running).toBe(0);
      expect(counts.interrupted).toBeGreaterThan(0);
      const status = await sweep(["status", out]);
      expect(status.stdout).toMatch(
        /interrupted {2}[0-9a-f]{16} {2}task\.trainTasks=\d seed=\d( {2}step \d+ of 400 since \d{4}-\d\d-\d\dT[\d:.]+Z)?\n/,
      );
      const again = await sweep(args);
      expect(again.code).toBe(0);
      expect(hashesOf(out)).toEqual(expected);
    },
    120_000,
  );

  it("is worked on by several processes at once", async () => {
    const out = "together";
    const outcomes = await Promise.all(
      [1, 2, 3].map(() => sweep([FILE, "--out", out, "--workers", "1", "--json"])),
    );
    for (const { code, stdout } of outcomes) {
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        ...{ schema: "epigrok-sweep-outcome/1", status: "finished", finished: 12, failed: [] },
      });
    }
    expect(hashesOf(out)).toEqual(expected);
  }, 120_000);

  it("cancel stops it in other processes, and it can go on", async () => {
    const out = "cancelled";
    const { code, stderr } = await sweep([FILE, "--out", out, "--workers", "1", "--quiet"], async (child) => {
      while (!existsSync(join(root, out, "runs")) && child.exitCode === null) await pause(5);
      expect((await sweep(["cancel", out])).code).toBe(0);
    });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `Stopped by epigrok sweep cancel, nothing is lost. Continue with: epigrok sweep ${out}\n`,
    });
    expect((await sweep([out, "--quiet", "--workers", "2"])).code).toBe(0);
    expect(hashesOf(out)).toEqual(expected);
  }, 120_000);

  it("plans, and writes nothing", async () => {
    const before = readdirSync(root);
    const { stdout } = await sweep([FILE, "--dry-run"]);
    expect(stdout).toMatch(/^[0-9a-f]{16} {2}task\.trainTasks=3 seed=0 {2}2 members, \S+FLOP\n/);
    expect(stdout).toMatch(/\nruns {7}12\ncompute .*\ndisk .*\ntime {7}\d+ s on \d+ workers?, estimated/);
    const { stdout: json } = await sweep([FILE, "--dry-run", "--json"]);
    expect(JSON.parse(json)).toMatchObject({ schema: "epigrok-sweep-plan/1", runs: { length: 12 } });
    expect(readdirSync(root)).toEqual(before);
  });

  it("names its directory after its runs, and finds it again", async () => {
    const args = [
      "--config",
      FILE.replace("grid", "one"),
      "--axis",
      "seed=0,1",
      "--exclude",
      "seed=1",
      "--quiet",
    ];
    writeFileSync(join(root, "one.yaml"), JSON.stringify(TINY));
    expect((await sweep(args)).code).toBe(0);
    const [name, ...others] = readdirSync(join(root, "sweeps"));
    expect(others).toEqual([]);
    expect(name).toMatch(/^one-[0-9a-f]{8}$/);
    expect((await sweep(args)).stdout).toMatch(/^1 of 1 runs are finished/);
    expect(readdirSync(join(root, "sweeps"))).toEqual([name]);
    const directory = join("sweeps", name);
    const extended = await sweep(["extend", directory, "--axis", "seed=2..3"]);
    expect(extended.stdout).toBe(`3 runs, 2 of them new. Train them with: epigrok sweep ${directory}\n`);
    expect((await sweep([directory, "--quiet"])).code).toBe(0);
    expect(readSweep(join(root, directory)).commandLines.map((words) => words[1])).toEqual([
      "--config",
      "extend",
    ]);
  });

  it.each(["phase", "s1", "./s1", "retry1"])("may be called %s", async (name) => {
    cpSync(join(root, "whole"), join(root, name), { recursive: true });
    expect((await sweep([name, "--quiet"])).stdout).toMatch(/^12 of 12 runs are finished/);
  });

  it("links the reports of its runs, once they are written", async () => {
    const page = () => readFileSync(join(root, "whole", "report.html"), "utf8");
    expect((await sweep(["results", "whole", "--reports"])).stdout).toMatch(/^12 runs\n/);
    const [, link] = /href="(runs\/[0-9a-f]{16}\/report\.html)"/.exec(page())!;
    expect(existsSync(join(root, "whole", link))).toBe(true);
    expect(page().match(/href="runs\//g)).toHaveLength(12);
  }, 60_000);

  it("has no results before a run is finished, and keeps those that are there", async () => {
    cpSync(join(root, "whole"), join(root, "longer"), { recursive: true });
    rmSync(join(root, "longer", "runs"), { recursive: true });
    expect(await sweep(["results", "longer"])).toMatchObject({
      code: 2,
      stderr: "epigrok: longer: none of its 12 runs is finished\n",
    });
    expect((await epigrok(["export", "longer", "--format", "csv"], { cwd: root })).stderr).toBe(
      "epigrok: longer: none of its runs is finished\n",
    );
    expect(readFileSync(join(root, "longer", "results.csv"), "utf8")).toBe(
      readFileSync(join(root, "whole", "results.csv"), "utf8"),
    );
  });

  it("says what has failed, and lets it be tried again", async () => {
    const out = "failing";
    const diverging = ["--config", "one.yaml", "--axis", "training.learningRate=0.003,1e30", "--out", out];
    const { code, stderr, stdout } = await sweep(diverging);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^1 of 2 runs are finished\n/);
    expect(stderr).toMatch(
      /\nfailed: training\.learningRate=1e\+30: 1 of 1 member lost: member 0 at step 2\n/,
    );
    expect(stderr).toMatch(
      /1 of 2 runs have failed: epigrok sweep status failing says why, epigrok sweep retry failing/,
    );
    const { stdout: status } = await sweep(["status", out]);
    expect(status).toMatch(
      /^1 finished, 1 failed\nfailed {7}[0-9a-f]{16} {2}training\.learningRate=1e\+30 {2}step 0 of 60 {2}1 of 1 member lost/,
    );
    expect((await sweep(["retry", out, "none"])).stderr).toMatch(
      /none is no failed run of failing; there are: [0-9a-f]{16}/,
    );
    expect((await sweep(["retry", out])).stdout).toMatch(/^1 of the runs can be tried again/);
    expect((await countsOf(out)).failed).toBe(0);
    expect((await sweep(["retry", out])).stdout).toBe("no run has failed\n");
    const { code: fast, stderr: stopped } = await sweep([out, "--quiet", "--fail-fast"]);
    expect(fast).toBe(1);
    expect(stopped).toMatch(/Stopped at a failure, nothing is lost/);
  });

  it.each<[string[], RegExp]>([
    [[], /a sweep needs an axis, such as --axis seed=0\.\.4, or settings in a file/],
    [["none.yaml"], /none\.yaml: there is no such file, and no sweep in a directory of that name/],
    [["--axis", "wieghtDecay=1"], /unknown key "wieghtDecay"; did you mean "training\.weightDecay"/],
    [["--axis", "seed="], /--axis seed=: got no value/],
    [["--axis", "seed=1", "--axis", "seed=2"], /two axes over seed/],
    [[FILE, "--axis", "seed=2"], /two axes over seed/],
    [
      ["--axis", "seed=0..999", "--axis", "task.trainTasks=1..101"],
      /has 101000 runs, more than 100000; --yes/,
    ],
    [["--axis", "task.trainTasks=99,-1"], /got 99 .*\n.*got -1 /],
    [["--preset", "quik", "--axis", "seed=1"], /unknown preset "quik"/],
    [["--axis", "seed=1", "--exclude", "seed"], /--exclude seed: must have the form/],
    [["--axis", "seed=1", "--workers", "0"], /--workers: got 0/],
    [["whole", "--axis", "seed=9"], /--axis: whole is a sweep that is there already.*epigrok sweep extend/],
    [["whole", "--dry-run"], /--dry-run: whole is there already/],
    [["extend", "whole"], /extend needs --axis key=values or --steps N/],
    [["extend", "whole", "--axis", "model.dModel=32"], /no axis over model\.dModel/],
    [["extend", "whole", "--steps", "0"], /--steps: got 0/],
    [["status", "nowhere"], /there is no sweep in nowhere/],
    [["status", "whole", "--axis", "seed=1"], /Unknown argument: axis/],
    [
      ["--config", "one.yaml", "--axis", "seed=1", "--out", "thesis"],
      /thesis is not empty and holds no sweep/,
    ],
    [["--config", "one.yaml", "--axis", "seed=1", "--out", "whole"], /whole holds another sweep/],
  ])("%j is refused", async (args, message) => {
    mkdirSync(join(root, "thesis"), { recursive: true });
    writeFileSync(join(root, "thesis", "text.tex"), "");
    const before = readFileSync(join(root, "whole", "sweep.json"), "utf8");
    const { code, stderr } = await sweep(args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(readFileSync(join(root, "whole", "sweep.json"), "utf8")).toBe(before);
  });
});
