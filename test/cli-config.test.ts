import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { environmentLayers, fileLayer, overrideLayer } from "../src/config/load.ts";
import { nearestName } from "../src/config/nearest-name.ts";
import { createConfig, listPresets, presetLayer, presetNames } from "../src/config/presets.ts";
import { differingKeys, flagLayer, resolveConfig } from "../src/config/resolve.ts";
import { type Config, configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { stream } from "../src/random.ts";
import { runHash } from "../src/run/identity.ts";
import { configHash } from "../src/run/manifest.ts";
import { runEnsemble } from "../src/run/run.ts";
import { FAMILIES, FAMILY_NAMES } from "../src/tasks/families/index.ts";
import { taskSchema } from "../src/tasks/settings.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
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

const BEYOND_FLOAT32 = "must be in the range of float32, 1.4e-45 to 3.4e38";

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
    ["training.batchSize=-3", "-3", "must be > 0"],
    ["task.inputFraction=2", "2", "must be <= 1"],
    ["task.modulus=2", "2", "must be >= 3"],
    ["training.steps=1.5", "1.5", "must be an integer"],
    ["seed=abc", '"abc"', "must be a number"],
    ["model.tiedEmbeddings=1", "1", "must be true or false"],
    ["training.schedule=cosin", '"cosin"', "must be one of constant, cosine, linear, warmup-stable-decay"],
    ["task.family=cubic", '"cubic"', "must be one of linear, bilinear"],
    ["training=5", "5", "must be a section with keys"],
    ["training.weightDecayExclude=x", '"x"', "must be a list"],
    ["training.learningRate=1e39", "1e+39", BEYOND_FLOAT32],
    ["training.weightDecay=1e300", "1e+300", BEYOND_FLOAT32],
    ["training.gradientClip=1e-46", "1e-46", BEYOND_FLOAT32],
    ["training.epsilon=1e-320", "1e-320", BEYOND_FLOAT32],
    ["model.initStd=1e300", "1e+300", BEYOND_FLOAT32],
    ["training.beta1=0.99999999", "0.99999999", "must be below 1 in float32, at most 0.99999997"],
    ["model.dropout=0.99999999", "0.99999999", "must be below 1 in float32, at most 0.99999997"],
  ])("says what is wrong with %s", (assignment, value, allowed) => {
    const key = assignment.slice(0, assignment.indexOf("="));
    expect(messageFrom(() => set(assignment))).toBe(
      `${key}: got ${value} from --set ${assignment}, ${allowed}`,
    );
  });

  it("takes what float32 holds", () => {
    const edges = ["training.learningRate=0", "training.epsilon=1e-44", "training.beta2=0.99999997"];
    expect(set(...edges, "model.initStd=3.4e38").training.beta2).toBe(0.99999997);
  });

  it("reports all problems at once", () => {
    const message = messageFrom(() => set("training.batchSize=0", "seed=-1"));
    expect(message.split("\n")).toEqual([
      "seed: got -1 from --set seed=-1, must be >= 0",
      "training.batchSize: got 0 from --set training.batchSize=0, must be > 0",
    ]);
  });
});

describe("-0 is 0", () => {
  const sources: Record<string, (key: string, value: string) => Config> = {
    "--set": (key, value) => set(`${key}=${value}`),
    "the environment": (key, value) =>
      resolveConfig(environmentLayers({ [`EPIGROK_${key.replace(".", "__")}`]: value })),
    "a file": (key, value) =>
      resolveConfig([fileLayer(yaml(`${key.replace(".", ": {")}: ${value}${key.includes(".") ? "}" : ""}`))]),
    "a flag": (key, value) => resolveConfig([flagLayer("a flag", key, Number(value))]),
    "the library": (key, value) => {
      const [section, leaf] = key.split(".");
      return createConfig(leaf ? { [section]: { [leaf]: Number(value) } } : { [section]: Number(value) });
    },
  };
  it.each(Object.entries(sources))("from %s", (_, read) => {
    for (const [key, zero, minus] of [
      ["seed", "0", "-0"],
      ["training.weightDecay", "0", "-0.0"],
      ["model.dropout", "0", "-0e3"],
    ]) {
      const config = read(key, minus);
      // Tells the two apart.
      expect(config).toStrictEqual(read(key, zero));
      expect([configHash(config), runHash(config)]).toEqual([
        configHash(read(key, zero)),
        runHash(read(key, zero)),
      ]);
    }
  });

  it("of a configuration that was changed by hand: the same files, and the same random numbers", async () => {
    const config = fakeConfig(2);
    const files = async (seed: number) => {
      const out = join(root, `zero${count++}`);
      const overrides = [{ source: "here", values: { seed } }];
      await runEnsemble({ ...config, seed }, { out, overrides, workers: 1, createPool: () => fakePool() });
      return ["config.json", "metrics.jsonl"].map((name) => readFileSync(join(out, name), "utf8"));
    };
    expect(await files(-0)).toEqual(await files(0));
    expect(stream(-0, 0, "init").next()).toBe(stream(0, 0, "init").next());
  });
});

