import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import yargs from "yargs";
import { theoryCommand } from "../src/commands/theory.ts";
import { UsageError } from "../src/errors.ts";
import { theoryFigures } from "../src/report/theory/figures/index.ts";
import { curvesCsv, studyJson, summary, theoryPage } from "../src/report/theory/report.ts";
import { study } from "../src/report/theory/study.ts";
import { formatTime, timesTable } from "../src/report/theory/times-table.ts";
import { trainStudy } from "../src/report/theory/trained.ts";
import * as theory from "../src/theory/index.ts";

const small = study({ simulation: { d: 40, draws: 3, seed: 1 } });

describe("a study", () => {
  it("holds the library's curves and times", () => {
    const { parameters, curves, t, times } = small;
    const last = t.length - 1;
    const expected = theory.residualNoise({ t: t[last], lambda: 0.9, sn2: 1e-4, u0: 0.01 });
    expect(curves.residual!.V[last]).toBe(expected.V);
    expect(times).toMatchObject(theory.times({ lambda: 0.9, level: 0.01 }));
    expect(times.residual.tU).toBe(theory.collapseTimes({ lambda: 0.9, level: 0.01, u0: 0.01 }).residual);
    expect(theory.accuracy(parameters.eps, parameters.level)).toBeCloseTo(parameters.theta, 12);
    expect(t[last]).toBeGreaterThan(times.elbo.tU);
  });

  it("has the table of times, with no time where none exists", () => {
    expect(small.table.map((row) => row.lambda)).toContain(1.005);
    const row = small.table.find(({ lambda }) => lambda === 1.5)!;
    expect(row).toMatchObject({ tGen: Infinity, elbo: { tPeak: Infinity, vPeak: null, tU: Infinity } });
    expect(row.residual.vPeak).toBeCloseTo(0.435, 3);
  });

  it("simulates near the limit", () => {
    const { runs, overLambda } = small.simulation!;
    for (const mode of ["fixed", "residual", "elbo"] as const) {
      const run = runs[mode]!;
      expect(run.draws).toHaveLength(3);
      const limit =
        mode === "fixed" ? theory.fixedNoise : mode === "residual" ? theory.residualNoise : theory.elboNoise;
      const early = run.t.findIndex((t) => t > 0.4);
      const V = limit({ t: run.t[early], lambda: run.lambda, sn2: 1e-4, u0: mode === "fixed" ? 1 : 0.01 }).V;
      expect(Math.abs(run.mean.V[early] / V - 1)).toBeLessThan(0.2);
    }
    for (const row of overLambda) {
      const exact = theory.times({ lambda: row.lambda, level: 0.01 });
      expect(Math.abs(Math.log(row.tTrain!.mean / exact.tTrain))).toBeLessThan(0.35);
      if (exact.tGen === Infinity) expect(row.tGen).toBeNull();
      // g at the earliest time is a bulk quantity.
      const g = theory.labelNoiseVariance({ t: 3, lambda: row.lambda, sn2: 1 }).V;
      expect(Math.abs(row.noiseVariance[0].mean / g - 1)).toBeLessThan(0.2);
    }
  });

  it("names invalid input", () => {
    expect(() => study({ level: 1 })).toThrow(/level: got 1, must be/);
    expect(() => study({ theta: 0 })).toThrow(/theta/);
    expect(() => study({ noise: ["none" as never] })).toThrow(/noise: got .*, must be one of/);
    expect(() => study({ simulation: { d: 0, draws: 1, seed: 0 } })).toThrow(/d: got .*, must be/);
  });
});

