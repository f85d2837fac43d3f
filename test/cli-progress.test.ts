import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { formatDuration, shortNumber } from "../src/commands/format.ts";
import { jobProgress } from "../src/commands/job-progress.ts";
import { createProgress, type Progress } from "../src/commands/progress.ts";
import { type SweepProgress, sweepProgress } from "../src/commands/sweep-progress.ts";
import type { RunStart } from "../src/run/observer.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import type { SweepRun } from "../src/sweep/expand.ts";
import type { ProbeReference } from "../src/tasks/probes.ts";
import type { EnsembleMeasures } from "../src/uncertainty/measures.ts";
import { fakeConfig } from "./fixtures/fake-trainer.ts";

class Sink extends Writable {
  text = "";
  isTTY: boolean;
  columns: number;
  constructor(isTTY: boolean, columns = 120) {
    super();
    this.isTTY = isTTY;
    this.columns = columns;
  }
  /** What was written without the movements of the cursor. */
  get lines(): string[] {
    return stripVTControlCharacters(this.text).split("\n");
  }
  override _write(chunk: Buffer, _: string, done: () => void) {
    this.text += chunk;
    done();
  }
  // What cli-progress asks of a terminal.
  cursorTo = () => true;
  moveCursor = () => true;
  clearLine = () => true;
  clearScreenDown = () => true;
}

const reference = { chance: 0.2, ceiling: 1 } as ProbeReference;
const start: RunStart = {
  runDir: "/runs/x",
  config: fakeConfig(2),
  core: { math: "strict", simd: 128, narrowBecause: null },
  workers: 1,
  threadsPerMember: 1,
  records: [],
  memberSteps: [0, 0],
  progress: (member) => ({ step: 10 + member, loss: 1.25 + member }),
  references: () => ({ seenTasks: reference, unseenTasks: reference }),
};

/** An evaluation of members that get the share `accuracy` of both probe sets right. */
function evaluation(step: number, accuracy: number): MetricsRecord {
  const measures = {
    accuracy,
    mutualInformation: 0.5,
    totalEntropy: 1,
    expectedEntropy: 0.5,
    disagreement: 0.5,
  };
  const sets = {
    seenTasks: measures,
    unseenTasks: measures,
  } as unknown as MetricsRecord["members"][0]["sets"];
  const members = [0, 1].map((member) => ({ member, loss: 1, gradientNorm: 1, sets }));
  const ensemble = { seenTasks: measures as EnsembleMeasures, unseenTasks: measures as EnsembleMeasures };
  return { step, tokens: 0, learningRate: 0, members, ensemble };
}