describe("checks across fields", () => {
  it.each([
    ["task.modulus=24", "task.modulus: got 24 from --set task.modulus=24, must be a prime number"],
    [
      "task.trainTasks=28",
      "task.trainTasks: got 28 from --set task.trainTasks=28, must be below the 28 tasks of the family, so that unseen " +
        "tasks remain (task.modulus 29 by default, task.variables 1 by default, task.constantTerm false by default, " +
        "task.zeroTask false by default)",
    ],
    [
      "model.dModel=66",
      "model.dModel: got 66 from --set model.dModel=66, must be an even multiple of model.nHeads (model.nHeads 4 by default)",
    ],
    [
      "model.nHeads=64",
      "model.dModel: got 64 by default, must be an even multiple of model.nHeads (model.nHeads 64 from --set model.nHeads=64)",
    ],
    [
      "task.family=bilinear",
      "task.variables: got 1 by default, must be at least 2 with task.family bilinear, which multiplies two of them " +
        '(task.family "bilinear" from --set task.family=bilinear)',
    ],
  ])("refuses %s", (assignment, message) => {
    expect(messageFrom(() => set(assignment))).toBe(message);
  });

  it("reports all contradictions at once", () => {
    const message = messageFrom(() => set("task.examples=30", "model.dModel=66", "training.ivon.samples=2"));
    expect(message.split("\n").map((line) => line.slice(0, line.indexOf(":")))).toEqual([
      "task.examples",
      "model.dModel",
      "training.ivon",
    ]);
  });

  it("name the layer that each of the settings comes from", () => {
    const file = fileLayer(yaml("task: {modulus: 5, trainTasks: 3, examples: 2}"));
    const layers = (environment: NodeJS.ProcessEnv) => [
      file,
      ...environmentLayers(environment),
      overrideLayer("task.zeroTask=false"),
      flagLayer("--seed", "seed", 3),
    ];
    expect(messageFrom(() => resolveConfig(layers({ EPIGROK_TASK__TRAIN_TASKS: "4" })))).toBe(
      "task.trainTasks: got 4 from EPIGROK_TASK__TRAIN_TASKS, must be below the 4 tasks of the family, so that unseen " +
        `tasks remain (task.modulus 5 from ${file.source}, task.variables 1 by default, task.constantTerm false by default, ` +
        "task.zeroTask false from --set task.zeroTask=false)",
    );
    expect(messageFrom(() => resolveConfig(layers({ EPIGROK_TASK__EXAMPLES: "0" })))).toBe(
      "task.examples: got 0 from EPIGROK_TASK__EXAMPLES, must be > 0",
    );
    expect(
      messageFrom(() => resolveConfig([...layers({}), flagLayer("--members", "ensemble.members", 0)])),
    ).toBe("ensemble.members: got 0 from --members, must be > 0");
    expect(messageFrom(() => resolveConfig([presetLayer("ivon"), overrideLayer("training.epsilon=1")]))).toBe(
      "training.epsilon: got 1 from --set training.epsilon=1, must be left at 1e-8 with optimizer ivon, which needs none " +
        '(training.optimizer "ivon" from preset ivon)',
    );
  });

  it("refuse a split that the seed finds no room for, before anything runs", () => {
    const task = {
      modulus: 3,
      variables: 2,
      trainTasks: 8,
      taskSplit: "rectangular",
      examples: 4,
      zeroTask: true,
      promptPool: 0,
    };
    expect(messageFrom(() => resolveConfig([{ source: "a.yaml", values: { task } }]))).toBe(
      "task.trainTasks: got 8 from a.yaml, must be lower, or task.taskSplit uniform: 9 tasks leave no room for 2 disjoint " +
        'rectangles (task.taskSplit "rectangular" from a.yaml, task.modulus 3 from a.yaml, seed 0 by default)',
    );
  });
});

describe("probe sets", () => {
  it("that leave too little to train on are refused before anything runs", () => {
    const message = messageFrom(() =>
      resolveConfig([presetLayer("fresh"), overrideLayer("evaluation.prompts=1500")]),
    );
    expect(message).toMatch(
      /^evaluation\.prompts: got 1500 from --set evaluation\.prompts=1500, must be lower, about \d+, or task\.examples or /,
    );
    expect(message).toMatch(
      / \(task\.examples 2 from preset fresh, task\.trainTasks 17 from preset fresh\)$/,
    );
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

describe("task.family", () => {
  it("is absent where it is the default, so that it leaves other configurations' hashes alone", () => {
    expect(set("task.family=linear")).toEqual(set());
    expect(set().task).not.toHaveProperty("family");
    const bilinear = set("task.family=bilinear", "task.variables=2");
    expect(bilinear.task.family).toBe("bilinear");
    expect(JSON.stringify(configSchema.parse(bilinear))).toBe(JSON.stringify(bilinear));
  });

  it("is described for every family", () => {
    const { description } = taskSchema.shape.family;
    for (const name of FAMILY_NAMES) expect(description).toContain(`${name}: ${FAMILIES[name].description}`);
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
