/** The report of a sweep: its numbers, its pictures, and what failed first. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeReport, writeSweepReport } from "../src/report/report.ts";
import { renderSvg } from "../src/report/svg.ts";
import { axesOf, chooseAxes } from "../src/report/sweep/axes.ts";
import { sweepFigure } from "../src/report/sweep/figures.ts";
import { SWEEP_VALUE_NAMES, SWEEP_VALUES } from "../src/report/sweep/values.ts";
import { readSweep, runDirectory } from "../src/sweep/directory.ts";
import type { SweepResult } from "../src/sweep/results.ts";
import { runSweep } from "../src/sweep/sweep.ts";
import { epigrok } from "./fixtures/cli.ts";
import { GRID, TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

/** A run of two members, of which `grokking` grok. */
function result(settings: Record<string, unknown>, grokking: number, grokStep = 500): SweepResult {
  const steps = { memorisedStep: 100, grokStep: grokking > 0 ? grokStep : null };
  const accuracy = { seenTasks: 1, unseenTasks: grokking / 2 };
  return {
    ...{
      version: 1,
      run: JSON.stringify(settings),
      settings,
      members: 2,
      steps: 1000,
      verdict: "",
      math: "strict",
    },
    ...steps,
    ...{ uncertaintyPeakStep: 200, collapseStep: grokking > 0 ? grokStep - 50 : null },
    meanPrediction: steps,
    accuracy,
    mutualInformation: { peak: 0.6, final: 0.1 },
    perMember: [0, 1].map((member) => ({
      ...{ member, memorisedStep: 100, grokStep: member < grokking ? grokStep : null },
      ...{ finalLoss: 0, accuracy, failedStep: null },
    })),
    final: {},
  };
}

/** Pools of three sizes, two decays, three seeds: large pools grok sooner, and strong decays more often. */
const results = [1000, 2000, 40000].flatMap((pool, i) =>
  [0.1, 1].flatMap((decay, j) =>
    [0, 1, 2].map((seed) =>
      result(
        { "task.promptPool": pool, "training.weightDecay": decay, seed },
        Math.min(2, i + j),
        900 - 100 * i - 10 * seed,
      ),
    ),
  ),
);
const axes = axesOf(results);

describe("the values of a sweep", () => {
  it("are of the median member, with never as the latest of all", () => {
    const { delay, grokked, lead, peak, accuracy } = SWEEP_VALUES;
    expect(delay.of(result({}, 1))).toBe(400);
    expect(delay.of(result({}, 0))).toBeNull();
    expect(delay.middle([100, null, 300])).toBe(300);
    expect(delay.middle([100, null, null])).toBeNull();
    expect(delay.middle([100, 300])).toBe(200);
    expect(delay.middle([])).toBeNull();
    expect(grokked.of(result({}, 1))).toBe(0.5);
    expect(grokked.middle([0.5, 1])).toBe(0.75);
    expect(lead.of(result({}, 2))).toBe(50);
    expect(lead.middle([null, 50, null])).toBe(50);
    expect(peak.of(result({}, 2))).toBe(0.6);
    expect(accuracy.of(result({}, 1))).toBe(0.5);
  });
});

describe("the axes of a report", () => {
  it("are the settings in which runs differ, the seed last", () => {
    expect(axes).toEqual([
      { key: "task.promptPool", values: [1000, 2000, 40000] },
      { key: "training.weightDecay", values: [0.1, 1] },
      { key: "seed", values: [0, 1, 2] },
    ]);
    const { x, y } = chooseAxes(axes, {});
    expect([x?.key, y?.key]).toEqual(["task.promptPool", "training.weightDecay"]);
    const other = chooseAxes(axes, { x: "seed" });
    expect([other.x?.key, other.y?.key]).toEqual(["seed", "task.promptPool"]);
    expect(chooseAxes(axes, { y: "task.promptPool" }).x?.key).toBe("training.weightDecay");
    expect(chooseAxes(axesOf(results.slice(0, 3)), {})).toEqual({ x: null, y: null });
  });

  it("that runs do not have in common are refused", () => {
    expect(() => chooseAxes(axes, { x: "weightDecay" })).toThrow(
      /do not differ in weightDecay; did you mean training/,
    );
    expect(() => chooseAxes(axes, { y: "model.dModel" })).toThrow(
      /--y: the runs do not differ in model\.dModel/,
    );
    expect(() => chooseAxes(axes, { x: "seed", y: "seed" })).toThrow(/must be another setting than --x/);
  });
});

