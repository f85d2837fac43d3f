import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeLine } from "../src/run/json.ts";
import { epigrok } from "./fixtures/cli.ts";
import { SECOND_ASSIGNMENTS } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const SETTINGS = [...SECOND_ASSIGNMENTS, "ensemble.members=3"].flatMap((assignment) => ["--set", assignment]);
/** Next to no training. */
const LIGHT = ["--set", "training.steps=60", "--set", "evaluation.every=5"];
const command = (out: string, ...more: string[]) => ["run", ...SETTINGS, "--out", out, "--quiet", ...more];

const evaluations = (out: string) => {
  const file = join(root, out, "metrics.jsonl");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
};

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Resolves when the run has `after` evaluations on disk, or has ended. */
const evaluated = async (out: string, after: number, child: ChildProcess) => {
  while (evaluations(out) < after && child.exitCode === null) await pause(5);
};

/** Sends the signals, a little after the run has `after` evaluations on disk. */
const signalled = (out: string, after: number, ...signals: NodeJS.Signals[]) =>
  epigrok(command(out, "--resume"), {
    cwd: root,
    running: async (child: ChildProcess) => {
      await evaluated(out, after, child);
      await pause(30);
      for (const signal of signals) child.kill(signal);
    },
  });

const memberStep = (out: string, member: number): number => {
  const bytes = readFileSync(join(root, out, "state", `member-0${member}.safetensors`));
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString("utf8"));
  return JSON.parse(header.__metadata__.progress).step;
};

/** Signals that stop a run, and its exit codes then. */
const STOPS = (
  [
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGQUIT",
    "SIGUSR1",
    "SIGUSR2",
    "SIGXCPU",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPWR",
  ] as const
)
  .filter((signal) => signal in constants.signals)
  .map((signal): [NodeJS.Signals, number] => [signal, 128 + constants.signals[signal]]);

describe("an interrupted epigrok run", () => {
  let expected: Record<string, string>;
  beforeAll(async () => {
    const { code } = await epigrok(command("whole", "--workers", "1"), { cwd: root });
    expect(code).toBe(0);
    expected = resultHashes(join(root, "whole"));
  });

  it("killed with SIGKILL, twice, ends with the same bytes as an uninterrupted one", async () => {
    for (const after of [1, 3]) {
      const { signal } = await signalled("killed", after, "SIGKILL");
      expect(signal).toBe("SIGKILL");
      expect(existsSync(join(root, "killed", "summary.json"))).toBe(false);
      expect(existsSync(join(root, "killed", "lock"))).toBe(true);
    }
    const { code } = await epigrok(["run", "--resume", "killed", "--quiet"], { cwd: root });
    expect(code).toBe(0);
    expect(resultHashes(join(root, "killed"))).toEqual(expected);
  });

  it.each([0, 3, 6].map((i) => STOPS.slice(i, i + 3)).map((stops) => ({ stops, first: stops[0][0] })))(
    "stopped with $first and the two after it saves its state each time, and ends with the same bytes",
    async ({ stops, first: out }) => {
      for (const [signal, code] of stops) {
        const outcome = await signalled(out, evaluations(out) + 1, signal);
        expect(outcome).toMatchObject({ code, stdout: "" });
        expect(outcome.stderr).toBe(`Stopped, nothing is lost. Continue with: epigrok run --resume ${out}\n`);
        expect(existsSync(join(root, out, "lock"))).toBe(false);
        expect(existsSync(join(root, out, "summary.json"))).toBe(false);
      }
      const resumed = await epigrok(["run", "--resume", out, "--json", "--quiet"], { cwd: root });
      expect(resumed.code).toBe(0);
      expect(resultHashes(join(root, out))).toEqual(expected);
    },
  );

  it.each(STOPS.slice(0, 2))(
    "stopped with %s saves its state in the middle of a segment that would take minutes",
    async (signal, code) => {
      const out = `endless-${signal}`;
      const endless = ["--set", "training.steps=2000000", "--set", "evaluation.every=2000000"];
      const outcome = await epigrok(command(out, ...endless), {
        cwd: root,
        running: async (child: ChildProcess) => {
          await evaluated(out, 1, child);
          await pause(500);
          child.kill(signal);
        },
      });
      expect(outcome.code).toBe(code);
      const step = Math.max(...[0, 1, 2].map((member) => memberStep(out, member)));
      expect(step).toBeGreaterThan(0);
      expect(step).toBeLessThan(2000000);
    },
  );

  it("takes signals that schedulers repeat, and a Ctrl-C that npm passes on, for one", async () => {
    for (const [i, signals] of [
      ["SIGINT", "SIGINT"],
      ["SIGTERM", "SIGTERM", "SIGXCPU", "SIGXCPU"],
    ].entries()) {
      const out = `repeated-${i}`;
      const outcome = await signalled(out, 2, ...(signals as NodeJS.Signals[]));
      expect(outcome.code).toBe(i === 0 ? 130 : 143);
      expect(outcome.stderr).toBe(`Stopped, nothing is lost. Continue with: epigrok run --resume ${out}\n`);
    }
  });

  it("ends at once with the second signal, and can be resumed then too", async () => {
    const outcome = await signalled("twice", 1, "SIGINT", "SIGTERM");
    expect([130, 143]).toContain(outcome.code);
    const resumed = await epigrok(["run", "--resume", "twice", "--quiet"], { cwd: root });
    expect(resumed.code).toBe(0);
    expect(resultHashes(join(root, "twice"))).toEqual(expected);
  });
});

