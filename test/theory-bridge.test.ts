/** Runs of transformers beside the linear model: the mapping, the one fitted unit, the figures and the command. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import yargs from "yargs";
import { bridge, type TaskRatio, taskRatio } from "../src/analysis/bridge.ts";
import { theoryCommand } from "../src/commands/theory.ts";
import type { ConfigInput } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { type RunData, readRun } from "../src/report/read-run.ts";
import { bridgeSummary, bridgeTable } from "../src/report/theory/bridge-section.ts";
import { bridgeFigures } from "../src/report/theory/figures/bridge.ts";
import { theoryPage } from "../src/report/theory/report.ts";
import { study } from "../src/report/theory/study.ts";
import type { RunEvents } from "../src/run/records.ts";
import * as theory from "../src/theory/index.ts";
import { freshConfig } from "./fixtures/config.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";

const options = { level: 0.01, u0: 0.01 };

function runOf(name: string, task: ConfigInput["task"], events: Partial<RunEvents>): RunData {
  const { config, records, summary } = syntheticRun({ config: { task }, evaluations: 4, events });
  const detector = { uncertaintyPeakStep: null, collapseStep: null } as unknown as RunData["detector"];
  return {
    directory: `/runs/${name}`,
    name,
    config,
    hash: null,
    records,
    answers: [],
    summary,
    references: summary.references,
    detector,
    events: summary,
    environment: null,
    posteriors: [],
    spectra: [],
  };
}

const never = { memorisedStep: null, grokStep: null, uncertaintyPeakStep: null, collapseStep: null };

describe("the analogue of lambda", () => {
  const ratio = (task: ConfigInput["task"], kind?: TaskRatio) => taskRatio(freshConfig({ task }).task, kind);

  it("counts tasks: unseen, or all, per training task", () => {
    expect(ratio({ modulus: 23, trainTasks: 17 })).toBeCloseTo(6 / 17, 14);
    expect(ratio({ modulus: 23, trainTasks: 17 }, "all")).toBeCloseTo(23 / 17, 14);
    expect(ratio({ modulus: 29, variables: 2, trainTasks: 420 })).toBeCloseTo(421 / 420, 14);
    expect(ratio({ modulus: 5, constantTerm: true, trainTasks: 20 }, "all")).toBeCloseTo(25 / 20, 14);
  });

  it("counts inputs too where some are held out", () => {
    // 12 of 23 inputs: 17 x 12 of 23 x 23 pairs are seen.
    expect(ratio({ modulus: 23, trainTasks: 17, inputFraction: 0.5 }, "all")).toBeCloseTo(529 / 204, 14);
  });

  it("falls towards 0 as fewer tasks are held out", () => {
    const ratios = [5, 10, 17, 22].map((trainTasks) => ratio({ modulus: 23, trainTasks }));
    expect(ratios).toEqual([...ratios].sort((a, b) => b - a));
    expect(ratios[3]).toBeLessThan(0.05);
  });
});

describe("the bridge", () => {
  const three = [
    runOf(
      "many",
      { trainTasks: 20 },
      { memorisedStep: 300, grokStep: 500, uncertaintyPeakStep: 250, collapseStep: 450 },
    ),
    runOf(
      "few",
      { trainTasks: 12 },
      { memorisedStep: 600, grokStep: 9000, uncertaintyPeakStep: 700, collapseStep: 9600 },
    ),
    runOf("middle", { trainTasks: 15 }, { ...never, memorisedStep: 500 }),
  ];

  it("fits one unit of time, on memorisation only", () => {
    const data = bridge(three, options);
    expect(data.runs.map(({ name }) => name)).toEqual(["many", "middle", "few"]);
    const logs = data.runs.map(({ lambda, memorisedStep }) =>
      Math.log(memorisedStep! / theory.times({ lambda, level: 0.01 }).tTrain),
    );
    const centre = (logs[0] + logs[1] + logs[2]) / 3;
    expect(data.stepsPerTime).toBeCloseTo(Math.exp(centre), 8);
    expect(data.spread).toBeCloseTo(
      Math.exp(Math.sqrt(logs.reduce((sum, value) => sum + (value - centre) ** 2, 0) / 3)),
      8,
    );
    // Other events play no part.
    const moved = three.map((run) => ({ ...run, events: { ...run.events, grokStep: 11, collapseStep: 7 } }));
    expect(bridge(moved, options).stepsPerTime).toBe(data.stepsPerTime);
    // One run is met exactly.
    const one = bridge(three.slice(0, 1), options);
    const [{ lambda }] = one.runs;
    expect(one.stepsPerTime! * theory.times({ lambda, level: 0.01 }).tTrain).toBeCloseTo(300, 8);
    expect(one.spread).toBe(1);
  });

  it("has delay and lag of each run beside the model's", () => {
    const [many, middle, few] = bridge(three, options).runs;
    expect(many).toMatchObject({
      delay: 200,
      lag: -50,
      delayRatio: 5 / 3,
      lagRatio: 0.9,
      trainTasks: 20,
      taskCount: 23,
    });
    expect(few).toMatchObject({ delay: 8400, lag: 600 });
    expect(middle).toMatchObject({ delay: null, lag: null, delayRatio: null, lagRatio: null });
    const { tGen, tTrain } = theory.times({ lambda: few.lambda, level: 0.01 });
    expect(few.model.delayRatio).toBeCloseTo(tGen / tTrain, 12);
    const tU = theory.collapseTimes({ lambda: few.lambda, ...options }).residual;
    expect(few.model.lagRatio).toBeCloseTo(tU / tGen, 12);
    expect(many.model.delayRatio!).toBeLessThan(few.model.delayRatio!);
  });

  it("says where the linear model never generalises", () => {
    const beyond = runOf(
      "beyond",
      { trainTasks: 10 },
      { memorisedStep: 500, grokStep: 4000, collapseStep: 4000 },
    );
    const data = bridge([beyond], options);
    expect(data.runs[0]).toMatchObject({ delay: 3500, model: { delayRatio: null, lagRatio: null } });
    expect(bridgeSummary(data, 0.01)).toContain("there the analogy fails");
    expect(bridgeSummary(bridge(three, options), 0.01)).not.toContain("fails");
    // Counting all tasks puts every run there.
    const all = bridge(three, { ...options, ratio: "all" });
    expect(all.runs.every(({ model }) => model.delayRatio === null)).toBe(true);
    expect(() => bridge([], options)).toThrow(/length of runs: got 0, must be at least 1/);
  });

  it("counts runs in good English", () => {
    const far = runOf("far", { trainTasks: 8 }, { memorisedStep: 500, grokStep: 4000, collapseStep: 4000 });
    const data = bridge([...three, far], options);
    const words = (...names: string[]) => {
      const runs = names.map((name) => data.runs.find((run) => run.name === name)!);
      return bridgeSummary({ ...data, runs }, 0.01);
    };
    expect(words("many")).toMatch(/^One run, which grokked\. One unit/);
    expect(words("middle")).toMatch(/^One run, which did not grok\. /);
    expect(words("many", "few")).toMatch(/^2 runs, of which all grokked\. .* between runs\)\.$/);
    expect(words("middle", "middle")).toMatch(/^2 runs, of which none grokked\. /);
    expect(words("middle", "middle", "many")).toMatch(/^3 runs, of which 1 grokked\. /);
    expect(words("far")).toContain(" It lies at λ above 1.01");
    expect(words("far", "many")).toContain(" 1 of those that grokked lies at λ above 1.01");
    expect(words("far", "far")).toContain(" 2 of those that grokked lie at λ above 1.01");
    expect(bridgeSummary({ ...data, runs: data.runs.slice(0, 1), stepsPerTime: null }, 0.01)).toContain(
      " It has no memorisation step",
    );
  });

  it("draws every event at its step, and the curves in the fitted unit", () => {
    const data = bridge(three, options);
    const [times, lag] = bridgeFigures(data, 0.01).map((figure) => figure.spec as unknown as Spec);
    const points = (spec: Spec) =>
      spec.layer.flatMap(({ mark, data }) => (mark.type === "point" ? data.values : [])) as Point[];
    expect(
      points(times)
        .map(({ y }) => y)
        .sort((a, b) => a - b),
    ).toEqual([0.3, 0.45, 0.5, 0.5, 0.6, 9, 9.6]);
    expect(points(lag).map(({ x, y }) => [x, y])).toEqual([
      [0.5, 0.45],
      [9, 9.6],
    ]);
    const lines = times.layer.find(({ mark }) => mark.type === "line")!.data.values as (Point & {
      key: string;
    })[];
    const last = lines.findLast(({ key, y }) => key === "tTrain" && y !== null)!;
    const { tTrain } = theory.times({ lambda: last.x, level: 0.01 });
    expect((1000 * last.y) / tTrain).toBeCloseTo(data.stepsPerTime!, 8);
    for (const { caption } of bridgeFigures(data, 0.01)) expect(caption).toContain("not a prediction");
  });

  it("draws nothing without a unit of time", () => {
    const data = bridge([runOf("none", {}, never)], options);
    expect(data.stepsPerTime).toBeNull();
    expect(bridgeFigures(data, 0.01)).toEqual([]);
    expect(bridgeSummary(data, 0.01)).toContain("cannot be set");
    const { head, rows } = bridgeTable(data);
    expect(rows).toEqual([expect.arrayContaining(["none", "17 of 23", "–"])]);
    expect(rows[0]).toHaveLength(head.length);
  });

  it("has a section of the report of its own", async () => {
    const result = study();
    result.bridge = bridge(three, options);
    const page = await theoryPage(result);
    expect(page.match(/<svg /g)).toHaveLength(8);
    expect(page).toContain("an analogy, not a prediction");
    expect(page).not.toMatch(/NaN|undefined/);
  });
});

interface Point {
  x: number;
  y: number;
}
interface Spec {
  layer: { mark: { type: string }; data: { values: object[] } }[];
}

describe("epigrok theory --run", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "bridge-"));
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(directory, { recursive: true });
  });

  async function run(...flags: string[]): Promise<string> {
    const out = vi.spyOn(console, "log").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    await yargs(["theory", "--out", join(directory, "out"), "--no-simulate", "--no-regression", ...flags])
      .command(theoryCommand)
      .strict()
      .exitProcess(false)
      .fail((message, error) => {
        throw error ?? new Error(message);
      })
      .parseAsync();
    return out.mock.calls.map(([line]) => line ?? "").join("\n");
  }

  it("reads run directories", async () => {
    const dirs = await Promise.all(
      [14, 20].map((trainTasks) =>
        writeSyntheticRun(
          join(directory, `tasks-${trainTasks}`),
          syntheticRun({ config: { task: { trainTasks } } }),
        ),
      ),
    );
    const text = await run("--run", ...dirs);
    const events = await Promise.all(dirs.map(async (dir) => (await readRun(dir)).events));
    expect(events[0].memorisedStep).toBeGreaterThan(0);
    expect(text).toMatch(
      new RegExp(
        `tasks-14 +14 of 23 +0.643 +${events[0].memorisedStep} +${events[0].uncertaintyPeakStep} +${events[0].collapseStep} +${events[0].grokStep} `,
      ),
    );
    const data = JSON.parse(await readFile(join(directory, "out", "theory.json"), "utf8"));
    expect(data.bridge.runs.map(({ name }: { name: string }) => name)).toEqual(["tasks-20", "tasks-14"]);
    expect(await readFile(join(directory, "out", "report.html"), "utf8")).toContain(
      '<figure id="bridge-times">',
    );
    await run("--run", dirs[0], "--task-ratio", "all");
    const all = JSON.parse(await readFile(join(directory, "out", "theory.json"), "utf8"));
    expect(all.bridge.runs[0].lambda).toBeCloseTo(23 / 14, 12);
  });

  it("reports directories that hold no run as usage errors", async () => {
    await expect(run("--run", join(directory, "missing"))).rejects.toThrow(UsageError);
    await expect(run("--run", directory)).rejects.toThrow(/not a run directory/);
  });
});
