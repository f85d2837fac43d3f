import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  differingKeys,
  environmentLayers,
  fileLayer,
  flagLayer,
  nearestName,
  overrideLayer,
  resolveConfig,
} from "../src/config/load.ts";
import { listPresets, presetLayer, presetNames } from "../src/config/presets.ts";
import { configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
function yaml(text: string): string {
  const path = join(root, `c${count++}.yaml`);
  writeFileSync(path, text);
  return path;
}
const set = (...assignments: string[]) => resolveConfig(assignments.map(overrideLayer));
function messageFrom(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("precedence", () => {
  it("is defaults, file, environment, --set, flags", () => {
    const file = fileLayer(yaml("training: {steps: 1, batchSize: 1, warmupSteps: 1}\nseed: 1"));
    const environment = environmentLayers({
      EPIGROK_TRAINING__STEPS: "2",
      EPIGROK_TRAINING__BATCH_SIZE: "2",
      EPIGROK_SEED: "2",
      PATH: "/bin",
    });
    const config = resolveConfig([
      file,
      ...environment,
      overrideLayer("training.steps=3"),
      overrideLayer("seed=3"),
      flagLayer("--seed", "seed", 4),
    ]);
    expect(config).toEqual(
      configSchema.parse({ seed: 4, training: { steps: 3, batchSize: 2, warmupSteps: 1 } }),
    );
  });

  it("lets the last --set win", () => {
    expect(set("training.steps=3", "training.steps=5").training.steps).toBe(5);
  });

  it("merges whole sections key by key and replaces lists", () => {
    const config = resolveConfig([
      fileLayer(yaml("training: {weightDecayExclude: [layerNorm, embeddings], steps: 7}")),
      overrideLayer("training={weightDecayExclude: [layerNorm]}"),
    ]);
    expect(config.training).toMatchObject({ weightDecayExclude: ["layerNorm"], steps: 7 });
  });
});

describe("--set", () => {
  it("reads YAML values", () => {
    const config = set("training.learningRate=1e-3", "model.tiedEmbeddings=true", "task.taskSplit=uniform");
    expect(config.training.learningRate).toBe(0.001);
    expect(config.model.tiedEmbeddings).toBe(true);
    expect(set("training.weightDecayExclude=[embeddings]").training.weightDecayExclude).toEqual([
      "embeddings",
    ]);
  });

  it.each([
    ["training.steps", /must have the form key=value/],
    ["=3", /must have the form key=value/],
    ["training.step=3", /unknown key "training\.step"; did you mean "training\.steps"\?/],
    ["steps=3", /unknown key "steps"; did you mean "training\.steps"\?/],
    ["trainig.batchSize=3", /did you mean "training\.batchSize"\?/],
    ["training.learning_rate=3", /did you mean "training\.learningRate"\?/],
    ["sede=3", /did you mean "seed"\?/],
    ["xyzzy=3", /unknown key "xyzzy"$/],
    ["__proto__.polluted=1", /unknown key "__proto__\.polluted"/],
    ["training.steps=[", /--set training\.steps=\[: /],
  ])("refuses %s", (assignment, message) => {
    expect(messageFrom(() => set(assignment))).toMatch(message);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it.each([
    ["training.batchSize=-3", "training.batchSize: got -3, must be > 0"],
    ["task.inputFraction=2", "task.inputFraction: got 2, must be <= 1"],
    ["task.modulus=2", "task.modulus: got 2, must be >= 3"],
    ["training.steps=1.5", "training.steps: got 1.5, must be an integer"],
    ["training.steps=", "training.steps: got null, must be a number"],
    ["seed=abc", 'seed: got "abc", must be a number'],
    ["model.tiedEmbeddings=1", "model.tiedEmbeddings: got 1, must be true or false"],
    ["training.schedule=cosin", 'training.schedule: got "cosin", must be one of constant, cosine, linear'],
    ["training=5", "training: got 5, must be a section with keys"],
    ["training.weightDecayExclude=x", 'training.weightDecayExclude: got "x", must be a list'],
  ])("says what is wrong with %s", (assignment, message) => {
    expect(messageFrom(() => set(assignment))).toBe(message);
  });

  it("reports all problems at once", () => {
    const message = messageFrom(() => set("training.batchSize=0", "seed=-1"));
    expect(message.split("\n")).toEqual([
      "seed: got -1, must be >= 0",
      "training.batchSize: got 0, must be > 0",
    ]);
  });
});

describe("checks across fields", () => {
  it.each([
    ["task.modulus=24", /prime.*24/],
    ["task.trainTasks=23", /trainTasks.*23/],
    ["model.dModel=66", /model\.dModel: got 66 with model\.nHeads 4/],
    ["model.nHeads=64", /model\.dModel: got 64 with model\.nHeads 64/],
  ])("refuses %s", (assignment, message) => {
    expect(messageFrom(() => set(assignment))).toMatch(message);
  });
});

describe("environment variables", () => {
  it("ignore case and single underscores", () => {
    const layers = environmentLayers({
      EPIGROK_model__d_Model: "32",
      EPIGROK_EVALUATION__SAVEPREDICTIONS: "all",
    });
    expect(resolveConfig(layers)).toMatchObject({
      model: { dModel: 32 },
      evaluation: { savePredictions: "all" },
    });
  });

  it("must name a key, and name themselves otherwise", () => {
    const message = messageFrom(() => environmentLayers({ EPIGROK_TRAINING__STEP: "3" }));
    expect(message).toBe(
      'EPIGROK_TRAINING__STEP: unknown key "TRAINING.STEP"; did you mean "training.steps"?',
    );
  });
});

describe("configuration files", () => {
  it("may have a name and a description, empty sections, or nothing at all", () => {
    expect(resolveConfig([fileLayer(yaml("name: a\ndescription: b\ntraining:\n"))])).toEqual(
      configSchema.parse({}),
    );
    expect(resolveConfig([fileLayer(yaml(""))])).toEqual(configSchema.parse({}));
  });

  it.each([
    ["a: [", /c\d+\.yaml: .*line 1/s],
    ["seed: 1\nseed: 2", /c\d+\.yaml: .*unique/s],
    ["- 1", /c\d+\.yaml: expected keys and values, got \[1\]/],
    ["training: {step: 3}", /c\d+\.yaml: unknown key "training\.step"; did you mean "training\.steps"\?/],
    ["name: [1]", /c\d+\.yaml: name: got \[1\], must be a text/],
  ])("are refused with their name when they contain %j", (text, message) => {
    expect(messageFrom(() => resolveConfig([fileLayer(yaml(text))]))).toMatch(message);
  });

  it("are refused when absent", () => {
    expect(messageFrom(() => fileLayer(join(root, "absent.yaml")))).toMatch(/absent\.yaml: ENOENT/);
  });
});

describe("presets", () => {
  it("are all valid and described", () => {
    const presets = listPresets();
    expect(presets.map((p) => p.name)).toContain("quick");
    expect(presets.map((p) => p.name)).toEqual(presetNames());
    for (const { description } of presets) expect(description).toMatch(/\w/);
  });

  it("are suggested when mistyped, listed when not recognisable", () => {
    expect(messageFrom(() => presetLayer("quik"))).toContain('did you mean "quick"?');
    expect(messageFrom(() => presetLayer("../../secret"))).toContain("there are: ");
  });
});

describe("helpers", () => {
  it("names the keys that differ", () => {
    expect(differingKeys({ a: { b: 1, c: [1] }, d: 2 }, { a: { b: 1, c: [2] }, e: 2 })).toEqual([
      "a.c",
      "d",
      "e",
    ]);
  });

  it("suggests nothing that is far off", () => {
    expect(nearestName("zzzzzz", ["alpha", "beta"])).toBeUndefined();
    expect(nearestName("alpah", ["alpha", "beta"])).toBe("alpha");
  });
});