describe("what nobody reads", () => {
  /** Runs `epigrok ARGS` by a shell, with what happens to its output. */
  const shell = (script: string) =>
    spawnSync("bash", ["-c", script], {
      ...{ cwd: root, encoding: "utf8" },
      env: { ...process.env, NODE: process.execPath, CLI: cli },
    });
  const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
  const args = (out: string) => `run ${[...SETTINGS, ...LIGHT].join(" ")} --out ${out} --workers 1`;

  it.each([
    ["a stderr that is closed", "2>&1 | head -1 > /dev/null"],
    ["a stderr without a reader", "2> >(true)"],
    ["an stdout without a reader", "| true"],
    ["streams that are closed", ">&- 2>&-"],
  ])("%s does not end a run", (_, redirection) => {
    const out = `unread-${redirection.length}`;
    shell(`"$NODE" "$CLI" ${args(out)} ${redirection}`);
    expect(existsSync(join(root, out, "summary.json"))).toBe(true);
    expect(existsSync(join(root, out, "report.html"))).toBe(true);
  });

  it.runIf(existsSync("/dev/full"))("an output that is full does not either, and is told", () => {
    const { status, stderr } = shell(`"$NODE" "$CLI" ${args("full")} --quiet > /dev/full`);
    expect(stderr).toMatch(/the output is incomplete: ENOSPC/);
    expect(status).toBe(1);
    expect(existsSync(join(root, "full", "summary.json"))).toBe(true);
    const everything = shell(`"$NODE" "$CLI" ${args("full-2")} > /dev/full 2> /dev/full`);
    expect(everything.status).toBe(1);
    expect(existsSync(join(root, "full-2", "summary.json"))).toBe(true);
  });
});

describe("a run whose posteriors are being fitted", () => {
  /** Makes the run one of hours by its own account, so that there is time for posteriors. */
  const prolong = (out: string) => {
    const file = join(root, out, "timing.jsonl");
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    const last = { ...JSON.parse(lines.at(-1)!), trainSeconds: 10_000 };
    const others = lines.slice(0, -1).map((line) => `${line}\n`);
    writeFileSync(file, [...others, encodeLine(last, last.run)].join(""));
  };

  it("stopped with SIGTERM and SIGUSR2 keeps what is done, and goes on with a resume", async () => {
    const out = "posterior";
    expect((await epigrok(command(out, ...LIGHT, "--no-posterior"), { cwd: root })).code).toBe(0);
    prolong(out);
    const records = () => {
      const file = join(root, out, "posteriors.jsonl");
      return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
    };
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGUSR2", 140],
    ] as const) {
      const before = records();
      const outcome = await epigrok(["run", "--resume", out, "--quiet"], {
        cwd: root,
        running: async (child: ChildProcess) => {
          while (records() <= before && child.exitCode === null) await pause(5);
          child.kill(signal);
        },
      });
      expect(outcome).toMatchObject({ code, stdout: "" });
      expect(outcome.stderr).toContain(
        `Stopped after the training, which is complete. Continue with: epigrok run --resume ${out}\n`,
      );
      expect(existsSync(join(root, out, "lock"))).toBe(false);
      expect(records()).toBeGreaterThan(before);
    }
    const before = records();
    const resumed = await epigrok(["run", "--resume", out, "--quiet"], { cwd: root });
    expect(resumed.code).toBe(0);
    expect(records()).toBeGreaterThan(before);
  });
});
