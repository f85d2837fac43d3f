/** What the report makes of posteriors.jsonl and spectrum.jsonl. */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { MethodComparison } from "../src/analysis/compare.ts";
import type { PosteriorRecord } from "../src/analysis/posterior-job.ts";
import { METHOD_DEFINITIONS, POSTERIOR_METHODS } from "../src/posterior/methods/index.ts";
import { otherFigures, stepFigures } from "../src/report/figures/index.ts";
import { methodsFigure, methodsOf } from "../src/report/figures/methods.ts";
import { formatStep } from "../src/report/format.ts";
import { methodInWords } from "../src/report/posterior-section.ts";
import { calibrationTable, collapseTable, markdown } from "../src/report/posterior-tables.ts";
import { readRun } from "../src/report/read-run.ts";
import { writeReport } from "../src/report/report.ts";
import { ForeignRunError } from "../src/run/errors.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const run = syntheticRun();
const { grokStep } = run.summary;
const STEPS = [1000, 3000, 5000, 7000, 9000, 12000];

/** MI falls from `top` to a tenth of it between 5000 and 7000. */
function posterior(method: string, step: number, member: number | null, top: number, samples = 32) {
  const information = (step <= 5000 ? top : top / 10) * (1 + (member ?? 0) / 10);
  const measures = {
    ...run.records[10].ensemble.unseenTasks,
    ...{ mutualInformation: information, expectedEntropy: 0.5, totalEntropy: 0.5 + information },
    ...{ disagreement: information / 4, accuracy: 0.9, nll: 0.3, brier: 0.2, ece: 0.04 },
  };
  const laplace = { logMarginalLikelihood: -2000, priorPrecision: 10, effectiveParameters: 50 };
  return {
    ...{ method, step, member, samples, settings: method, batches: 2, trainingTerms: 4000 },
    ...{ options: method === "dropout" ? { dropout: 0.1 } : {}, sets: { unseenTasks: measures } },
    ...{ laplace: method.startsWith("laplace") ? laplace : null, fitSeconds: 2, predictSeconds: 1 },
  };
}

const posteriors = STEPS.flatMap((step) => [
  ...[0, 1].map((member) => posterior("laplace-kfac", step, member, 1.2)),
  ...[0, 1].map((member) => posterior("laplace-last-layer", step, member, 0.002)),
  ...[0, 1].map((member) => posterior("dropout", step, member, 0.3)),
  posterior("ensemble", step, null, 0.8, 4),
]);

const spectra = [1000, 12000].flatMap((step) =>
  (["ggn", "hessian"] as const).map((operator) => ({
    ...{ operator, step, member: 0, k: 3, batches: 2, estimateLlc: false, settings: operator },
    ...{ terms: 2304, parameters: 1000, largest: [10, 5, 2], converged: true },
    ...{ smallest: operator === "hessian" ? -0.5 : null, trace: { estimate: 40, standardError: 1 } },
    density: [{ nodes: [1e-3, 1, 10], weights: [0.9, 0.09, 0.01] }],
    ...{ llc: null, seconds: 3 },
  })),
);

const lines = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join("");

async function write(name: string): Promise<string> {
  const directory = await writeSyntheticRun(join(root, name), run);
  await writeFile(join(directory, "posteriors.jsonl"), lines(posteriors));
  await writeFile(join(directory, "spectrum.jsonl"), lines(spectra));
  return directory;
}

