/** A run written before records had a version: it opens, is reported, and goes on. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { statisticFigures } from "../src/report/figures/statistics.ts";
import { readRun } from "../src/report/read-run.ts";
import { writeReport } from "../src/report/report.ts";
import { runEnsemble } from "../src/run/run.ts";
import { RECORD_VERSION } from "../src/uncertainty/statistics.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const stored = fileURLToPath(new URL("fixtures/run-version-0/", import.meta.url));
const config = fakeConfig(4, { evaluation: { every: 4 }, checkpoints: { keep: 4 } });
const linesOf = (directory: string) =>
  readFileSync(join(directory, "metrics.jsonl"), "utf8").trimEnd().split("\n");
const old = linesOf(stored);

it("opens and is reported, with gaps where it lacks a statistic", async () => {
  const directory = join(root, "finished");
  cpSync(stored, directory, { recursive: true });
  const run = await readRun(directory);
  expect(run.records).toEqual(old.map((line) => JSON.parse(line)));
  expect(run.records.at(-1)!.ensemble.unseenTasks).toMatchObject({ disagreement: expect.any(Number) });
  expect(run.records.at(-1)!.ensemble.unseenTasks).not.toHaveProperty("voteEntropy");
  expect(run.summary?.verdict).toMatch(/^Seen tasks not memorised/);
  const figures = JSON.stringify(statisticFigures(run, "linear"));
  expect(figures).toContain('"key":"disagreement unseenTasks"');
  expect(figures).not.toContain('"key":"voteEntropy unseenTasks"');
  expect(readFileSync(await writeReport([directory]), "utf8")).not.toMatch(/NaN|undefined/);
});

it("goes on: its lines stay, and new ones have a version", async () => {
  const whole = join(root, "whole");
  await runEnsemble(config, { out: whole, workers: 2, createPool: () => fakePool() });

  const out = join(root, "resumed");
  const abort = new AbortController();
  let steps = 0;
  const stop = () => {
    if (++steps === 50) abort.abort();
    return false;
  };
  const pool = () => fakePool(undefined, { stop });
  await runEnsemble(config, { out, workers: 1, signal: abort.signal, createPool: pool });
  const done = linesOf(out).length;
  expect(done).toBeGreaterThan(1);
  cpSync(join(stored, "config.json"), join(out, "config.json"));
  writeFileSync(
    join(out, "metrics.jsonl"),
    old
      .slice(0, done)
      .map((line) => `${line}\n`)
      .join(""),
  );

  const resumed = await runEnsemble(config, {
    out,
    mode: "resume",
    workers: 1,
    createPool: () => fakePool(),
  });
  expect(resumed.status).toBe("finished");
  const lines = linesOf(out);
  expect(lines.slice(0, done)).toEqual(old.slice(0, done));
  expect(lines.slice(done)).toEqual(linesOf(whole).slice(done));
  expect(JSON.parse(lines.at(-1)!).version).toBe(RECORD_VERSION);
  rmSync(join(out, "summary.json"));
  const run = await readRun(out);
  expect(run.records.map(({ step }) => step)).toEqual([0, 4, 8, 12, 16, 20]);
  expect(JSON.stringify(statisticFigures(run, "linear"))).toContain(
    '"x":0,"y":null,"key":"voteEntropy unseenTasks"',
  );
  expect(readFileSync(await writeReport([out]), "utf8")).not.toMatch(/NaN|undefined/);
});
