/** What people write by mistake, or as other tools take it: empty values, YAML of all kinds, words of the shell. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { commandWords, refuseMistakenSwitches } from "../src/commands/arguments.ts";
import { proposalsFor } from "../src/commands/completion.ts";
import { distinctPaths } from "../src/commands/flags.ts";
import { linesOfFile } from "../src/commands/follow.ts";
import { configJsonSchema } from "../src/config/json-schema.ts";
import { configKeys } from "../src/config/keys.ts";
import { environmentLayers, fileLayer, overrideLayer } from "../src/config/load.ts";
import { createConfig, presetLayer, presetNames } from "../src/config/presets.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { type Config, configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { ordinal } from "../src/report/format.ts";
import { epigrok } from "./fixtures/cli.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
function yaml(text: string | Uint8Array): string {
  const path = join(root, `c${count++}.yaml`);
  writeFileSync(path, text);
  return path;
}
const fromYaml = (text: string): Config => resolveConfig([fileLayer(yaml(text))]);
function messageFrom(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("lines that are followed", () => {
  const lines = async (bytes: Buffer) => {
    const path = join(root, "followed.jsonl");
    writeFileSync(path, bytes);
    const stop = new AbortController();
    const found: string[] = [];
    for await (const line of linesOfFile(path, stop.signal)) {
      found.push(line);
      if (line === "end") stop.abort();
    }
    return found;
  };

  it.each([
    ["Latin-1", Buffer.from("caf\xe9\nend\n", "latin1")],
    ["UTF-16", Buffer.from("\ufeffa\nend\n", "utf16le")],
    ["a byte that begins nothing", Buffer.from([0x61, 0x0a, 0x80, 0x0a])],
  ])("are refused by the name of their file: %s", async (_, bytes) => {
    await expect(lines(bytes)).rejects.toThrow(`${join(root, "followed.jsonl")}: it is not text in UTF-8`);
  });

  it("may end as on Windows, and begin with a mark", async () => {
    expect(await lines(Buffer.from("\ufeffé\r\n\nend\n"))).toEqual(["é", "", "end"]);
  });
});

describe("empty values", () => {
  it.each<[string[], string]>([
    [["run", "--seed="], "--seed"],
    [["posterior", "run", "--checkpoints="], "--checkpoints"],
    [["run", "--seed", ""], "--seed"],
    [["run", "--out= ", "--overwrite"], "--out"],
    [["theory", "--lambda", " "], "--lambda"],
    [["run", "--set", ""], "--set"],
    [["report", ""], "an argument"],
    [["report", "a", "", "b"], "an argument"],
  ])("of %j are refused by name", (words, name) => {
    expect(messageFrom(() => commandWords(words))).toBe(
      `${name}: got an empty value; is a shell variable unset?`,
    );
  });

  it("of the command line have exit code 2", async () => {
    const { code, stderr } = await epigrok(["run", "--seed=", "--dry-run"], { cwd: root });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "epigrok: --seed: got an empty value; is a shell variable unset?\n",
    });
  });

  it.each(["", " ", "# nothing", "null"])("of a variable, %j, are refused with its name", (text) => {
    expect(messageFrom(() => environmentLayers({ EPIGROK_SEED: text }))).toBe(
      "EPIGROK_SEED: got no value; give one, or leave the setting out",
    );
  });

  it("of --set are refused with the assignment", () => {
    for (const assignment of ["training.steps=", "seed= ", "training.ivon="])
      expect(messageFrom(() => overrideLayer(assignment))).toBe(
        `--set ${assignment}: got no value; give one, or leave the setting out`,
      );
  });

  it("of a file are an empty section, or refused with the file", () => {
    expect(fromYaml("training:\nensemble:\n  members: 2\n").ensemble.members).toBe(2);
    expect(
      fromYaml("training: {optimizer: ivon, beta2: 0.98, weightDecay: 0.1, ivon: }").training.ivon,
    ).toEqual(createConfig({ training: { optimizer: "ivon", weightDecay: 0.1 } }).training.ivon);
    expect(messageFrom(() => fromYaml("seed:"))).toMatch(/^seed: got null from .*\.yaml, must be a number$/);
    expect(messageFrom(() => fromYaml("task:\n  modulus:\n"))).toMatch(
      /^task\.modulus: got null from .*\.yaml/,
    );
  });
});

describe("words of the command line", () => {
  it("after -- are paths", () => {
    expect(commandWords(["report", "--", "a", "-b", "--c"])).toEqual(["report", "a", "./-b", "./--c"]);
    expect(commandWords(["run", "--set", "a=b"])).toEqual(["run", "--set", "a=b"]);
  });

  it.each([
    ["report", "--", "nowhere"],
    ["report", "--out", "x.html", "--", "nowhere"],
    ["posterior", "--", "nowhere"],
  ])("after -- reach the command: %j", async (...words) => {
    const { code, stderr } = await epigrok(words, { cwd: root });
    expect(code).toBe(2);
    expect(stderr).toMatch(/no .*run.* nowhere|no such run directory: .*nowhere/);
  });

  it("negate nothing but switches", async () => {
    expect(() =>
      refuseMistakenSwitches(["--no-posterior", "--no-json"], ["posterior", "json"]),
    ).not.toThrow();
    for (const name of ["seed", "out", "set"])
      expect(messageFrom(() => refuseMistakenSwitches([`--no-${name}`], ["posterior"]))).toMatch(
        `--${name} is no switch`,
      );
    const { code, stderr } = await epigrok(["run", "--no-out", "--dry-run"], { cwd: root });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "epigrok: unknown option --no-out: --out is no switch\n",
    });
  });

  it.each(["yes", "1", "on", "TRUE", "maybe", ""])("a switch is not %s", async (value) => {
    expect(messageFrom(() => refuseMistakenSwitches([`--json=${value}`], ["json"]))).toBe(
      `--json: got "${value}", must be true or false, or nothing`,
    );
  });

  it("a switch is there, or true or false", async () => {
    const words = ["--json", "--json=true", "--json=false", "--set=json=1", "run", "json=yes"];
    expect(() => refuseMistakenSwitches(words, ["json"])).not.toThrow();
    const { code, stderr } = await epigrok(["run", "--dry-run=yes"], { cwd: root });
    expect([code, stderr]).toEqual([2, 'epigrok: --dry-run: got "yes", must be true or false, or nothing\n']);
  });

  it("name one directory once, however it is written", () => {
    expect(distinctPaths(["a", "b", "./a", "a/", "b/../b"])).toEqual(["a", "b"]);
  });
});

describe("YAML", () => {
  it("may merge what anchors name, also on the top level", () => {
    const config = fromYaml(`
defaults: &defaults
  steps: 77
  batchSize: 8
x-small: {dModel: 8}
.hidden: [1, 2]
training:
  <<: *defaults
  batchSize: 16
`);
    expect(config.training).toMatchObject({ steps: 77, batchSize: 16 });
    const twice = fromYaml(
      "a: &a {steps: 1}\nb: &b {batchSize: 2}\ntraining: {<<: [*a, *b], warmupSteps: 0}",
    );
    expect(twice.training).toMatchObject({ steps: 1, batchSize: 2, warmupSteps: 0 });
    expect(fromYaml("x-s: &s 5\nseed: *s").seed).toBe(5);
  });

  it("has no unknown key, and no anchor that nothing uses", () => {
    expect(messageFrom(() => fromYaml("defaults: &defaults {steps: 1}"))).toMatch(/unknown key "defaults"/);
    expect(messageFrom(() => fromYaml("a: &a {stepz: 1}\ntraining: {<<: *a}"))).toMatch(
      /unknown key "training\.stepz"; did you mean "training\.steps"/,
    );
    expect(messageFrom(() => fromYaml("training: &t {steps: 1}\nensemble: *t"))).toMatch(
      /unknown key "ensemble\.steps"/,
    );
  });

  it("may name the schema of an editor", () => {
    const text = "# yaml-language-server: $schema=epigrok.schema.json\n$schema: epigrok.schema.json\nseed: 3";
    expect(fromYaml(text).seed).toBe(3);
  });

  it.each([
    ["a: &a [*a]"],
    ["task: &t {modulus: 5, more: *t}"],
    ["task: &t {<<: *t}"],
    [`seed: ${"[".repeat(50_000)}`],
    [`seed: ${"{a: ".repeat(40)}1${"}".repeat(40)}`],
  ])("that contains itself or does not end is refused: %.40s", (text) => {
    expect(messageFrom(() => fromYaml(text))).toMatch(
      /c\d+\.yaml: contains itself, or nests more than 16 levels deep$/,
    );
  });

  it("that contains itself is refused in --set and in variables too", () => {
    expect(messageFrom(() => overrideLayer("task=&t {modulus: *t}"))).toMatch(
      /^--set task=.*contains itself/,
    );
    expect(messageFrom(() => environmentLayers({ EPIGROK_SEED: "&s [*s]" }))).toMatch(
      /^EPIGROK_SEED: contains itself/,
    );
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ["has tags that mean nothing", "seed: !number 3", /Unresolved tag: !number/],
    ["is UTF-16", Buffer.from("seed: 3", "utf16le"), /not text in UTF-8/],
    ["is Latin-1", Buffer.from("name: caf\xe9", "latin1"), /c\d+\.yaml: it is not text in UTF-8$/],
    ["is binary", Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 1]), /not text in UTF-8/],
    ["has a key of every object", "__proto__: {seed: 3}", /unknown key "__proto__"/],
    ["has two documents", "seed: 1\n---\nseed: 2", /multiple documents/],
  ])("is refused by name if it %s", (_, text, message) => {
    const path = yaml(text);
    const refused = messageFrom(() => resolveConfig([fileLayer(path)]));
    expect(refused).toMatch(message);
    expect(refused).toContain(path);
  });

  it.each([
    ["task.modulus: 5", '"task.modulus" is written as modulus in the section task'],
    [
      "training: {ivon.samples: 2}",
      '"training.ivon.samples" is written as samples in the section training.ivon',
    ],
    ["training.ivon: {samples: 2}", '"training.ivon" is written as ivon in the section training'],
  ])("nests its keys: %s", (text, message) => {
    expect(messageFrom(() => fromYaml(text))).toMatch(new RegExp(`c\\d+\\.yaml: ${message}$`));
  });

  it("shows no more of a value than can be read", () => {
    expect(messageFrom(() => fromYaml(`seed: ${"x".repeat(10_000)}`)).length).toBeLessThan(400);
  });
});

describe("sections in variables", () => {
  it("are set as with --set", () => {
    const layers = environmentLayers({
      EPIGROK_TRAINING: "{steps: 3}",
      EPIGROK_TRAINING__IVON: "{samples: 2}",
    });
    expect(layers.map(({ values }) => values)).toEqual([
      { training: { steps: 3 } },
      { training: { ivon: { samples: 2 } } },
    ]);
    expect(messageFrom(() => resolveConfig(environmentLayers({ EPIGROK_TRAINING: "{stepz: 3}" })))).toBe(
      'EPIGROK_TRAINING: unknown key "training.stepz"; did you mean "training.steps"?',
    );
  });
});

describe("settings of a program", () => {
  const endless: Record<string, unknown> = {};
  endless.seed = endless;
  it.each<[string, unknown, RegExp]>([
    ["null", null, /^settings: expected keys and values, got null$/],
    ["a list", [1], /^settings: expected keys and values, got \[1\]$/],
    ["a map", new Map([["seed", 1]]), /^settings: contains a Map/],
    ["a bigint", { seed: 3n }, /^settings: contains a bigint/],
    ["a function", { training: { steps: () => 3 } }, /^settings: contains a function/],
    ["itself", endless, /^settings: contains itself/],
    ["a date", { training: new Date(0) }, /^settings: contains a Date, which no setting is$/],
    ["a key of every object", JSON.parse('{"__proto__": {"seed": 1}}'), /^settings: unknown key "__proto__"/],
    [
      "a dotted key",
      { "training.steps": 3 },
      /"training\.steps" is written as steps in the section training/,
    ],
  ])("that are or hold %s are refused", (_, settings, message) => {
    expect(messageFrom(() => createConfig(settings as object))).toMatch(message);
  });
});

describe("a stored configuration", () => {
  it("that is none of this version is refused by key and file", async () => {
    const directory = join(root, "stored");
    mkdirSync(directory);
    const config = { ...createConfig(), training: { ...createConfig().training, momentum: 0.9 } };
    writeFileSync(join(directory, "config.json"), JSON.stringify({ config, hash: "" }));
    const { loadCheckpoint, readRun } = await import("../src/index.ts");
    const expected = /config\.json: unknown key "training\.momentum"/;
    await expect(loadCheckpoint(directory)).rejects.toThrow(expected);
    await expect(readRun(directory)).rejects.toThrow(expected);
    const resumed = await epigrok(["run", "--resume", directory], { cwd: root });
    expect(resumed.code).toBe(2);
    expect(resumed.stderr).toMatch(/^epigrok: .*stored.config\.json: unknown key "training\.momentum".*\n$/);
  });
});

describe("ordinals", () => {
  it("have their endings", () => {
    expect([1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 103, 111].map(ordinal)).toEqual([
      "1st",
      "2nd",
      "3rd",
      "4th",
      "10th",
      "11th",
      "12th",
      "13th",
      "21st",
      "22nd",
      "103rd",
      "111th",
    ]);
  });
});

describe("completion", () => {
  const run = (...words: string[]) => proposalsFor(["epigrok", "run", ...words]);

  it("proposes presets", async () => {
    expect(await run("--preset", "")).toEqual(presetNames());
    expect(await run("--preset", "quick-")).toEqual(["quick-memorise"]);
    expect(await run("--preset=quick-")).toEqual(["--preset=quick-memorise"]);
    // As bash cuts it.
    expect(await run("--preset", "=", "quick-")).toEqual(["quick-memorise"]);
  });

  it("proposes keys, and the values of the only one", async () => {
    expect(await run("--set", "model.d")).toEqual(["model.dModel=", "model.dMlp=", "model.dropout="]);
    expect(await run("--set", "training.sched")).toEqual(
      ["constant", "cosine", "linear", "warmup-stable-decay"].map((value) => `training.schedule=${value}`),
    );
    expect(await run("--set", "training.schedule=c")).toEqual([
      "training.schedule=constant",
      "training.schedule=cosine",
    ]);
    expect(await run("--set", "training.schedule", "=", "c")).toEqual(["constant", "cosine"]);
    expect(await run("--set", "training.schedule", "=")).toContain("=cosine");
    expect(await run("--set", "model.tiedEmbeddings=")).toEqual([
      "model.tiedEmbeddings=true",
      "model.tiedEmbeddings=false",
    ]);
    expect(await run("--math", "")).toEqual(["fast", "strict"]);
  });

  it("leaves all else to the others", async () => {
    expect(await run("--se")).toBeNull();
    expect(await run("--set", "--")).toBeNull();
    expect(await proposalsFor(["epigrok", ""])).toBeNull();
  });

  it("is what the shell gets", async () => {
    const words = ["--get-yargs-completions", "epigrok", "run", "--preset", "quick-"];
    const { code, stdout, stderr } = await epigrok(words, { env: { SHELL: "/bin/bash" } });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "quick-memorise\n", stderr: "" });
    const commands = await epigrok(["--get-yargs-completions", "epigrok", ""], {
      env: { SHELL: "/bin/bash" },
    });
    expect(commands.stdout.split("\n")).toEqual(expect.arrayContaining(["run", "schema", "theory"]));
  });
});

describe("the schema for editors", () => {
  const schema = configJsonSchema();
  const validator = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  const takes = (value: unknown) => validator.safeParse(value).success;

  it("explains every key, with its default where it has one", () => {
    const { properties } = schema as { properties: Record<string, unknown> };
    for (const { name } of configKeys()) {
      const property = name
        .split(".")
        .reduce<Record<string, unknown>>(
          (at, part) => ((at.properties ?? at) as Record<string, Record<string, unknown>>)[part],
          { properties },
        );
      expect(property.description, name).toMatch(/\w/);
    }
    expect(schema).toMatchObject({
      $schema: "http://json-schema.org/draft-07/schema#",
      additionalProperties: false,
      properties: { training: { properties: { steps: { type: "integer", default: expect.any(Number) } } } },
    });
    expect(JSON.stringify(schema)).not.toContain(String(Number.MAX_SAFE_INTEGER));
  });

  it("takes the presets, and refuses what a configuration refuses", () => {
    for (const name of presetNames())
      expect(takes({ name, description: "", ...presetLayer(name).values })).toBe(true);
    expect(takes(configSchema.parse({}))).toBe(true);
    expect(takes({ training: null, "x-base": { anything: 1 }, $schema: "here" })).toBe(true);
    for (const wrong of [
      { seed: -1 },
      { training: { step: 3 } },
      { training: { schedule: "cosin" } },
      { task: { modulus: 2 } },
      { tasks: {} },
    ])
      expect(takes(wrong), JSON.stringify(wrong)).toBe(false);
  });

  it("is printed", async () => {
    const { code, stdout } = await epigrok(["schema"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(schema)));
  });
});
