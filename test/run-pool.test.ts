/** Runs with a prompt pool: interrupted in the middle of an epoch, on any number of workers, and from the command line. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ConfigInput } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import type { MetricsRecord, RunSummary } from "../src/run/records.ts";
import { runEnsemble } from "../src/run/run.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import type { MemberState } from "../src/training/messages.ts";
import { trainSegment } from "../src/training/segment.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS, freshConfig } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const SETTINGS = {
  math: "strict",
  seed: 5,
  // Every other epoch ends in the middle of a batch.
  task: { modulus: 7, trainTasks: 4, examples: 3, promptPool: 60 },
  model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
  training: { steps: 240, batchSize: 8, warmupSteps: 2, schedule: "warmup-stable-decay" },
  evaluation: { every: 60, prompts: 16 },
  ensemble: { members: 2 },
} as const satisfies ConfigInput;

describe("a run with a prompt pool", () => {
  const config = freshConfig(SETTINGS);

  it("gives the same states however its steps are cut, and whichever member came between", async () => {
    const core = await loadCoreModule("strict");
    const advance = (member: number, state: MemberState | null, toStep: number) =>
      trainSegment({ config, member, state, toStep }, { core, stop: () => false }).state;
    const whole = advance(1, null, 20);
    for (let cut = 1; cut < 20; cut++) {
      const begun = advance(1, null, cut);
      advance(0, null, 3);
      expect(advance(1, begun, 20)).toEqual(whole);
    }
  });

  it("is resumed to the bytes of an uninterrupted run", async () => {
    const whole = await runEnsemble(config, { out: join(root, "whole"), workers: 1 });
    const out = join(root, "parts");
    const stop = new AbortController();
    const observer = { evaluated: () => stop.abort() };
    const begun = await runEnsemble(config, { out, workers: 2, signal: stop.signal, observer });
    expect(begun.status).toBe("stopped");
    await runEnsemble(config, { out, mode: "resume", workers: 2 });
    expect(resultHashes(out)).toEqual(resultHashes(whole.runDir));
  });

  it("measures the pool, with exact references, and reports it", async () => {
    const out = join(root, "command");
    const own = Object.entries(flat(SETTINGS)).map(([key, value]) => `${key}=${value}`);
    const given = [...FRESH_ASSIGNMENTS, ...own].flatMap((assignment) => ["--set", assignment]);
    const { code, stdout, stderr } = await epigrok(["run", ...given, "--out", out, "--json", "--quiet"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const references = Object.fromEntries(createProbeSets(config).map((set) => [set.name, set.reference]));
    expect(Object.keys(references)).toEqual(["seenTasks", "unseenTasks", "trainPrompts"]);
    const summary = JSON.parse(stdout) as RunSummary;
    expect(summary.references).toEqual(references);
    expect(Object.keys(summary).slice(5, 11)).toEqual([
      ...[
        "memorisedStep",
        "generalisedStep",
        "grokStep",
        "uncertaintyPeakStep",
        "collapseStep",
        "meanPrediction",
      ],
    ]);
    for (const of of [...summary.perMember, summary.meanPrediction])
      expect(of).toHaveProperty("generalisedStep");
    for (const { accuracy } of [...summary.perMember, summary]) expect(accuracy.trainPrompts).toBeLessThan(1);
    expect(summary.verdict).toMatch(
      /^The pool not memorised \(\d+ % .*; fresh prompts of seen tasks not solved/,
    );
    const records = readFileSync(join(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    for (const record of records.map((line) => JSON.parse(line) as MetricsRecord)) {
      expect(Object.keys(record.ensemble)).toEqual(Object.keys(references));
      for (const { sets } of record.members) expect(Object.keys(sets)).toEqual(Object.keys(references));
    }
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("prompts of the pool");
  });
});

function flat(settings: object, prefix = ""): Record<string, unknown> {
  return Object.assign(
    {},
    ...Object.entries(settings).map(([key, value]) =>
      typeof value === "object" ? flat(value, `${prefix}${key}.`) : { [prefix + key]: value },
    ),
  );
}