describe("the report", () => {
  it("has six figures with simulated points, and neither script nor network", async () => {
    const page = await theoryPage(small);
    expect(page.match(/<svg /g)).toHaveLength(6);
    expect(page).not.toContain("<script");
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(page).not.toMatch(/NaN|undefined/);
    expect(page).toContain("viewBox");
    for (const figure of theoryFigures(small)) expect(page).toContain(`<figure id="${figure.id}">`);
    const bare = await theoryPage(study());
    expect(bare.match(/<svg /g)).toHaveLength(6);
    expect(bare).not.toContain("Points: simulations");
    expect(page.length).toBeGreaterThan(bare.length);
  });

  it("shows trained regressions near the closed forms, as diamonds", async () => {
    const result = study();
    result.trained = await trainStudy(result, { d: 60, draws: 3, seed: 1 });
    for (const mode of ["fixed", "residual", "elbo"] as const) {
      const { t, lambda, mean } = result.trained.runs[mode]!;
      expect(t[t.length - 1]).toBeCloseTo(100, 8);
      const limit = { fixed: theory.fixedNoise, residual: theory.residualNoise, elbo: theory.elboNoise }[
        mode
      ];
      const { V } = limit({ t: t[2], lambda, sn2: 1e-4, u0: mode === "fixed" ? 1 : 0.01 });
      expect(Math.abs(mean.V[2] / V - 1)).toBeLessThan(0.15);
    }
    const page = await theoryPage(result);
    expect(page).toContain("Diamonds: regressions trained by gradient descent on the ELBO; mean");
    expect(page).toContain("Trained regressions: d = 60, 3 draws, seed 1");
    expect(page).not.toMatch(/NaN|undefined/);
  });

  it("trains only as far as float32 reaches, and learned noise only from a regular covariance", async () => {
    const above = await trainStudy(study({ lambda: 1.5, sn2: 0, noise: ["residual"] }), {
      d: 30,
      draws: 1,
      seed: 0,
    });
    const { t, mean } = above.runs.residual!;
    expect(t[t.length - 1]).toBeLessThan(100);
    expect(t.length).toBeGreaterThan(5);
    expect(mean.MI.every(Number.isFinite)).toBe(true);
    const start = await trainStudy(study({ u0: 0 }), { d: 10, draws: 1, seed: 0 });
    expect(Object.keys(start.runs)).toEqual(["fixed"]);
  });

  it("covers lambda > 1, no label noise and a single noise model", async () => {
    const above = study({ lambda: 1.5, sn2: 0 });
    expect(summary(above.times)).toContain("never generalises");
    const critical = study({ lambda: 1 });
    expect(summary(critical.times)).toContain("never collapses with the ELBO's own noise");
    expect(theoryFigures(study({ lambda: 3 }))).toHaveLength(6);
    const page = await theoryPage(above);
    expect(page).toContain("grows without bound");
    expect(page).not.toMatch(/NaN|undefined/);
    const fixed = study({ noise: ["fixed"] });
    expect(theoryFigures(fixed).map(({ id }) => id)).toEqual([
      "theory-variance",
      "theory-times",
      "theory-scatter",
      "theory-lambda",
    ]);
  });

  it("writes times and curves for machines", () => {
    const data = JSON.parse(studyJson(small));
    expect(data.schema).toBe("epigrok-theory/1");
    expect(data.times.tGen).toBe(small.times.tGen);
    expect(data.table.at(-1).tGen).toBe("Infinity");
    const [head, ...lines] = curvesCsv(small).trimEnd().split("\n");
    expect(head.split(",")).toContain("residual.MI");
    expect(lines).toHaveLength(small.t.length);
    const column = head.split(",").indexOf("elbo.V");
    expect(Number(lines[7].split(",")[column])).toBe(small.curves.elbo!.V[7]);
    const { head: names, rows } = timesTable(small.table);
    for (const row of rows) expect(row).toHaveLength(names.length);
    expect([0.49, 41900.4, Infinity].map(formatTime)).toEqual(["0.4900", "4.190e+4", "∞"]);
  });
});

describe("epigrok theory", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "theory-"));
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(directory, { recursive: true });
  });

  async function run(...flags: string[]): Promise<string> {
    const out = vi.spyOn(console, "log").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    await yargs(["theory", "--out", directory, ...flags])
      .command(theoryCommand)
      .strict()
      .exitProcess(false)
      .fail((message, error) => {
        throw error ?? new Error(message);
      })
      .parseAsync();
    return out.mock.calls.map(([line]) => line ?? "").join("\n");
  }

  it.each(["report.html", "theory.json", "curves.csv"])(
    "does not replace somebody's %s, and says so before it computes",
    async (name) => {
      const path = join(directory, name);
      await writeFile(path, "mine");
      await expect(run("--lambda", "0.5")).rejects.toThrow(`${path} is there and is no `);
      expect(await readdir(directory)).toEqual([name]);
      expect(await readFile(path, "utf8")).toBe("mine");
    },
  );

  it("has no place in a run", async () => {
    await writeFile(join(directory, "config.json"), "{}");
    await writeFile(join(directory, "metrics.jsonl"), "");
    await expect(run("--lambda", "0.5")).rejects.toThrow(/report\.html is inside .*, a run or a sweep/);
    expect((await readdir(directory)).sort()).toEqual(["config.json", "metrics.jsonl"]);
  });

  it("names a place that is no directory before it computes", async () => {
    const whole = directory;
    directory = join(whole, "file");
    await writeFile(directory, "mine");
    await expect(run("--lambda", "0.5")).rejects.toThrow(
      `cannot write ${join(directory, "report.html")}: ENOTDIR`,
    );
    directory = whole;
    await mkdir(join(directory, "report.html"));
    await expect(run("--lambda", "0.5")).rejects.toThrow(/report\.html: it is a directory/);
    expect((await readdir(directory)).sort()).toEqual(["file", "report.html"]);
  });

  it("prints the times and writes the report", async () => {
    const text = await run("--no-simulate", "--no-regression", "--lambda", "0.5");
    expect(text).toContain("At λ = 0.5 the training loss arrives at t = 4.036");
    expect(text).toMatch(/^\s+0\.99\s+4\.591\s+769\.1\s/m);
    expect(await readFile(join(directory, "report.html"), "utf8")).toContain("λ = 0.5");
    expect(await readFile(join(directory, "curves.csv"), "utf8")).toMatch(/^t,fixed\.G/);
  });

  it("prints one JSON object, equal to the file", async () => {
    const flags = ["--json", "--d", "20", "--draws", "2", "--noise", "residual"];
    const text = await run(...flags);
    const data = JSON.parse(text);
    expect(Object.keys(data.curves)).toEqual(["residual"]);
    expect(data.parameters).toMatchObject({ d: 20, draws: 2, seed: 0 });
    expect(Object.keys(data.trained.runs)).toEqual(["residual"]);
    expect(data.trained).toMatchObject({ d: 20, draws: 2, seed: 0 });
    expect(await readFile(join(directory, "theory.json"), "utf8")).toBe(`${text}\n`);
  });

  it("reports mistakes in the flags as usage errors", async () => {
    await expect(run("--lambda", "-1")).rejects.toThrow(UsageError);
    await expect(run("--level", "2")).rejects.toThrow(/level: got .*, must be/);
    await expect(run("--noise", "some")).rejects.toThrow(/Choices/);
  });
});
