/**
 * The bytes of miniature strict runs: everything that a change of structure must leave as it is. A change that is meant
 * to alter numbers replaces the hashes (`vitest run -u test/golden.test.ts`) and says so.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DEFAULT_SETTINGS } from "../src/analysis/posteriors.ts";
import { type ConfigInput, runEnsemble, runPosteriors, runSpectra } from "../src/index.ts";
import { POSTERIOR_METHODS } from "../src/posterior/methods/index.ts";
import type { RunSummary } from "../src/run/records.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { STATISTIC_NAMES, STATISTICS } from "../src/uncertainty/statistics.ts";
import { freshConfig } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Of JSON without places, measured times and the width of the arithmetic, which differ between equal runs, and without hashes of all settings, inputs and bytes. */
function withoutTimes(json: string): string {
  const differs =
    /^(runDir|tokensPerSecond|simd|fitSeconds|predictSeconds|seconds|settings|inputs|run|sha256)$/;
  return JSON.stringify(JSON.parse(json), (key, value) => (differs.test(key) ? undefined : value));
}

/** What records have gained since version 0: their version, run and checksum, and statistics. */
const ADDED = ["version", "run", "sha256", ...STATISTIC_NAMES.filter((name) => STATISTICS[name].since > 0)];

/** A line as it would be without that: the rest of it is not to change. */
const asVersion0 = (json: string) =>
  JSON.stringify(JSON.parse(json), (key, value) => (ADDED.includes(key) ? undefined : value));

/** Without what the first form of summaries did not have: what it had is as it was. */
function asFirstSummary(json: string): string {
  const { meanPrediction, run, sha256, ...summary } = JSON.parse(json) as RunSummary & {
    run: string;
    sha256: string;
  };
  expect(meanPrediction).toBeDefined();
  expect(summary.schema).toBe("epigrok-run/2");
  return JSON.stringify({ ...summary, schema: "epigrok-run/1" });
}

const readLines = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n");

/** Names, shapes and values of all tensors, without what their files say besides. */
function tensorsHash(out: string, paths: string[]): string {
  const hash = createHash("sha256");
  for (const path of paths.filter((each) => each.endsWith(".safetensors")))
    for (const [name, { shape, data }] of decodeSafetensors(readFileSync(join(out, path))).tensors)
      hash.update(JSON.stringify([path, name, shape])).update(data);
  return hash.digest("hex").slice(0, 16);
}

async function goldenRun(name: string, input: ConfigInput) {
  const out = join(root, name);
  await runEnsemble(freshConfig(input), { out, workers: 2 });
  const hashes = Object.entries(resultHashes(out));
  const of = (pattern: RegExp) => sha256(JSON.stringify(hashes.filter(([path]) => pattern.test(path))));
  const metrics = readLines(join(out, "metrics.jsonl")).map((line) => `${asVersion0(line)}\n`);
  const metricsHash = createHash("sha256").update(metrics.join("")).digest("hex");
  return {
    out,
    hashes: {
      metrics: of(/^metrics/),
      answers: of(/^answers/),
      metricsAsVersion0: sha256(JSON.stringify([["metrics.jsonl", metricsHash]])),
      checkpoints: of(/^checkpoints/),
      predictions: of(/^predictions/),
      tensors: tensorsHash(
        out,
        hashes.map(([path]) => path),
      ),
      summary: sha256(withoutTimes(asFirstSummary(readFileSync(join(out, "summary.json"), "utf8")))),
    },
  };
}

const tiny = {
  math: "strict",
  ensemble: { members: 3 },
  evaluation: { every: 10, prompts: 16, savePredictions: "all" },
} as const;

