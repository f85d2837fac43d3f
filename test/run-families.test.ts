/** Runs of every task family from the command line, and runs that were begun before there were families. */

import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { configSchema } from "../src/config/schema.ts";
import { configHash } from "../src/run/manifest.ts";
import { readManifest } from "../src/run/read.ts";
import type { RunSummary } from "../src/run/records.ts";
import { runEnsemble } from "../src/run/run.ts";
import { FAMILY_NAMES } from "../src/tasks/families/index.ts";
import { TaskFamily } from "../src/tasks/family.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const TINY = [
  ...FRESH_ASSIGNMENTS,
  "task.modulus=5",
  "task.variables=2",
  "task.trainTasks=20",
  "task.examples=4",
  "model.dModel=8",
  "model.nHeads=2",
  "model.nLayers=1",
  "model.dMlp=8",
  "training.steps=6",
  "training.batchSize=8",
  "training.warmupSteps=2",
  "evaluation.every=3",
  "evaluation.prompts=8",
  "ensemble.members=2",
].flatMap((assignment) => ["--set", assignment]);

describe.each(FAMILY_NAMES)("a run with task.family %s", (family) => {
  it("trains, is measured against the family's exact references, and is reported", async () => {
    const out = join(root, family);
    const given = ["--preset", "quick", ...TINY, "--set", `task.family=${family}`];
    const { code, stdout, stderr } = await epigrok(["run", ...given, "--out", out, "--json", "--quiet"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const config = configSchema.parse((await readManifest(out))!.config);
    expect(config.task.family ?? "linear").toBe(family);
    const references = Object.fromEntries(createProbeSets(config).map((set) => [set.name, set.reference]));
    expect((JSON.parse(stdout) as RunSummary).references).toEqual(references);
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain(new TaskFamily(config.task).formula);
  });
});

describe("a run begun before there were families", () => {
  const earlier = fileURLToPath(new URL("fixtures/earlier-config.json", import.meta.url));
  const manifest = JSON.parse(readFileSync(earlier, "utf8"));

  it("has the same configuration and hash", () => {
    const config = configSchema.parse({
      ...manifest.config,
      task: { ...manifest.config.task, promptPool: 0 },
    });
    expect({ ...config, task: { ...config.task, promptPool: undefined } }).toEqual(manifest.config);
    expect(configHash(config)).toBe(manifest.hash);
  });

  it("opens, is resumed to the bytes of an uninterrupted run, and is reported", async () => {
    const config = configSchema.parse({
      ...manifest.config,
      task: { ...manifest.config.task, promptPool: 0 },
    });
    const whole = await runEnsemble(config, { out: join(root, "whole"), workers: 1 });
    const out = join(root, "earlier");
    mkdirSync(out);
    copyFileSync(earlier, join(out, "config.json"));
    const stop = new AbortController();
    const observer = { evaluated: () => stop.abort() };
    const begun = await runEnsemble(config, {
      out,
      mode: "resume",
      workers: 1,
      signal: stop.signal,
      observer,
    });
    expect(begun.status).toBe("stopped");
    const resumed = await epigrok(["run", "--resume", out, "--quiet", "--no-posterior"]);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resultHashes(out)).toEqual(resultHashes(whole.runDir));
    expect(readFileSync(join(out, "config.json"))).toEqual(readFileSync(earlier));
    expect((await epigrok(["report", out])).code).toBe(0);
    expect(existsSync(join(out, "report.html"))).toBe(true);
  });
});
