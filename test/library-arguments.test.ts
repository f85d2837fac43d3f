/** What the functions of the package say of arguments that are missing, or of another kind. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as epigrok from "../src/index.ts";
import { estimateLearningCoefficient, matrixOperator, stream } from "../src/posterior/index.ts";
import { fakeConfig } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const out = join(root, "run");
// biome-ignore lint/suspicious/noExplicitAny: what is called here, the types refuse.
const lib = epigrok as any;
const config = fakeConfig(2);
const noModel = { dVocab: 5, nCtx: 5, dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 };

const chains = { trainingTerms: 10, localisation: 1, stepSize: 0.01, burnIn: 0, draws: 1, seed: 0 };
const coefficient = (options: typeof chains & { chains?: number }) =>
  estimateLearningCoefficient(
    Float64Array.of(1),
    1,
    () => ({ loss: 1, gradient: Float64Array.of(0) }),
    options,
  );

describe("an argument that is missing, or of another kind, is named", () => {
  it.each<[string, () => unknown, string]>([
    [
      "a mode",
      () => lib.runEnsemble(config, { out, workers: 1, mode: "bogus" }),
      'mode: got "bogus", must be one',
    ],
    [
      "a config",
      () => lib.runEnsemble({}, { out, workers: 1 }),
      "must be a configuration that createConfig made",
    ],
    [
      "no config",
      () => lib.runEnsemble(undefined, { out, workers: 1 }),
      "must be a configuration that createConfig",
    ],
    ["no options of a run", () => lib.runEnsemble(config), "options: got undefined, must be an object"],
    ["no place", () => lib.runEnsemble(config, { workers: 1 }), "out: got undefined, must be a path"],
    ["no run", () => lib.runPosteriors(), "runDir: got undefined, must be a path"],
    ["no options", () => lib.runPosteriors(root), "options: got undefined, must be an object"],
    ["no spectra", () => lib.runSpectra(root), "options: got undefined, must be an object"],
    ["no format", () => lib.exportData(root), "options: got undefined, must be an object"],
    ["no source", () => lib.exportData(undefined, {}), "directory: got undefined, must be a path"],
    ["no directory", () => lib.readRun(), "the run directory: got undefined, must be a path"],
    ["no checkpoint", () => lib.readCheckpoint(), "the run directory: got undefined, must be a path"],
    ["null for a member", () => lib.loadCheckpoint(root, null), "which: got null, must be an object"],
    [
      "a theme",
      () => lib.writeFigures(root, out, { theme: "bogus" }),
      "theme: got bogus, must be one of light",
    ],
    ["no folder", () => lib.writeFigures(root), "outDir: got undefined, must be a path"],
    ["nothing to diagnose", () => lib.diagnose(), "options: got undefined, must be an object"],
    [
      "a setting",
      () => new lib.Diagnosis({ chanse: 0.1 }),
      "key of settings: got chanse, must be one of logits",
    ],
    ["no bytes", () => lib.decodeSafetensors(), "bytes: got Undefined, must be of type Uint8Array"],
    ["no caveat", () => lib.inWords({}), "code of a caveat: got undefined"],
    [
      "a list",
      () => lib.decompose([0.5, 0.5], { members: 1, prompts: 1, classes: 2 }),
      "probabilities: got Array",
    ],
    ["no shape", () => lib.decompose(Float64Array.of(1)), "shape: got undefined, must be an object"],
    [
      "an option",
      () => lib.detectGrokking([], { patience: -1 }),
      "key of options: got patience, must be one of",
    ],
    [
      "an optimizer",
      () => lib.createTransformer(noModel, { optimizer: "sgd" }),
      "optimizer: got sgd, must be one of",
    ],
    [
      "no matrix",
      () => matrixOperator({} as Float64Array, 2),
      "matrix: got Object, must be of type Float64Array",
    ],
    [
      "more draws than memory",
      () => coefficient({ ...chains, draws: 2 ** 40 }),
      "draws: got 1099511627776, must be an integer from 1 to 16777216",
    ],
    [
      "more chains than memory",
      () => coefficient({ ...chains, chains: 2 ** 40 }),
      "chains: got 1099511627776, must be an integer from 1 to 16777216",
    ],
    [
      "more inputs than memory",
      () => lib.theory.sampleSpectra({ d: 1e6, N: 1e6, draws: 1 }),
      "N: got 1000000, must be at most 134 with d = 1000000",
    ],
    ["no size", () => matrixOperator(Float64Array.of(1), undefined!), "n: got undefined, must be an integer"],
    ["a purpose", () => stream(0, 0, "bogus" as "theoryTeacher"), "purpose: got bogus, must be one of"],
  ])("%s", async (_, call, message) => {
    await expect((async () => call())()).rejects.toThrow(message);
  });
});
