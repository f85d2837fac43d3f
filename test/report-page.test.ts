import { createHash } from "node:crypto";
import { lstat, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../src/errors.ts";
import { PLAYER_SCRIPT } from "../src/report/answers/section.ts";
import { configDifferences, nameRuns } from "../src/report/comparison-page.ts";
import { formatStep } from "../src/report/format.ts";
import { escapeHtml } from "../src/report/html.ts";
import { htmlPage, htmlTable } from "../src/report/page.ts";
import type { RunData } from "../src/report/read-run.ts";
import { writeFigures, writeReport } from "../src/report/report.ts";
import { MissingRunError } from "../src/run/errors.ts";
import { freshConfig } from "./fixtures/config.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "epigrok-report-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** The page has the one script that goes with the answer table, and lets no other run. */
function expectOwnScript(page: string): void {
  expect(page.match(/<script/g)).toHaveLength(1);
  const script = /<script>([^<]*)<\/script>/.exec(page)![1];
  expect(script).toBe(PLAYER_SCRIPT);
  const hash = createHash("sha256").update(script).digest("base64");
  expect(page).toContain(
    `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-${hash}'"`,
  );
}

const hostile = `"><script>alert(1)</script>'&`;

describe("htmlPage", () => {
  it("escapes titles, cells and captions", () => {
    expect(escapeHtml(hostile)).toBe("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;&amp;");
    const table = htmlTable({ caption: hostile, head: [hostile], rows: [[hostile, hostile]] });
    const page = htmlPage({ title: hostile, subtitle: hostile, body: table, footer: hostile });
    expect(page).not.toContain("<script");
    expect(page.match(/alert\(1\)/g)).toHaveLength(9);
  });
});

describe("writeReport", () => {
  const run = syntheticRun();

  it("writes one self-contained page into the run directory", async () => {
    const directory = await writeSyntheticRun(join(scratch, "one"), run);
    const path = await writeReport([directory]);
    expect(path).toBe(join(directory, "report.html"));
    const page = await readFile(path, "utf8");
    expect(page.length).toBeLessThan(1_000_000);
    expect(page).not.toMatch(/<link(?! rel="icon" href="data:,")|@import|url\((?!#e)/);
    expectOwnScript(page);
    expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:/);
    expect(page.match(/<figure id/g)).toHaveLength(12);
    expect(page.match(/<svg [^>]*role="img" viewBox/g)).toHaveLength(11 * 2 + 1);
    expect(page).toContain(escapeHtml(run.summary.verdict));
    for (const step of [run.summary.grokStep, run.summary.collapseStep, run.summary.memorisedStep]) {
      expect(page).toMatch(new RegExp(`<li><b>[A-Z][a-z ]+</b> at step ${formatStep(step)}`));
    }
    expect(page).toContain("modulus: 23");
    expect(page).toContain("Synthetic CPU");
    expect(page).toContain("log K = 1.39");
    expect(await readdir(directory)).toHaveLength(6);
  });

  it("writes the same bytes again, over the old report", async () => {
    const directory = await writeSyntheticRun(join(scratch, "again"), run);
    const first = await readFile(await writeReport([directory]), "utf8");
    expect(await readFile(await writeReport([directory]), "utf8")).toBe(first);
  });

  it("escapes hostile text from the run's files", async () => {
    const nasty = syntheticRun({ evaluations: 8, verdict: hostile });
    const directory = await writeSyntheticRun(join(scratch, "&'run"), nasty);
    const page = await readFile(await writeReport([directory]), "utf8");
    expectOwnScript(page);
    expect(page).toContain("<h1>epigrok: &amp;&#39;run</h1>");
    expect(page).toContain(escapeHtml(hostile));
  });

  it("reports an unfinished run and one without an evaluation", async () => {
    const directory = await writeSyntheticRun(join(scratch, "running"), {
      ...run,
      records: run.records.slice(0, 30),
    });
    await rm(join(directory, "summary.json"));
    const page = await readFile(await writeReport([directory]), "utf8");
    expect(page).toContain(`evaluated up to step ${formatStep(5800)} of ${formatStep(12000)}`);
    expect(page.match(/<figure id/g)).toHaveLength(12);
    expect(page).toContain("so far");
    expect(page).not.toMatch(/NaN|undefined|\[object/);

    await rm(join(directory, "metrics.jsonl"));
    const empty = await readFile(await writeReport([directory]), "utf8");
    expect(empty).toContain("No evaluation has been written yet.");
    expect(empty).not.toMatch(/NaN|undefined|\[object|<figure|<script/);
  });

  it("compares several runs", async () => {
    const a = await writeSyntheticRun(join(scratch, "x", "same"), run);
    const b = await writeSyntheticRun(
      join(scratch, "y", "same"),
      syntheticRun({ config: { seed: 7, training: { steps: 20000 } }, events: { grokStep: null } }),
    );
    const out = join(scratch, "comparison.html");
    expect(await writeReport([a, b], { out })).toBe(out);
    const page = await readFile(out, "utf8");
    expect(page.match(/<figure /g)).toHaveLength(2);
    expect(page).toContain("x/same");
    expect(page).toContain("y/same");
    expect(page).toContain('<th scope="col">training.steps</th>');
    expect(page).toContain('<th scope="col">seed</th>');
    expect(page).toContain(`<td>${formatStep(run.summary.grokStep)}</td>`);
    expect(page).toContain("<td>–</td>");
  });

  it("replaces an earlier report, but no other file of the user's", async () => {
    const directory = await writeSyntheticRun(join(scratch, "kept"), run);
    const out = join(scratch, "kept.html");
    await writeReport([directory], { out });
    await writeReport([directory], { out });
    await writeFile(out, "");
    await writeReport([directory], { out });
    const theirs = {
      [join(directory, "metrics.jsonl")]: await readFile(join(directory, "metrics.jsonl"), "utf8"),
      [join(directory, "config.json")]: await readFile(join(directory, "config.json"), "utf8"),
      [join(scratch, "thesis.tex")]: "precious",
      [join(scratch, "page.html")]: "<!doctype html><title>mine</title>",
    };
    for (const [path, content] of Object.entries(theirs)) {
      await writeFile(path, content);
      const refused = writeReport([directory], { out: path });
      await expect(refused).rejects.toThrow(`${path} is there and is no HTML report of epigrok`);
      await expect(refused).rejects.toBeInstanceOf(UsageError);
      expect(await readFile(path, "utf8")).toBe(content);
    }
  });

  it("follows a link, and refuses one to something else", async () => {
    const directory = await writeSyntheticRun(join(scratch, "linked"), run);
    const [report, data] = [join(scratch, "linked.html"), join(scratch, "data.html")];
    const elsewhere = await writeReport([directory], { out: join(scratch, "elsewhere.html") });
    await symlink(elsewhere, report);
    await writeReport([directory], { out: report });
    expect((await lstat(report)).isSymbolicLink()).toBe(true);
    await symlink(join(directory, "metrics.jsonl"), data);
    await expect(writeReport([directory], { out: data })).rejects.toThrow("is no HTML report");
  });

  it("refuses no run and a missing one", async () => {
    await expect(writeReport([])).rejects.toThrow(RangeError);
    await expect(writeReport([join(scratch, "nowhere")])).rejects.toThrow(MissingRunError);
  });
});

describe("writeFigures", () => {
  it("writes stand-alone SVG files with a drawn title", async () => {
    const directory = await writeSyntheticRun(join(scratch, "figures"), syntheticRun({ evaluations: 20 }));
    const out = join(scratch, "pictures");
    const paths = await writeFigures(directory, out, { theme: "light" });
    expect(paths).toHaveLength(23);
    expect((await readdir(out)).sort()).toEqual(paths.map((path) => path.slice(out.length + 1)).sort());
    const svg = await readFile(join(out, "information-log.svg"), "utf8");
    expect(svg).toMatch(/<text [^>]*>Epistemic uncertainty: mutual information<\/text>/);
    expect(svg).not.toContain("var(");
    await writeFigures(directory, out, { theme: "light" });
    await writeFile(join(out, "loss.svg"), "<svg>mine</svg>");
    await expect(writeFigures(directory, out)).rejects.toThrow(
      "loss.svg is there and is no figure of epigrok",
    );
  });
});

describe("comparison", () => {
  it("names runs by as much of the path as tells them apart", () => {
    const named = (...directories: string[]) =>
      nameRuns(directories.map((directory) => ({ directory }) as RunData)).map(({ label }) => label);
    expect(named("/r/a", "/r/b")).toEqual(["a", "b"]);
    expect(named("/r/1/a", "/r/2/a")).toEqual(["1/a", "2/a"]);
    expect(named("/r/a", "/r/a")).toEqual(["/r/a", "/r/a"]);
  });

  it("finds the keys that differ", () => {
    const config = freshConfig;
    expect(configDifferences([config({}), config({})])).toEqual([]);
    expect(configDifferences([config({ seed: 1 }), config({ seed: 2, model: { actFn: "gelu" } })])).toEqual([
      { key: "seed", values: ["1", "2"] },
      { key: "model.actFn", values: ["relu", "gelu"] },
    ]);
  });
});
