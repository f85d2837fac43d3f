/** What the programs of experiments/ compute from runs. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { TopLevelSpec } from "vega-lite";
import { describe, expect, it } from "vitest";
// @ts-expect-error a program, not part of the package
import { digest, fallAtGrok, groupBy, near } from "../experiments/shared/runs.mjs";
// @ts-expect-error a program, not part of the package
import * as statistics from "../experiments/shared/statistics.mjs";
import { createConfig, readRun, runEnsemble } from "../src/index.ts";
import { renderSvg } from "../src/report/svg.ts";

const { bootstrap, leastSquares, mean, median, overSeeds, spearman } = statistics;

describe("statistics", () => {
  it("a median takes null for the largest", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([1, null, 3, null])).toBe(null);
    expect(median([1, 2, 3, null])).toBe(2.5);
    expect(median([])).toBe(null);
    expect(mean([1, null, 3])).toBe(2);
    expect(mean([null])).toBe(null);
  });

  it("an interval of a mean has the width of its standard error", () => {
    const values = Array.from(
      { length: 400 },
      (_, i) => Math.sin(i * 12.9898) * 43758.5453 - Math.floor(Math.sin(i * 12.9898) * 43758.5453),
    );
    const [low, high] = bootstrap(values, mean);
    const centre = mean(values);
    const error = Math.sqrt(values.reduce((sum, v) => sum + (v - centre) ** 2, 0)) / values.length;
    expect((high - low) / (2 * 1.96 * error)).toBeGreaterThan(0.9);
    expect((high - low) / (2 * 1.96 * error)).toBeLessThan(1.1);
    expect((low + high) / 2).toBeCloseTo(centre, 2);
  });

  it("an interval of one group is unknown, and one that reaches never has no end", () => {
    expect(bootstrap([1], mean)).toEqual([null, null]);
    expect(bootstrap([1, 2, null], median)[1]).toBe(null);
  });

  it("runs of a seed are drawn together", () => {
    const run = (seed: number, value: number) => ({ config: { seed }, value });
    const runs = [run(0, 1), run(0, 1), run(1, 1), run(1, 1)];
    expect(overSeeds(runs, ({ value }: { value: number }) => value)).toEqual({ value: 1, interval: [1, 1] });
    // Within each seed the values are 0 and 1: the mean does not depend on which seeds are drawn.
    const paired = [run(0, 0), run(0, 1), run(1, 0), run(1, 1)];
    expect(overSeeds(paired, ({ value }: { value: number }) => value, mean).interval).toEqual([0.5, 0.5]);
  });

  it("a rank correlation is that of monotone data, with ties and never", () => {
    expect(
      spearman([
        [1, 1],
        [2, 4],
        [3, 9],
      ]),
    ).toBeCloseTo(1, 12);
    expect(
      spearman([
        [1, 9],
        [2, 4],
        [3, null],
      ]),
    ).toBeCloseTo(0.5, 12);
    expect(
      spearman([
        [1, 1],
        [1, 2],
        [2, 3],
        [2, 4],
      ]),
    ).toBeCloseTo(4 / Math.sqrt(20), 12);
    expect(
      spearman([
        [1, 1],
        [2, 1],
        [3, 1],
      ]),
    ).toBe(null);
  });

  it("least squares finds the plane that data lie on, and refuses dependent columns", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 3, maxLength: 3 }),
        ([a, b, c]) => {
          const rows = [
            [0, 1],
            [1, 0],
            [2, 5],
            [3, -1],
            [4, 2],
          ];
          const found = leastSquares(
            rows,
            rows.map(([x, y]) => a + b * x + c * y),
          );
          for (const [i, value] of [a, b, c].entries()) expect(found[i]).toBeCloseTo(value, 8);
        },
      ),
      { seed: 1 },
    );
    expect(
      leastSquares(
        [
          [1, 2],
          [2, 4],
          [3, 6],
        ],
        [1, 2, 3],
      ),
    ).toBe(null);
  });
});

describe("runs", () => {
  /** Memorised at 100, generalised at 400, grokked at 800; mutual information falls from 1 at 400 to 0 at 1600. */
  const steps = [0, 100, 200, 400, 600, 800, 1000, 1200, 1600];
  const information = [0, 0.9, 1, 1, 0.9, 0.5, 0.2, 0.1, 0];
  const run = {
    config: { seed: 0, task: { promptPool: 10 } },
    events: { memorisedStep: 100, generalisedStep: 400, grokStep: 800, collapseStep: 1600 },
    summary: {
      meanPrediction: { grokStep: 600 },
      perMember: [
        { grokStep: 800, generalisedStep: 400 },
        { grokStep: null, generalisedStep: 600 },
      ],
    },
    references: { unseenTasks: { chance: 0.1, ceiling: 0.9, entropyG: 0.2 } },
    records: steps.map((step, i) => ({
      step,
      ensemble: {
        unseenTasks: {
          accuracy: step >= 800 ? 0.9 : 0.1,
          mutualInformation: information[i],
          expectedEntropy: 0.1,
          totalEntropy: 1,
        },
      },
    })),
  };

  it("a digest has the moments of a run and the uncertainty at them", () => {
    expect(digest(run)).toMatchObject({
      memorised: 100,
      generalised: 400,
      grok: 800,
      meanGrok: 600,
      delay: 8,
      lead: 1,
      grokked: 0.5,
      generalisedMembers: 1,
      plateau: { mutualInformation: 0.95 },
      peak: 1,
      best: 1,
      end: 1,
    });
    expect(near(digest(run).measures, 690).step).toBe(600);
  });

  it("the share of the fall near the grok step compares half an octave before and after", () => {
    // 566 is nearest to 600, 1131 to 1200: (0.9 - 0.1) of 0.95.
    expect(fallAtGrok(run)).toBeCloseTo(0.8 / 0.95, 12);
    expect(fallAtGrok({ ...run, events: { ...run.events, grokStep: null } })).toBe(null);
  });

  it("groups are by settings", () => {
    const other = { ...run, config: { seed: 1, task: { promptPool: 20 } } };
    expect(
      groupBy([run, other, run], ["task.promptPool"]).map(
        ({ values, runs }: { values: number[]; runs: unknown[] }) => [values[0], runs.length],
      ),
    ).toEqual([
      [10, 2],
      [20, 1],
    ]);
  });
});