/** Feeds evaluations one second apart. */
function play(progress: Progress, accuracies: number[]): void {
  progress.started?.(start);
  const records: MetricsRecord[] = [];
  for (const [i, accuracy] of accuracies.entries()) {
    records.push(evaluation(i, accuracy));
    const timing = { step: i, seconds: i, tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
    progress.evaluated?.(records[i], timing, records);
  }
}

describe("progress", () => {
  it("prints nothing when quiet", () => {
    const sink = new Sink(true);
    const progress = createProgress(sink, true);
    play(progress, [0.2, 1, 1, 1]);
    progress.close();
    expect(sink.text).toBe("");
  });

  it("prints plain lines without a terminal, one in five seconds, and milestones when they are known", () => {
    const sink = new Sink(false);
    play(createProgress(sink, false), [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 1, 1, 1, 1]);
    const lines = sink.text.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^\/runs\/x: 2 members of \d+ parameters, 1 worker, strict math 128 bits wide$/);
    const steps = lines.flatMap((line) => line.match(/^step (\d+)\/20 /)?.[1] ?? []);
    // A qualified peak is news at step 1, accuracy held for three evaluations at step 9.
    expect(steps).toEqual(["0", "1", "6", "9"]);
    expect(lines).toContain("seen tasks memorised: step 7");
    expect(lines).toContain("unseen tasks solved (grokked): step 7");
    expect(lines.filter((line) => line.startsWith("uncertainty peak so far"))).toHaveLength(1);
    expect(lines[1]).toMatch(/seen 20\.0 % {2}unseen 20\.0 % {2}MI 0\.500 nats {2}.*tokens\/s {2}ETA /);
    expect(sink.text).not.toContain("\u001b");
  });

  it("names the events of a prompt pool, and its accuracy", () => {
    const sink = new Sink(false);
    const progress = createProgress(sink, false);
    const references = { ...start.references(), trainPrompts: { ...reference, lookUpCeiling: 1 } };
    const config = fakeConfig(2, { task: { promptPool: 8 } });
    progress.started?.({ ...start, config, references: () => references });
    const records = [0.2, 1, 1, 1].map((accuracy, i) => {
      const { ensemble, members, ...record } = evaluation(i, i > 0 ? 0.2 : accuracy);
      const trainPrompts = { ...ensemble.seenTasks!, accuracy };
      return {
        ...record,
        ensemble: { ...ensemble, trainPrompts },
        members: members.map((member) => ({ ...member, sets: { ...member.sets, trainPrompts } })),
      };
    }) as MetricsRecord[];
    records.forEach((record, i) => {
      const timing = { step: i, seconds: i, tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
      progress.evaluated?.(record, timing, records.slice(0, i + 1));
    });
    expect(sink.text).toContain("prompt pool memorised: step 1\n");
    expect(sink.text).not.toMatch(/solved/);
    expect(sink.text).toMatch(/pool 100\.0 % {2}seen 20\.0 % {2}unseen 20\.0 %/);
  });

  it("draws a line for each member and one for the ensemble on a terminal", () => {
    const sink = new Sink(true);
    const progress = createProgress(sink, false);
    play(progress, [0.2, 0.2]);
    progress.close();
    progress.close();
    expect(sink.text).toMatch(/member 0 \[=+-+\] 10\/20 {2}loss 1\.250 {2}seen 20\.0 % {2}unseen 20\.0 %/);
    expect(sink.text).toMatch(/member 1 \[=+-+\] 11\/20 {2}loss 2\.250/);
    expect(sink.text).toMatch(/ensemble seen 20\.0 % {2}unseen 20\.0 % {2}MI 0\.500 nats .*tokens\/s {2}ETA/);
  });

  it.each([80, 60, 40])("fits a terminal of %d columns, and never cuts a word", (columns) => {
    const sink = new Sink(true, columns);
    const progress = createProgress(sink, false);
    const config = fakeConfig(2, { training: { steps: 200_000 } });
    progress.started?.({ ...start, config, memberSteps: [150_000, 0] });
    const timing = { step: 0, seconds: 0, tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
    const record = evaluation(0, 1);
    progress.evaluated?.(record, timing, [record]);
    progress.close();
    const drawn = sink.lines.filter((line) => /^(member|ensemble) /.test(line));
    expect(drawn.length).toBeGreaterThan(2);
    for (const line of drawn) expect(line.length).toBeLessThan(columns);
    expect(drawn.at(-3)).toMatch(/^member 0 \[=+-+\] .*unseen 100\.0 %$/);
    expect(drawn.at(-2)).toMatch(/^member 1 \[-+\] .*unseen 100\.0 %$/);
    expect(drawn.at(-1)).toMatch(/^ensemble .*unseen 100\.0 % {2}MI 0\.500 nats/);
  });

  it("has every column of a member at 80 columns, and the rest of the time", () => {
    const sink = new Sink(true, 80);
    const progress = createProgress(sink, false);
    play(progress, [0.2, 1]);
    progress.close();
    expect(sink.lines.findLast((line) => line.startsWith("member 0"))).toMatch(
      /^member 0 \[=+-+\] 10\/20 {2}loss 1\.250 {2}seen 100\.0 % {2}unseen 100\.0 %$/,
    );
    expect(sink.lines.findLast((line) => line.startsWith("ensemble"))).toMatch(/seen .*unseen .*MI .*ETA /);
  });

  it("moves no cursor of a dumb terminal", () => {
    vi.stubEnv("TERM", "dumb");
    const sink = new Sink(true);
    const progress = createProgress(sink, false);
    play(progress, [0.2, 0.2]);
    progress.close();
    vi.unstubAllEnvs();
    expect(sink.text).toMatch(/^step 0\/20 {2}seen 20\.0 %/m);
    expect(sink.text).not.toContain("\u001b");
  });

  it("tells what went wrong when quiet", () => {
    const sink = new Sink(true);
    const progress = createProgress(sink, true);
    progress.memberFailed?.({ member: 1, step: 3, reason: "crash", message: "member 1 failed" });
    progress.warned?.("another build");
    expect(sink.text).toBe("member 1 failed\nwarning: another build\n");
  });

  it("names a member that fails", () => {
    const sink = new Sink(false);
    createProgress(sink, false).memberFailed?.({
      member: 1,
      step: 3,
      reason: "crash",
      message: "member 1 failed",
    });
    expect(sink.text).toBe("member 1 failed\n");
  });
});

describe("progress of an analysis", () => {
  interface Job {
    method: string;
    step: number;
  }
  const texts = {
    kindOf: ({ method }: Job) => method,
    seconds: () => 100,
    describe: ({ method, step }: Job) => `${method} at step ${step}, member 1: MI 0.123 nats`,
  };
  const jobs = [100, 200].map((step) => ({ method: "laplace-last-layer", step }));
  const failure = { method: "laplace-last-layer", step: 200, member: 1, message: "not positive" };
  const playJobs = (sink: Sink, quiet: boolean) => {
    const progress = jobProgress<Job, Job>(sink, quiet, texts);
    progress.started?.({ all: 2, open: jobs, workers: 1 });
    progress.done?.(jobs[0]);
    progress.failed?.(failure);
    progress.close();
  };

  it("says why a job failed, also when quiet", () => {
    const sinks = [new Sink(false), new Sink(false), new Sink(true)];
    playJobs(sinks[0], false);
    playJobs(sinks[1], true);
    playJobs(sinks[2], true);
    const failed = "failed: laplace-last-layer at step 200, member 1: not positive\n";
    expect(sinks.map(({ text }) => text)).toEqual([
      `2 jobs, 1 worker\n1/2  laplace-last-layer at step 100, member 1: MI 0.123 nats  ETA 1 min 40 s\n${failed}`,
      failed,
      failed,
    ]);
  });

  it("fits its terminal, the rest of the time first", () => {
    for (const columns of [120, 80, 50]) {
      const sink = new Sink(true, columns);
      playJobs(sink, false);
      const drawn = sink.lines.filter((line) => line.startsWith("["));
      for (const line of drawn) expect(line.length).toBeLessThan(columns);
      expect(drawn.at(-1)).toMatch(/^\[=+-+\] 1\/2 .*ETA 1 min 40 s$/);
    }
  });
});

describe("numbers and durations", () => {
  it("are short", () => {
    expect([0, 7.4, 999, 1000, 12345, 999_600, 4.56e6, 4.5464e17].map(shortNumber)).toEqual([
      "0",
      "7",
      "999",
      "1.00k",
      "12.3k",
      "1.00M",
      "4.56M",
      "455P",
    ]);
    expect([0.4, 59.6, 200, 7500, 3600 * 24 * 3.2, 86400 * 1000].map(formatDuration)).toEqual([
      "0 s",
      "1 min 00 s",
      "3 min 20 s",
      "2 h 05 min",
      "3 d 4 h",
      "2.7 years",
    ]);
  });
});

describe("the progress of a sweep", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const runs = Array.from(
    { length: 4 },
    (_, seed): SweepRun => ({
      ...{ run: `${seed}`.repeat(16), config: "", settings: { seed }, members: 2, steps: 20, flops: 1e9 },
    }),
  );
  const events = (progress: SweepProgress) => {
    progress.started?.({ directory: "sweeps/x", runs, open: runs.slice(1), workers: 2 });
    vi.advanceTimersByTime(1000);
    progress.runStarted?.(runs[1], start);
    progress.runStarted?.(runs[2], { ...start, memberSteps: [10, 10] });
    progress.warned?.("seed=2: EIO; it is tried once more");
    progress.runLeft?.(runs[2]);
    progress.runEnded?.(runs[2], { state: "failed", here: true, message: "EIO" });
    vi.advanceTimersByTime(1000);
    progress.runEnded?.(runs[1], { state: "finished", here: true, message: null });
    progress.waiting?.([runs[3]]);
    progress.waiting?.([runs[3]]);
    progress.runEnded?.(runs[3], { state: "finished", here: false, message: null });
    progress.close();
    progress.close();
  };

  it("is lines without a terminal, of the beginning, troubles and the end at least", () => {
    const sink = new Sink(false);
    events(sweepProgress(sink, false));
    expect(sink.lines).toEqual([
      "sweeps/x: 4 runs of 2 members, 1 of them done before, 2 workers",
      "warning: seed=2: EIO; it is tried once more",
      "failed: seed=2: EIO",
      expect.stringMatching(/^2\/4 {2}seed=2 {2}1 running {2}ETA \d+ s$/),
      "waiting for 1 run of other processes",
      "4/4  seed=3",
      "",
    ]);
  });

  it("is a bar on a terminal, with the share of all steps", () => {
    const sink = new Sink(true);
    events(sweepProgress(sink, false));
    expect(sink.text).toContain("[----");
    expect(sink.text).toContain("1/4 runs");
    expect(sink.text).toMatch(/\[=+-+\] 2\/4 runs {2}1 running {2}ETA \d+ s/);
    expect(sink.text).toMatch(/\[=+\] 4\/4 runs/);
    expect(sink.lines.join("\n")).toContain("failed: seed=2: EIO");
  });

  it("is troubles alone where it is to be quiet", () => {
    const sink = new Sink(true);
    events(sweepProgress(sink, true));
    expect(sink.lines).toEqual(["warning: seed=2: EIO; it is tried once more", "failed: seed=2: EIO", ""]);
  });
});