describe("golden bytes", () => {
  it("AdamW on two variables with all probe sets, its posteriors and its curvature", async () => {
    const { out, hashes } = await goldenRun("adamw", {
      ...tiny,
      seed: 3,
      task: { modulus: 5, variables: 2, trainTasks: 12, examples: 4, inputFraction: 0.8, trainNoise: 0.1 },
      model: { dModel: 16, nHeads: 2, nLayers: 2, dMlp: 24, roleEmbedding: true, tiedEmbeddings: true },
      training: {
        steps: 30,
        batchSize: 16,
        warmupSteps: 5,
        gradientClip: 1,
        weightDecayExclude: ["layerNorm"],
      },
    });
    expect(hashes).toMatchInlineSnapshot(`
      {
        "answers": "42b7dc9900f29c55",
        "checkpoints": "8456e617134fd905",
        "metrics": "cde1c38f197b73ab",
        "metricsAsVersion0": "08833370c62b6596",
        "predictions": "7392f9d4819d6d4e",
        "summary": "ff4a09bf6e4c69cb",
        "tensors": "0f74cf72736fde72",
      }
    `);
    const posteriors = await runPosteriors(out, {
      methods: POSTERIOR_METHODS,
      steps: [30],
      checkpoints: 0,
      members: 1,
      settings: { ...DEFAULT_SETTINGS, samples: 6, data: 64, fitSteps: 20 },
      workers: 2,
    });
    expect(posteriors.failures).toEqual([]);
    const records = readLines(join(out, "posteriors.jsonl")).map(withoutTimes).sort();
    const byMethod = (lines: string[]) =>
      Object.fromEntries(lines.map((line) => [JSON.parse(line).method, sha256(line)]));
    expect(byMethod(records)).toMatchInlineSnapshot(`
      {
        "dropout": "af766d765447ae17",
        "ensemble": "da2622f39f1d38ed",
        "ivon": "23a3a1ed49557b65",
        "laplace-diagonal": "f3ad39831e606eb8",
        "laplace-kfac": "849cdaabedca1bde",
        "laplace-last-layer": "afefbca3fed0a5e0",
        "laplace-low-rank": "a6155e8d2c552a66",
        "sgld": "57388d994f3a078d",
        "snapshot-ensemble": "3206ddfcd356553d",
        "swag": "f79c6b942908031d",
      }
    `);
    expect(byMethod(records.map(asVersion0))).toMatchInlineSnapshot(`
      {
        "dropout": "e3b8ac569fd4f192",
        "ensemble": "0f30f80bdbb295e7",
        "ivon": "656c688a59e74ba1",
        "laplace-diagonal": "bd7c9e06e426fc5d",
        "laplace-kfac": "dd5596e7140ddf8f",
        "laplace-last-layer": "c893e008c7e3aa0c",
        "laplace-low-rank": "b45a3d5af4dabc12",
        "sgld": "f2829680b67defd7",
        "snapshot-ensemble": "88ee54d5164f28fe",
        "swag": "f1462b72173879a9",
      }
    `);
    const spectra = await runSpectra(out, {
      ...{
        operators: ["ggn", "hessian"],
        steps: [30],
        checkpoints: 0,
        members: 1,
        data: 64,
        k: 3,
        llc: true,
      },
      workers: 2,
    });
    expect(spectra.failures).toEqual([]);
    expect(
      readLines(join(out, "spectrum.jsonl")).map(withoutTimes).map(asVersion0).sort().map(sha256),
    ).toMatchInlineSnapshot(`
      [
        "bb7ccf6289e21dc7",
        "1b9fc0a5b8545348",
      ]
    `);
  });

  it("IVON with dropout, GELU and one variable", async () => {
    const { hashes } = await goldenRun("ivon", {
      ...tiny,
      seed: 4,
      task: { modulus: 7, variables: 1, constantTerm: true, trainTasks: 30, examples: 3, probeNoise: 0.1 },
      model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 24, actFn: "gelu", dropout: 0.1 },
      training: {
        steps: 30,
        batchSize: 16,
        optimizer: "ivon",
        learningRate: 0.1,
        weightDecay: 1e-4,
        lossPositions: "last",
      },
    });
    expect(hashes).toMatchInlineSnapshot(`
      {
        "answers": "41fd4eaa9637ca9d",
        "checkpoints": "ee7caf74c3430ce2",
        "metrics": "209786c5a58daf86",
        "metricsAsVersion0": "4c26a5bf89b32365",
        "predictions": "0cac06a928e79d74",
        "summary": "42b2197b3d69f792",
        "tensors": "c0d038fdcf1cd597",
      }
    `);
  });
});