it("every experiment makes its tables of runs, of whatever they came to", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "epigrok-experiments-"));
  const runs = [];
  for (const seed of [0, 1]) {
    const config = createConfig({
      seed,
      task: { modulus: 5, trainTasks: 3, promptPool: 24 },
      model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 16 },
      training: { steps: 40, batchSize: 16, warmupSteps: 1 },
      evaluation: { every: 10, prompts: 4 },
      ensemble: { members: 2 },
    });
    const out = join(folder, String(seed));
    await runEnsemble(config, { out, workers: 1 });
    runs.push({ settings: {}, ...(await readRun(out)) });
  }
  const names = readdirSync("experiments").filter((name) =>
    existsSync(join("experiments", name, "analyse.mjs")),
  );
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) {
    const { analyse } = await import(`../experiments/${name}/analyse.mjs`);
    // Fresh prompts as well, of which some figures are; what moves the delay is asked of pools only.
    const fresh = runs.map((run) => ({
      ...run,
      config: { ...run.config, task: { ...run.config.task, promptPool: 0 } },
    }));
    const { text, figures = {} } = analyse(name === "delay" ? runs : [...runs, ...fresh]);
    expect(text, name).toMatch(/^\|.*\|$/m);
    expect(text, name).not.toMatch(/NaN|undefined|Infinity/);
    for (const spec of Object.values(figures).filter((spec) => spec !== null))
      expect(await renderSvg(spec as TopLevelSpec, "auto")).toContain("<svg");
  }
  rmSync(folder, { recursive: true });
});