describe("a run with posteriors and spectra", () => {
  let directory: string;
  let page: string;
  let methodsOfRun: MethodComparison[];
  beforeAll(async () => {
    directory = await write("with");
    methodsOfRun = methodsOf(await readRun(directory));
    page = await readFile(await writeReport([directory]), "utf8");
  });

  it("shows every method on one axis, its shape, the evidence and the curvature", async () => {
    const data = await readRun(directory);
    const ids = [...stepFigures(data, methodsOf(data), "log"), ...otherFigures(data)].map(({ id }) => id);
    expect(ids).toEqual(
      expect.arrayContaining([
        ...["methods-mi", "methods-relative-mi", "methods-evidence"],
        ...["spectrum", "negative-curvature", "spectral-density"],
      ]),
    );
    for (const id of ids) expect(page).toContain(`<figure id="${id}"`);
    expect(page).toContain("S = 4 (ensemble), S = 32 (last layer, KFAC, dropout)");
  });

  it("draws every method there is, each with a line of its own", async () => {
    const all = POSTERIOR_METHODS.map((method) => posterior(method, 1000, 0, 0.5));
    const data = { ...(await readRun(directory)), posteriors: all as unknown as PosteriorRecord[] };
    const figure = methodsFigure(data, methodsOf(data), "linear");
    const text = JSON.stringify(figure!.spec);
    const looks = METHOD_DEFINITIONS.map(({ name, label }) => {
      expect(text).toContain(`"label":"${label}"`);
      return new RegExp(`"key":"${name}",("colour":"[^"]*").*?("dash":[^}]*)`).exec(text)?.slice(1).join();
    });
    expect(looks).not.toContain(undefined);
    expect(new Set(looks).size).toBe(POSTERIOR_METHODS.length);
  });

  it("puts the fall, its lead and the detector's verdict into a table", async () => {
    const data = await readRun(directory);
    const methods = methodsOf(data);
    const { caption, head, rows } = collapseTable(methods, data);
    expect(caption).toContain(`(grok at step ${formatStep(grokStep)})`);
    const events = { ...data.events, grokStep: null };
    expect(collapseTable(methods, { ...data, events }).caption).toContain("the run did not grok");
    expect(collapseTable(methods, { summary: null, events }).caption).toContain("has not grokked so far");
    const cell = (method: string, column: string) =>
      rows.find(([name]) => name === method)?.[head.indexOf(column)];
    expect(rows.map(([method]) => method)).toEqual([
      ...["laplace-last-layer", "laplace-kfac", "dropout", "ensemble"],
    ]);
    // From 1 to 0.1 between 5000 and 7000: half at 5000 + 2000 * 5 / 9.
    const half = 5000 + (2000 * 5) / 9;
    expect(cell("laplace-kfac", "half at step")).toBe("6\u202f111");
    expect(methods[1].lead).toBeCloseTo(half - grokStep!, 6);
    expect(methods[1].fall?.steps).toBeCloseTo((2000 * 4) / 9, 6);
    expect(cell("laplace-kfac", "detector")).toBe("7\u202f000");
    expect(cell("laplace-last-layer", "detector")).toBe("no peak");
    expect(cell("ensemble", "S")).toBe("4");
    expect(cell("ensemble", "members")).toBe("4");
    expect(cell("laplace-kfac", "s each")).toBe("3.00");
    for (const text of ["6\u202f111", "no peak"]) expect(page).toContain(`<td>${text}</td>`);
  });

  it("compares calibration at the last common step", async () => {
    const data = await readRun(directory);
    const table = calibrationTable(methodsOf(data));
    expect(table?.caption).toContain("step 12\u202f000");
    expect(table?.rows[0]).toEqual([
      ...["laplace-last-layer", "90.0\u202f%", "0.300", "0.0400", "0.200"],
      ...["2.1\u202f×\u202f10^-4", "0.500"],
    ]);
    const shorter = data.posteriors.filter((r) => !(r.method === "dropout" && r.step > 7000));
    expect(calibrationTable(methodsOf({ ...data, posteriors: shorter }))?.caption).toContain(
      "step 7\u202f000",
    );
    expect(calibrationTable([])).toBeNull();
    expect(markdown(table!).split("\n")[2]).toMatch(/^\| method +\| +accuracy \| NLL/);
  });

  it("tells the course of each method in words, and which of the paper's two is missing", () => {
    // From the peak at 5000 to a tenth at 7000: 90 % and 50 % are crossed on that line, over the mean of two members.
    const [start, end] = [0.1, 0.5].map((share) => 5000 + (2000 * share) / 0.9);
    const octaves = Math.log2(end / grokStep!);
    const sharpness = `from 90 % to half in ${formatStep(Math.round(end - start))} steps, a factor ${(end / start).toFixed(2)} in time`;
    expect(page).toContain(
      `laplace-kfac (2 members, 32 draws): MI is largest at step ${formatStep(1000)} (1.26 nats) and collapses to half of that at step ${formatStep(Math.round(end))}, ${Math.abs(octaves).toFixed(2)} octaves ${octaves < 0 ? "before" : "after"} the grok step; ${sharpness}; 0.126 nats at the end.`,
    );
    expect(page).toContain("laplace-last-layer (2 members, 32 draws): MI is largest");
    expect(page).toMatch(
      /The ensemble of separate trainings: MI is largest at step [^<]* and collapses to half/,
    );
    expect(page).toContain("ivon: not fitted, since it would take more than its share");
    const level = { ...methodsOfRun[0], fall: null };
    expect(methodInWords(level, { events: run.summary })).toContain("does not fall to half of that");
  });

  it("says what the numbers do not show", () => {
    expect(page).toMatch(/No peak by the detector.*for laplace-last-layer, dropout:/);
    expect(page).toContain("MI never exceeds 0.01 nats for laplace-last-layer");
    expect(page).toContain("trained without dropout; dropout at rate 0.100");
    expect(page).toContain("methods of different S do not compare in size");
    // -(-0.5) / 10, and the GGN has none.
    expect(page).toContain("<td>0.0500</td>");
  });
});

describe("reading", () => {
  it("leaves out a line that is still being written, and names a damaged one", async () => {
    const directory = await write("partial");
    await appendFile(join(directory, "posteriors.jsonl"), '{"method":"sw');
    const { posteriors: read, spectra: curvature } = await readRun(directory);
    expect(read).toEqual(posteriors);
    expect(curvature).toEqual(spectra);
    await writeFile(join(directory, "spectrum.jsonl"), '{"step":1}\n');
    await expect(readRun(directory)).rejects.toThrow(ForeignRunError);
    await expect(readRun(directory)).rejects.toThrow(/spectrum\.jsonl:1: not a spectrum record/);
    await writeFile(join(directory, "spectrum.jsonl"), "");
    await writeFile(join(directory, "posteriors.jsonl"), '{"step":1}\n');
    await expect(readRun(directory)).rejects.toThrow(/posteriors\.jsonl:1: not a posterior record/);
  });

  it("shows nothing of either without results", async () => {
    const directory = await writeSyntheticRun(join(root, "without"), run);
    const page = await readFile(await writeReport([directory]), "utf8");
    expect(page).not.toContain("Approximate posteriors");
    expect(page).not.toContain("methods-mi");
    expect(page).not.toContain("Curvature");
  });
});