describe("the pictures of a sweep", () => {
  it.each(SWEEP_VALUE_NAMES)("of %s are a map over two axes, and lines along the first", async (name) => {
    const figures = sweepFigure(results, chooseAxes(axes, {}), name);
    expect(figures.map(({ id }) => id)).toEqual([`map-${name}`, `lines-${name}`]);
    for (const { spec } of figures) expect(await renderSvg(spec)).toMatch(/^<svg/);
  });

  it("say in each cell what is in the middle of its runs", async () => {
    const [map] = sweepFigure(results, chooseAxes(axes, {}), "delay");
    const svg = await renderSvg(map.spec);
    // 2000, 0.1: the median of 700, 690, 680. 1000, 0.1: nobody groks.
    expect(svg).toContain(">690<");
    expect(svg).toContain(">–<");
    expect(svg).toContain("1000, 0.1: –");
    expect(svg).toContain("2000, 0.1: 690");
  });

  it("are lines without a second axis, maps without numbers, and nothing for repetitions", () => {
    const pools = results.filter(({ settings }) => settings["training.weightDecay"] === 1);
    expect(sweepFigure(pools, chooseAxes(axesOf(pools), {}), "peak").map(({ id }) => id)).toEqual([
      "lines-peak",
    ]);
    const named = [..."ab"].flatMap((math) => [1, 2].map((width) => result({ math, width }, 1)));
    expect(sweepFigure(named, chooseAxes(axesOf(named), {}), "peak").map(({ id }) => id)).toEqual([
      "map-peak",
    ]);
    const seeds = results.slice(0, 3);
    expect(sweepFigure(seeds, chooseAxes(axesOf(seeds), {}), "peak")).toEqual([]);
  });

  it("do without values that nobody has", async () => {
    const none = results.map((each) => ({ ...each, grokStep: null }));
    const figures = sweepFigure(none, chooseAxes(axes, {}), "delay");
    expect(figures.map(({ id }) => id)).toEqual(["map-delay"]);
    expect(await renderSvg(figures[0].spec)).toMatch(/^<svg/);
  });
});

describe("the page of a sweep", () => {
  const out = join(root, "sweep");
  beforeAll(async () => {
    await runSweep(
      { set: TINY, axes: { "training.learningRate": [0.003, 0.001, 1e30], seed: "0..1" } },
      { out, workers: 2 },
    );
  }, 60_000);

  it("has what failed first, then the pictures, then the runs with links to their reports", async () => {
    const [{ run }] = readSweep(out).runs;
    await writeReport([runDirectory(out, run)]);
    const path = await writeSweepReport(out);
    expect(path).toBe(join(out, "report.html"));
    const html = readFileSync(path, "utf8");
    expect(html).toContain("<title>epigrok: sweep sweep</title>");
    const places = ["<h2>Failed</h2>", "<h2>Over the settings</h2>", "<h2>Runs</h2>"].map((part) =>
      html.indexOf(part),
    );
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    expect(html).toMatch(/training\.learningRate=1e\+30 seed=0 \([0-9a-f]{16}\): 1 of 1 member lost/);
    expect(html.match(/<a href="runs\//g)).toHaveLength(1);
    expect(html).toContain(`<a href="runs/${run}/report.html">report</a> ${run}`);
    expect(existsSync(join(out, "runs", run, "report.html"))).toBe(true);
  });

  it("can be of other axes, and of some values", async () => {
    const elsewhere = join(root, "lead.html");
    const args = ["report", out, "--x", "seed", "--y", "training.learningRate", "--value", "peak,accuracy"];
    const { code, stdout } = await epigrok([...args, "--out", elsewhere]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${elsewhere}\n` });
    const html = readFileSync(elsewhere, "utf8");
    expect(html.match(/<figure id="[^"]+"/g)).toEqual(
      ["map-peak", "lines-peak", "map-accuracy", "lines-accuracy"].map((id) => `<figure id="${id}"`),
    );
  });

  it("refuses what it does not have, and replaces no other file", async () => {
    expect((await epigrok(["report", out, "--value", "pek"])).stderr).toMatch(
      /unknown value of a sweep "pek"; did you mean "peak"/,
    );
    expect((await epigrok(["report", out, "--x", "model.dModel"])).code).toBe(2);
    const run = runDirectory(out, readSweep(out).runs[0].run);
    expect((await epigrok(["report", run, "--x", "seed"])).stderr).toMatch(
      /--x is for the report of one sweep/,
    );
    expect((await epigrok(["report", run, out])).stderr).toContain(`${out} is a sweep`);
    const notes = join(root, "notes.html");
    writeFileSync(notes, "mine");
    await expect(writeSweepReport(out, { out: notes })).rejects.toThrow(/is no HTML report of epigrok/);
    await expect(writeSweepReport(root)).rejects.toThrow(/there is no sweep/);
  });

  it("is there before a run is finished", async () => {
    const { prepareSweep } = await import("../src/sweep/sweep.ts");
    const { defineSweep } = await import("../src/sweep/definition.ts");
    const waiting = await prepareSweep(defineSweep(GRID), { out: join(root, "waiting"), workers: 1 });
    const html = readFileSync(await writeSweepReport(waiting), "utf8");
    expect(html).toContain("<dt>waiting</dt><dd>6</dd>");
    expect(html).not.toContain("<h2>Over the settings</h2>");
  });
});
