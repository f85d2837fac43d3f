import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RunSummary } from "../src/run/records.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const run = (args: string[], options: Parameters<typeof epigrok>[1] = {}) =>
  epigrok(args, { cwd: root, ...options });

/** A run that takes a moment. */
const TINY = [
  ...FRESH_ASSIGNMENTS,
  "task.modulus=5",
  "task.trainTasks=3",
  "model.dModel=8",
  "model.nHeads=2",
  "model.nLayers=1",
  "model.dMlp=8",
  "training.steps=20",
  "training.batchSize=8",
  "training.warmupSteps=2",
  "evaluation.every=5",
  "evaluation.prompts=4",
  "ensemble.members=2",
].flatMap((assignment) => ["--set", assignment]);

/** Without what the file says of itself. */
function storedSummary(name: string): object {
  const {
    run: _,
    sha256: __,
    ...summary
  } = JSON.parse(readFileSync(join(root, name, "summary.json"), "utf8"));
  return summary;
}

describe("epigrok", () => {
  it("explains itself", async () => {
    const help = await run(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    for (const command of ["run", "report", "presets", "doctor", "completion"])
      expect(help.stdout).toContain(command);
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    expect((await run(["--version"])).stdout.trim()).toBe(version);
  });

  it("prints a completion script", async () => {
    const { code, stdout } = await run(["completion"], { env: { SHELL: "/bin/bash" } });
    expect(code).toBe(0);
    expect(stdout).toContain("complete ");
  });

  it.each<[string[], RegExp]>([
    [[], /which command/],
    [["rn"], /Did you mean run/],
    [["run", "--memebers", "3"], /Unknown argument: memebers/],
    [["run", "extra"], /Unknown argument: extra/],
    [["run", "--out"], /Not enough arguments following: out/],
    [["posterior", "x", "--save"], /Not enough arguments following: save/],
    [["spectrum", "x", "--steps"], /Not enough arguments following: steps/],
    [["run", "--seed", "abc"], /--seed: got "abc", must be a number/],
    [["run", "--workers=abc", "--dry-run"], /--workers: got "abc", must be a number/],
    [["theory", "-d", "0", "--no-simulate", "--no-regression"], /d: got 0, must be an integer of at least 1/],
    [["theory", "-d", "ten"], /--d: got "ten", must be a number/],
    [["run", "--seed", "1", "--seed", "2"], /--seed is given more than once/],
    [["theory", "--run", "absent", "missing"], /no such run directory: .*absent/],
    [["run", "--members", "0"], /ensemble\.members: got 0 from --members, must be > 0/],
    [["run", "--workers", "1.5"], /--workers: got 1\.5, must be a positive integer/],
    [["run", "--math", "slow"], /math: got "slow" from --math, must be one of fast, strict/],
    [["run", "--preset", "quik"], /unknown preset "quik"; did you mean "quick"/],
    [["run", "--config", "absent.yaml"], /absent\.yaml: ENOENT/],
    [["run", "--set", "training.step=3"], /unknown key "training\.step"; did you mean "training\.steps"/],
    [["run", "--resume"], /--resume needs a directory/],
    [["run", "--resume", "nowhere"], /no run to resume in nowhere/],
    [["run", "--resume", "a", "--out", "b"], /two directories/],
    [["run", "--resume", "--overwrite", "--out", "x"], /contradict/],
    [["report"], /Not enough non-option arguments/],
    [["report", "nowhere"], /no such run directory/],
  ])("answers a usage error with exit code 2: %j", async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/ at .*\.js:\d+/);
  });

  it("names a bad YAML file and a wrong key in one", async () => {
    writeFileSync(join(root, "bad.yaml"), "training: [");
    writeFileSync(join(root, "typo.yaml"), "ensemble: {member: 3}");
    expect(await run(["run", "--config", "bad.yaml"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/bad\.yaml/),
    });
    const typo = await run(["run", "--config", "typo.yaml"]);
    expect(typo.stderr).toBe(
      'epigrok: typo.yaml: unknown key "ensemble.member"; did you mean "ensemble.members"?\n',
    );
  });

  it("refuses a directory that cannot be written", async () => {
    writeFileSync(join(root, "file"), "");
    const { code, stderr } = await run(["run", ...TINY, "--out", join("file", "below")]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^epigrok: cannot use .*below/);
  });

  it("refuses a model beyond 4 GiB before anything is written", async () => {
    const { code, stderr } = await run([
      "run",
      "--set",
      "model.dModel=8192",
      "--set",
      "model.nLayers=40",
      "--out",
      "huge",
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^epigrok: the model needs \d+\.\d\d GiB .*dModel 8192.*4 GiB\n$/);
    expect(existsSync(join(root, "huge"))).toBe(false);
  });

  it("lists the presets", async () => {
    const { code, stdout } = await run(["presets"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^quick\n {2}\w.*\n {2}\d+ x .*parameters.*steps/m);
    const list = JSON.parse((await run(["presets", "--json"])).stdout);
    expect(list.find((p: { name: string }) => p.name === "quick").cost.parameters).toBeGreaterThan(0);
  });

  it("finds this machine in order", async () => {
    const { code, stdout } = await run(["doctor"]);
    expect(stdout).not.toContain("WRONG");
    expect(stdout).toMatch(/^ok +training: loss/m);
    expect(code).toBe(0);
  });

  it("tells a machine that is not in order", async () => {
    // A working directory that no longer exists cannot be written to.
    const gone = join(root, "gone");
    mkdirSync(gone);
    const script =
      'if (require("node:worker_threads").isMainThread) require("node:fs").rmdirSync(process.cwd())';
    writeFileSync(join(root, "vanish.cjs"), script);
    const { code, stdout } = await run(["doctor", "--json"], {
      cwd: gone,
      env: { NODE_OPTIONS: `--require=${join(root, "vanish.cjs")}` },
    });
    const wrong = JSON.parse(stdout).filter((check: { ok: boolean }) => !check.ok);
    expect(wrong.map((check: { name: string }) => check.name)).toEqual(["working directory"]);
    expect(code).toBe(1);
  });
});

describe("epigrok run", () => {
  it("prints the verdict on stdout and progress on stderr, and writes the report", async () => {
    const { code, stdout, stderr } = await run(["run", ...TINY, "--out", "plain"], {
      env: { NO_COLOR: "1" },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/members grokked\.\n/);
    expect(stdout).toContain(join(root, "plain", "report.html"));
    expect(existsSync(join(root, "plain", "report.html"))).toBe(true);
    expect(stderr).toMatch(/2 members of \d+ parameters/);
    expect(stderr).toMatch(/step 20\/20 .*MI .*tokens\/s/);
    // Neither colours nor cursor movements.
    expect(stdout + stderr).not.toContain("\u001b");
  });

  it("prints one JSON object with --json, nothing else with --quiet", async () => {
    const { code, stdout, stderr } = await run(["run", ...TINY, "--out", "json", "--json", "--quiet"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const summary: RunSummary = JSON.parse(stdout);
    expect(summary).toMatchObject({
      schema: "epigrok-run/2",
      runDir: join(root, "json"),
      members: 2,
      steps: 20,
      verdict: expect.any(String),
      accuracy: { seenTasks: expect.any(Number), unseenTasks: expect.any(Number) },
      mutualInformation: { peak: expect.any(Number), final: expect.any(Number) },
      tokensPerSecond: expect.any(Number),
      perMember: [{ member: 0 }, { member: 1 }],
    });
    expect(summary).toEqual(storedSummary("json"));
  });

  it("records where each setting came from", async () => {
    const { code } = await run(["run", ...TINY, "--seed", "9", "--out", "origin", "--quiet"], {
      env: { EPIGROK_TRAINING__BETA1: "0.25" },
    });
    expect(code).toBe(0);
    const manifest = JSON.parse(readFileSync(join(root, "origin", "config.json"), "utf8"));
    expect(manifest.config).toMatchObject({ seed: 9, training: { beta1: 0.25, steps: 20 } });
    expect(manifest.overrides[0]).toEqual({
      source: "EPIGROK_TRAINING__BETA1",
      values: { training: { beta1: 0.25 } },
    });
    expect(manifest.overrides.at(-1)).toEqual({ source: "--seed", values: { seed: 9 } });
    expect(manifest.commandLine.slice(0, 3)).toEqual(["run", ...TINY.slice(0, 2)]);
  });

  it("refuses an existing run, replaces it with --overwrite, reprints it with --resume", async () => {
    await run(["run", ...TINY, "--out", "again", "--quiet"]);
    const before = fileHashes(join(root, "again"));
    const refused = await run(["run", ...TINY, "--out", "again"]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/again already holds a run/) });
    expect(fileHashes(join(root, "again"))).toEqual(before);

    const reprinted = await run(["run", "--resume", "again", "--json"]);
    expect(reprinted.code).toBe(0);
    expect(JSON.parse(reprinted.stdout)).toEqual(storedSummary("again"));
    const different = await run(["run", "--resume", "again", "--set", "training.steps=40"]);
    expect(different).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/differs in training\.steps\./),
    });

    const replaced = await run(["run", ...TINY, "--seed", "5", "--out", "again", "--overwrite", "--quiet"]);
    expect(replaced.code).toBe(0);
    expect(JSON.parse(readFileSync(join(root, "again", "config.json"), "utf8")).config.seed).toBe(5);
  });

  it("starts the run that --resume with --out does not find, so that one command can be repeated", async () => {
    const args = ["run", ...TINY, "--out", "idempotent", "--resume", "--json", "--quiet"];
    const first = await run(args);
    const second = await run(args);
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(second.stdout).toBe(first.stdout);
  });

  it("names a run by date and preset when no directory is given", async () => {
    const cwd = join(root, "named");
    mkdirSync(cwd);
    for (let i = 0; i < 2; i++) await run(["run", "--preset", "quick", ...TINY, "--quiet"], { cwd });
    const [first, second] = readdirSync(join(cwd, "runs"));
    expect(first).toMatch(/^\d{4}-\d\d-\d\d-quick$/);
    expect(second).toBe(`${first}-2`);
  });

  it("fails with exit code 1 when too few members survive", async () => {
    // A learning rate beyond float32 leaves no finite loss. Without member 0 there is nothing left to train member 1 for.
    const diverging = ["--set", "training.learningRate=1e38", "--workers", "1"];
    const args = ["run", ...TINY, ...diverging, "--out", "diverged", "--json"];
    const { code, stdout, stderr } = await run(args);
    expect(code).toBe(1);
    const { perMember, verdict }: RunSummary = JSON.parse(stdout);
    expect(perMember.map((m) => m.failedStep)).toEqual([2, 2]);
    expect(verdict).toMatch(/Member 0: the loss became non-finite at step \d+/);
    expect(stderr).toMatch(/member 0: the loss became non-finite at step \d+/);
  });

  it("only says what a run would cost with --dry-run", async () => {
    const cwd = join(root, "dry");
    mkdirSync(cwd);
    const { code, stdout } = await run(["run", ...TINY, "--seed", "77", "--dry-run"], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^seed: 77$/m);
    for (const line of ["parameters", "memory", "disk", "compute", "speed", "time"])
      expect(stdout).toMatch(new RegExp(`^# ${line} +\\d`, "m"));
    const json = JSON.parse((await run(["run", ...TINY, "--dry-run", "--json"], { cwd })).stdout);
    expect(json).toMatchObject({ schema: "epigrok-plan/1", config: { training: { steps: 20 } } });
    for (const key of [
      "parameters",
      "memoryBytes",
      "diskBytes",
      "totalFlops",
      "secondsPerStep",
      "estimatedSeconds",
    ])
      expect(json[key], key).toBeGreaterThan(0);
    expect(json.measuredPrompts).toBe(json.config.training.batchSize);
    expect(readdirSync(cwd)).toEqual([]);
  });
});

describe("epigrok report", () => {
  it("prints the path of what it wrote", async () => {
    await run(["run", ...TINY, "--out", "reported", "--quiet"]);
    const { code, stdout } = await run(["report", "reported", "--out", "page.html"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${join(root, "page.html")}\n` });
    expect(existsSync(join(root, "page.html"))).toBe(true);
  });
});
