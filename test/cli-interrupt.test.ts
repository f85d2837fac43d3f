import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

/** About a second of training. */
const SETTINGS = [
  ...FRESH_ASSIGNMENTS,
  "task.modulus=7",
  "task.trainTasks=5",
  "model.dModel=16",
  "model.nHeads=2",
  "model.dMlp=32",
  "training.steps=3000",
  "training.batchSize=16",
  "evaluation.every=500",
  "evaluation.prompts=8",
  "ensemble.members=3",
].flatMap((assignment) => ["--set", assignment]);
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
const STOPS: [NodeJS.Signals, number][] = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
];

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

  it.each(STOPS)("stopped with %s saves its state and exits with %i", async (signal, code) => {
    const out = signal.toLowerCase();
    const outcome = await signalled(out, 2, signal);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toBe(`Stopped, nothing is lost. Continue with: epigrok run --resume ${out}\n`);
    expect(existsSync(join(root, out, "lock"))).toBe(false);
    const resumed = await epigrok(["run", "--resume", out, "--json", "--quiet"], { cwd: root });
    expect(resumed.code).toBe(0);
    expect(resultHashes(join(root, out))).toEqual(expected);
  });

  it.each(STOPS)(
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

  it("ends at once with the second signal, and can be resumed then too", async () => {
    const outcome = await signalled("twice", 1, "SIGINT", "SIGTERM");
    expect([130, 143]).toContain(outcome.code);
    const resumed = await epigrok(["run", "--resume", "twice", "--quiet"], { cwd: root });
    expect(resumed.code).toBe(0);
    expect(resultHashes(join(root, "twice"))).toEqual(expected);
  });
});
