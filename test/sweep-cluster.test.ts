/** Sweeps as arrays of jobs: one task by hand, the templates, and what is submitted to a Slurm that is only scripts here. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { Job } from "kubernetes-models/batch/v1";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { UsageError } from "../src/errors.ts";
import { defineSweep } from "../src/sweep/definition.ts";
import { readSweep, runDirectory } from "../src/sweep/directory.ts";
import { pinPackage } from "../src/sweep/pin.ts";
import { queue, secondsOfLimit } from "../src/sweep/slurm.ts";
import { stateOf } from "../src/sweep/states.ts";
import { prepareSweep, runSweep } from "../src/sweep/sweep.ts";
import { listedRuns, runsOfTask, taskIndex } from "../src/sweep/task.ts";
import { epigrok, type Outcome } from "./fixtures/cli.ts";
import { GRID, sweepHashes, TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const prepared = (input = GRID) =>
  prepareSweep(defineSweep(input), { out: join(root, `sweep-${count++}`), workers: 1 });
const statesOf = (out: string) => readSweep(out).runs.map((run) => stateOf(out, run).state);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("a task", () => {
  it("has the number that is given, or that a scheduler says", () => {
    expect(taskIndex(3, { SLURM_ARRAY_TASK_ID: "4" })).toBe(3);
    expect(taskIndex(undefined, { SLURM_ARRAY_TASK_ID: "4" })).toBe(4);
    expect(taskIndex(undefined, { JOB_COMPLETION_INDEX: "0" })).toBe(0);
    expect(() => taskIndex(undefined, {})).toThrow(
      /Give --index N, or set SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX/,
    );
    expect(() => taskIndex(undefined, { JOB_COMPLETION_INDEX: "x" })).toThrow(
      /JOB_COMPLETION_INDEX: got "x"/,
    );
  });

  it("has its part of all runs, or of those that a file names", async () => {
    const { runs } = readSweep(await prepared());
    expect(runsOfTask(runs, { index: 1, perTask: 4 })).toEqual(runs.slice(4));
    expect(() => runsOfTask(runs, { index: 2, perTask: 4 })).toThrow(/--index: got 2, must be below 2/);
    const list = join(root, "list.txt");
    writeFileSync(list, `${runs[5].run}\n${runs[2].run}\n`);
    expect(listedRuns(list, runs)).toEqual([runs[5], runs[2]]);
    // Of an editor of another system, and with one twice.
    writeFileSync(list, `\ufeff${runs[5].run}\r\n\r\n ${runs[2].run}\r\n${runs[5].run}`);
    expect(listedRuns(list, runs)).toEqual([runs[5], runs[2]]);
    writeFileSync(list, "none\n");
    expect(() => listedRuns(list, runs)).toThrow(/list\.txt: none is no run of the sweep/);
    expect(() => listedRuns(join(root, "no.txt"), runs)).toThrow(/no\.txt: ENOENT/);
  });

  it.each(["abc", "0", "2.5", "1e1", "-1"])("has no %s cores", async (cores) => {
    const out = await prepared();
    const { code, stderr } = await epigrok(["sweep", "task", out, "--index", "0"], {
      env: { SLURM_CPUS_PER_TASK: cores },
    });
    expect(stderr).toBe(`epigrok: SLURM_CPUS_PER_TASK: got "${cores}", must be a positive integer\n`);
    expect(code).toBe(2);
  });

  it("trains its runs and no others, and all tasks together are the sweep, in any order and twice", async () => {
    const out = await prepared();
    const task = (index: number, env?: Record<string, string>) =>
      epigrok(
        ["sweep", "task", out, "--per-task", "2", "--quiet", ...(env ? [] : ["--index", String(index)])],
        { env },
      );
    expect(await task(1, { JOB_COMPLETION_INDEX: "1" })).toMatchObject({ code: 0, stdout: "", stderr: "" });
    const done = ["finished", "finished"];
    expect(statesOf(out)).toEqual(["waiting", "waiting", ...done, "waiting", "waiting"]);
    const both = await Promise.all([task(0), task(0), task(2)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect((await task(1)).code).toBe(0);
    expect(existsSync(join(out, "results.csv"))).toBe(false);
    expect((await epigrok(["sweep", "results", out])).code).toBe(0);
    expect((await epigrok(["status", out])).stdout.match(/^finished/gm)).toHaveLength(6);
    const whole = join(root, "whole");
    await runSweep(GRID, { out: whole, workers: 2 });
    expect(sweepHashes(out)).toEqual(sweepHashes(whole));
    expect((await epigrok(["sweep", "task", out, "--index", "6"])).stderr).toMatch(/must be below 6/);
  });

  it.each<[NodeJS.Signals, number, string]>([
    ["SIGUSR2", 75, "Saved; the same task goes on.\n"],
    ["SIGTERM", 143, ""],
  ])("stopped with %s saves its state and ends with %i", async (signal, code, stderr) => {
    const training = { ...TINY.training, steps: 1_000_000 };
    const out = await prepared({
      ...GRID,
      set: { ...TINY, training, evaluation: { every: 2000, prompts: 8 } },
    });
    const metrics = join(runDirectory(out, readSweep(out).runs[0].run), "metrics.jsonl");
    const outcome = await epigrok(["sweep", "task", out, "--index", "0", "--quiet"], {
      running: async (child) => {
        while (!existsSync(metrics) && child.exitCode === null) await pause(10);
        child.kill(signal);
      },
    });
    expect(outcome).toMatchObject({ code, stderr });
    expect(statesOf(out)[0]).toBe("interrupted");
  });
});

/** Where the values of a document are, objects and lists not among them. */
function leaves(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

describe("the templates", () => {
  const jobTemplate = () => parse(readFileSync(resolve("deploy/kubernetes/indexed-job.yaml"), "utf8"));

  it("of Kubernetes is what the schema of a Job allows", () => {
    new Job(jobTemplate()).validate();
  });

  it.each(leaves(jobTemplate()).map((path) => [path.join("."), path] as const))(
    "of Kubernetes has %s where the schema has it",
    (_, path) => {
      // What the schema does not know, it does not refuse either.
      const job = jobTemplate();
      let place = job;
      for (const key of path.slice(0, -1)) place = place[key];
      place[path.at(-1)!] = [[{}]];
      expect(() => new Job(job).validate()).toThrow();
    },
  );

  it("of Kubernetes is an Indexed Job whose command trains a task", async () => {
    const job = jobTemplate();
    expect(job).toMatchObject({ apiVersion: "batch/v1", kind: "Job", spec: { completionMode: "Indexed" } });
    const { template, podFailurePolicy } = job.spec;
    // What the API demands of a podFailurePolicy.
    expect(template.spec.restartPolicy).toBe("Never");
    const [{ name, command, args, volumeMounts }] = template.spec.containers;
    expect(podFailurePolicy.rules[0].onExitCodes).toEqual({
      containerName: name,
      operator: "In",
      values: [75, 143],
    });
    expect(volumeMounts[0].name).toBe(template.spec.volumes[0].name);
    expect([...command, ...args].every((word) => typeof word === "string")).toBe(true);
    const out = await prepared();
    const words = args.map((word: string) => word.replace("/sweeps/phase", out));
    const { code, stderr } = await epigrok(words, {
      env: { JOB_COMPLETION_INDEX: "5", EPIGROK_SIMD: "128" },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(statesOf(out)[5]).toBe("finished");
  });

  it("of Slurm trains a task", async () => {
    const out = await prepared();
    const bin = scripts({ npx: `shift\nexec "${process.execPath}" "${resolve("dist/cli.js")}" "$@"` });
    const { status, stderr } = spawnSync("bash", [resolve("deploy/slurm/sweep.sh"), out], {
      encoding: "utf8",
      env: {
        ...process.env,
        PATH: `${bin}${delimiter}${process.env.PATH}`,
        SLURM_ARRAY_TASK_ID: "2",
        RUNS_PER_TASK: "2",
      },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(statesOf(out).slice(4)).toEqual(["finished", "finished"]);
  });
});

/** A folder of shell scripts for the PATH. */
function scripts(bodies: Record<string, string>): string {
  const bin = join(root, `bin-${count++}`);
  mkdirSync(bin);
  for (const [name, body] of Object.entries(bodies)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return bin;
}

describe.skipIf(process.platform === "win32")("a submission", () => {
  const calls = join(root, "calls");
  /** What Slurm's commands say; each writes down how it was called. */
  const slurm = (bodies: Record<string, string> = {}) =>
    scripts({
      scontrol: "echo 'MaxArraySize            = 4'",
      sbatch: `echo "$@" >> ${calls}\necho "$(wc -l < ${calls});cluster"`,
      squeue: "",
      scancel: `echo "scancel $@" >> ${calls}`,
      ...bodies,
    });
  const sweep = (bin: string, ...args: string[]): Promise<Outcome> =>
    epigrok(["sweep", ...args], {
      cwd: root,
      env: { PATH: bin === "" ? root : `${bin}${delimiter}${process.env.PATH}` },
    });
  const scriptOf = (out: string, name: string) => readFileSync(join(out, "slurm", "1", name), "utf8");

  beforeAll(() => writeFileSync(join(root, "grid.yaml"), JSON.stringify(GRID)));

  it("is arrays as long as the site allows, and a job of the results after them", async () => {
    rmSync(calls, { force: true });
    const out = join(root, "submitted");
    const flags = [
      "--partition",
      "short",
      "--time",
      "30",
      "--array-limit",
      "3",
      "--per-task",
      "1",
      "--cpus",
      "2",
    ];
    const { code, stdout, stderr } = await sweep(
      slurm(),
      ...[
        "grid.yaml",
        "--out",
        out,
        "--backend",
        "slurm",
        ...flags,
        "--sbatch-arg=--account=lab",
        "--sbatch-arg=--mem=2G",
      ],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^6 tasks submitted as Slurm jobs 1, 2, 3; the last one writes the results\n/);
    expect(readFileSync(calls, "utf8").trimEnd().split("\n")).toEqual([
      `--parsable --job-name=epigrok-submitted --account=lab --mem=2G ${join(out, "slurm/1/tasks-0.sh")}`,
      `--parsable --job-name=epigrok-submitted --account=lab --mem=2G --dependency=afterany:1 ${join(out, "slurm/1/tasks-4.sh")}`,
      `--parsable --job-name=epigrok-submitted-results --account=lab --dependency=afterany:1:2 ${join(out, "slurm/1/results.sh")}`,
    ]);
    const script = scriptOf(out, "tasks-4.sh");
    for (const directive of [
      ...["--array=0-1%3", "--cpus-per-task=2", "--requeue", "--signal=B:USR2@300", "--partition=short"],
      ...["--time=30", "--open-mode=append", `--output="${join(out, "slurm/1/%A_%a.log")}"`],
    ])
      expect(script).toContain(`#SBATCH ${directive}\n`);
    expect(scriptOf(out, "results.sh")).not.toContain("--time");

    // The script's own command, from the copy of the package.
    const { status, stderr: said } = spawnSync("bash", [join(out, "slurm/1/tasks-4.sh")], {
      encoding: "utf8",
      env: { ...process.env, SLURM_ARRAY_TASK_ID: "1" },
    });
    expect({ status, said }).toEqual({ status: 0, said: "" });
    expect(statesOf(out)).toEqual([...Array(5).fill("waiting"), "finished"]);

    const again = ["submitted", "--backend", "slurm", "--per-task", "6"];
    const queued = slurm({
      squeue: [
        "echo '2_1|PENDING|Priority||epigrok-submitted'",
        "echo '77|RUNNING|None|n1|epigrok-submitted'",
        // A number that was given again.
        "echo '3|RUNNING|None|n1|mine'",
      ].join("\n"),
    });
    expect(await sweep(queued, ...again)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /job 2_1 of this sweep is in the queue \(PENDING\); .*epigrok sweep cancel/,
      ),
    });
    const { stdout: status2 } = await sweep(queued, "status", out);
    expect(status2).toBe("1 finished, 5 waiting\nSlurm  2_1  PENDING  Priority\n");
    expect((await sweep(queued, "cancel", out)).stdout).toMatch(
      /^1 of its Slurm jobs and tasks are cancelled/,
    );
    expect(readFileSync(calls, "utf8")).toMatch(/\nscancel 2\n$/);
    // What is left is submitted, and nothing else.
    expect((await sweep(slurm(), ...again)).stdout).toMatch(/^1 task submitted/);
    expect(readFileSync(join(out, "slurm/2/runs.txt"), "utf8").trimEnd().split("\n")).toHaveLength(5);
  });

  it("that is refused says why, and what was submitted before can be cancelled", async () => {
    rmSync(calls, { force: true });
    const out = join(root, "refused");
    const bin = slurm({
      sbatch: `echo "$@" >> ${calls}\n[ "$(wc -l < ${calls})" = 1 ] && { echo 1; exit; }\necho 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2\nexit 1`,
      squeue: "echo '1_0|RUNNING|None|n1|epigrok-refused'",
    });
    const { code, stderr } = await sweep(
      bin,
      "grid.yaml",
      "--out",
      out,
      "--backend",
      "slurm",
      "--per-task",
      "1",
    );
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "epigrok: sbatch refuses: sbatch: error: QOSMaxSubmitJobPerUserLimit\n",
    });
    expect((await sweep(bin, "cancel", out)).code).toBe(0);
    expect(readFileSync(calls, "utf8")).toMatch(/\nscancel 1\n$/);
  });

  it.each(["null", "{", '{"jobs": 7}'])("whose record is %s names the file", async (text) => {
    const out = await prepared();
    mkdirSync(join(out, "slurm", "1"), { recursive: true });
    const record = join(out, "slurm", "1", "jobs.json");
    writeFileSync(record, text);
    await expect(queue(out)).rejects.toThrow(`${record}: `);
    await expect(queue(out)).rejects.toThrow(UsageError);
  });

  it("needs Slurm, and options of Slurm need it to be asked for", async () => {
    const out = join(root, "nowhere");
    expect(await sweep("", "grid.yaml", "--out", out, "--backend", "slurm", "--per-task", "1")).toMatchObject(
      {
        code: 2,
        stderr: "epigrok: there is no scontrol here: --backend slurm needs Slurm's commands\n",
      },
    );
    expect(await sweep("", "grid.yaml", "--partition", "x")).toMatchObject({
      code: 2,
      stderr: "epigrok: --partition is for --backend slurm\n",
    });
    expect((await sweep("", "grid.yaml", "--sbatch-arg=-x")).stderr).toMatch(
      /--sbatch-arg is for --backend slurm/,
    );
    const renamed = ["--out", out, "--backend", "slurm", "--sbatch-arg=--job-name=mine"];
    expect(await sweep("", "grid.yaml", "--per-task", "1", ...renamed)).toMatchObject({
      code: 2,
      stderr: `epigrok: --sbatch-arg: got "--job-name=mine", but by their name jobs are known to be the sweep's\n`,
    });
    expect((await sweep("", "grid.yaml", "--backend", "slurm", "--fail-fast")).stderr).toBe(
      "epigrok: --fail-fast is for --backend local\n",
    );
  });

  it.each([
    ["30", 1800],
    ["3", 180],
    ["2:30", 150],
    ["01:00:00", 3600],
    ["1-2", 93_600],
    ["1-02:03:04", 93_784],
    ["infinite", null],
  ])("the limit %s is %s seconds", (time, seconds) => expect(secondsOfLimit(time)).toBe(seconds));

  it.each([
    ["2:30", 50],
    ["1-2", 300],
    ["infinite", 300],
  ])("with the limit %s saves %i seconds before it", async (time, lead) => {
    const out = join(root, `limit-${time}`);
    const flags = ["--backend", "slurm", "--per-task", "1", "--time", time];
    expect(await sweep(slurm(), "grid.yaml", "--out", out, ...flags)).toMatchObject({ code: 0 });
    expect(scriptOf(out, "tasks-0.sh")).toContain(`#SBATCH --signal=B:USR2@${lead}\n`);
    // Which may come before the command listens.
    expect(scriptOf(out, "tasks-0.sh")).toContain("\ntrap '' USR2\nexec ");
  });
});

describe("the copy of the package", () => {
  it("runs without the original, and is made once", async () => {
    const folder = join(root, "pinned");
    mkdirSync(folder);
    const command = await pinPackage(folder);
    expect(await pinPackage(folder)).toBe(command);
    const [name, ...others] = readdirSync(folder);
    expect(others).toEqual([]);
    expect(name).toMatch(/^epigrok-\d+\.\d+\.\d+-[0-9a-f]{12}$/);
    const { status, stdout } = spawnSync(
      process.execPath,
      [command, "run", "--preset", "quick", "--dry-run"],
      {
        encoding: "utf8",
        cwd: folder,
      },
    );
    expect(status).toBe(0);
    expect(stdout).toContain("# parameters");
    const modules = readdirSync(join(folder, name, "node_modules"));
    expect(modules).toContain("zod");
    expect(modules).not.toContain("vitest");
  });
});
