/** Predictions of a checkpoint for prompts that a user wrote. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { predictPrompts } from "../src/analysis/predict.ts";
import { createConfig, createProbeSets, decompose, loadCheckpoint, runEnsemble } from "../src/index.ts";
import { checkpointFile, checkpointFolder } from "../src/run/files.ts";
import { findCheckpoints, readModel } from "../src/run/find-checkpoints.ts";
import { decodeSafetensors } from "../src/safetensors.ts";
import { parsePrompts } from "../src/tasks/prompt-text.ts";
import { epigrok } from "./fixtures/cli.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const run = join(root, "run");
const config = createConfig({
  task: { modulus: 5, variables: 2, trainTasks: 8, examples: 3 },
  model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
  training: { steps: 4, batchSize: 4 },
  evaluation: { every: 2, prompts: 6, savePredictions: "all" },
  ensemble: { members: 2 },
  checkpoints: { schedule: "evaluations" },
  math: "strict",
});
const layout = { modulus: 5, variables: 2, examples: 3 };
const jsonl = (...lines: string[]) => parsePrompts(lines.join("\n"), "jsonl", layout, "p.jsonl");
const csv = (...lines: string[]) => parsePrompts(lines.join("\n"), "csv", layout, "p.csv");
const tokens = (prompts: ReturnType<typeof jsonl>) => prompts.map((prompt) => Array.from(prompt.tokens));

beforeAll(() => runEnsemble(config, { out: run, workers: 1 }));

describe("prompts as text", () => {
  it("are in UTF-8, from a file or standard input", async () => {
    const path = join(root, "latin.jsonl");
    writeFileSync(path, Buffer.from('{"tokens":[1,2],"note":"caf\xe9"}\n', "latin1"));
    const refused = (source: string) => [2, `epigrok: the prompts: ${source}: it is not text in UTF-8\n`];
    const fromFile = await epigrok(["predict", run, path]);
    expect([fromFile.code, fromFile.stderr]).toEqual(refused(path));
    const fromInput = await epigrok(["predict", run], {
      running: ({ stdin }) => void stdin?.end(readFileSync(path)),
    });
    expect([fromInput.code, fromInput.stderr]).toEqual(refused("standard input"));
  });

  it("are tokens, or x and z, of any length the model takes", () => {
    expect(tokens(jsonl("[1,2,0,3,4]", '{"tokens":[1,2]}', '{"x":[[1,2],[3,4]],"z":[0]}'))).toEqual([
      [1, 2, 0, 3, 4],
      [1, 2],
      [1, 2, 0, 3, 4],
    ]);
    expect(tokens(csv("1,2,0,3,4", "1,2"))).toEqual([
      [1, 2, 0, 3, 4],
      [1, 2],
    ]);
    expect(tokens(parsePrompts('{"x":[1,[2]],"z":[3]}', "jsonl", { ...layout, variables: 1 }, ""))).toEqual([
      [1, 3, 2],
    ]);
  });

  it("may hold the last z, which is asked for", () => {
    const asked = [[1, 2, 0, 3, 4]];
    expect(tokens(jsonl("[1,2,0,3,4,1]"))).toEqual(asked);
    expect(tokens(jsonl('{"x":[[1,2],[3,4]],"z":[0,1]}'))).toEqual(asked);
    expect(tokens(csv("1,2,0,3,4,1"))).toEqual(asked);
    // As long as a prompt with its answer.
    expect(tokens(csv("1,2,0,3,4,1,0,0,2"))).toEqual([[1, 2, 0, 3, 4, 1, 0, 0]]);
  });

  it("are numbered by their lines, without the empty ones and the header", () => {
    const written = ["\ufeffx1,x2,z,x1,x2\r", '"1","2",0,3,4\r', "", "1, 2,,,"];
    expect(csv(...written)).toEqual([
      { line: 2, tokens: Int32Array.of(1, 2, 0, 3, 4) },
      { line: 4, tokens: Int32Array.of(1, 2) },
    ]);
    expect(csv("t0,t1", "1,2")).toHaveLength(1);
    expect(csv("token_1,token_2", "1,2")).toHaveLength(1);
    expect(jsonl("", "[1,2]", "")).toHaveLength(1);
    expect(jsonl()).toEqual([]);
  });

  it.each([
    ["[1,2,0,3]", /^p\.jsonl:1: number of tokens: got 4, must be at most 8, .* ending with an x$/],
    ["[]", /number of tokens: got 0/],
    ["[1,2,0,3,4,1,0,0,2,1,1]", /number of tokens: got 11/],
    ["[1,5]", /token 2: got 5, must be an integer from 0 to 4/],
    ["[1,-1]", /token 2: got -1/],
    ["[1.5,1]", /token 1: got 1\.5/],
    ['["1",1]', /token 1: got "1", must be an integer/],
    ['["true",1]', /token 1: got "true", must be an integer/],
    ['{"x":[[1,2]],"z":[],"q":1}', /key of the prompt: got q, must be one of x, z/],
    ['{"tokens":[1,2],"z":[3]}', /key of the prompt: got z, must be one of tokens/],
    ["[1,2,9]", /token 3: got 9/],
    ['{"x":[[1],[2]],"z":[1]}', /x 1: got \[1\], must be a list of 2/],
    ['{"x":[[1,2]],"z":[1,2]}', /number of z: got 2, must be 0, one less than there are x, or as many/],
    ['{"x":[[1,2],[3,4]]}', /the prompt: got .*, must be a list, or an object with tokens, or with x and z/],
    ["null", /the prompt: got null/],
    ["[1,2", /^p\.jsonl:1: .*JSON/],
  ])("are refused with file and line: %s", (line, message) => {
    expect(() => jsonl(line)).toThrow(message);
  });

  it("of columns in another order, or of no numbers, are refused", () => {
    expect(() => csv("x1,x2,x1,x2,z", "1,2,3,4,0")).toThrow(
      "p.csv:1: column 3: got x1, must be named z: columns go x, x, z, and so on",
    );
    expect(() => csv("1,2", "1,two")).toThrow("p.csv:2: token 2: got two, must be an integer from 0 to 4");
    expect(() => csv("1,,0,1,2")).toThrow("p.csv:1: token 2: got nothing");
    expect(() => csv("1;2")).toThrow("p.csv:1: number of tokens: got 1");
  });
});

describe("what is not as the run wrote it", () => {
  const copied = (name: string) => {
    const copy = join(root, name);
    cpSync(run, copy, { recursive: true });
    return copy;
  };
  const predict = async (path: string) => {
    const found = await findCheckpoints(path);
    return predictPrompts(found, await readModel(found), jsonl("[1,2]"), "last");
  };

  it.each([
    ["another member's", { step: 4, member: 1 }, "is of member 1, not of member 0"],
    ["another step's", { step: 2, member: 0 }, "is of step 2, not of step 4"],
  ])("a checkpoint in the place of %s", async (name, key, message) => {
    const copy = copied(name);
    const place = join(copy, checkpointFile({ step: 4, member: 0 }));
    cpSync(join(run, checkpointFile(key)), place);
    await expect(predict(copy)).rejects.toThrow(`${place}: ${message}`);
    await expect(predict(place)).rejects.toThrow(message);
    // Of a folder of the user's own, only the numbers count.
    const own = join(root, `own ${name}`);
    cpSync(join(copy, checkpointFolder(4)), own, { recursive: true });
    expect(await predict(own)).toHaveLength(1);
  });

  it.each([
    ["actFn", '"relu"', '"gelu"'],
    ["ropeBase", "30", "31"],
    ["nHeads", "2", "4"],
  ])("a description with another %s", async (key, value, other) => {
    const copy = copied(key);
    const path = join(copy, checkpointFolder(4), "config.json");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(`"${key}": ${value}`, `"${key}": ${other}`));
    expect(readFileSync(path, "utf8")).not.toBe(text);
    await expect(predict(copy)).rejects.toThrow(`${path}: damaged, it does not have its checksum`);
  });
});

describe("predictions", () => {
  const predicted = async (path: string, text: string, which: "last" | "all" = "last") => {
    const found = await findCheckpoints(path);
    const model = await readModel(found);
    return predictPrompts(found, model, parsePrompts(text, "jsonl", model.task, ""), which);
  };
  const probes = () => createProbeSets(config).find(({ name }) => name === "unseenTasks")!.batch;
  const written = () => {
    const { tokens, batchSize, length } = probes();
    const rows = Array.from({ length: batchSize }, (_, b) => tokens.slice(b * length, (b + 1) * length));
    return rows.map((row) => JSON.stringify(Array.from(row))).join("\n");
  };

  it("of a run are those that it made itself", async () => {
    const file = readFileSync(join(run, "predictions", "step-00000004.safetensors"));
    const { shape, data } = decodeSafetensors(file).tensors.get("unseenTasks")!;
    const [members, prompts, positions, classes] = shape;
    const all = await predicted(run, written(), "all");
    expect(all).toHaveLength(prompts * positions);
    const expected = decompose(data as Float32Array, { members, prompts: prompts * positions, classes });
    all.forEach((prediction, i) => {
      expect(prediction).toMatchObject({ line: 1 + Math.floor(i / positions), examples: i % positions });
      prediction.probabilities.forEach((p, c) => {
        expect(p).toBeCloseTo(expected.mean[i * classes + c], 8);
      });
      expect(prediction.mutualInformation).toBeCloseTo(expected.mutualInformation[i], 8);
      expect(prediction.totalEntropy).toBeCloseTo(expected.totalEntropy[i], 8);
      expect(prediction.probabilities[prediction.prediction]).toBe(Math.max(...prediction.probabilities));
    });
  });

  it("of a file are those of its member, without mutual information", async () => {
    const key = { member: 1, step: 2 };
    const [prediction, ...rest] = await predicted(join(run, checkpointFile(key)), "[1,2,0,3,4]");
    expect(rest).toEqual([]);
    const { model } = await loadCheckpoint(run, key);
    const p = model.probabilities({
      ...{ tokens: Int32Array.of(1, 2, 0, 3, 4), batchSize: 1, length: 5 },
      ...{ positions: Int32Array.of(4), targets: Int32Array.of(0) },
    });
    expect(prediction.probabilities.map(Math.fround)).toEqual(Array.from(p));
    expect(prediction).toMatchObject({ line: 1, examples: 1 });
    expect(prediction).not.toHaveProperty("mutualInformation");
  });

  it("keep the order of prompts of many lengths, and do not depend on their neighbours", async () => {
    const lines = ["[1,2]", "[1,2,0,3,4]", "[0,0]", "[1,2,0,3,4,1,0,0]", "[1,2]"];
    const together = await predicted(run, lines.join("\n"));
    expect(together.map(({ line, examples }) => [line, examples])).toEqual([
      [1, 0],
      [2, 1],
      [3, 0],
      [4, 2],
      [5, 0],
    ]);
    const alone = await Promise.all(lines.map((line) => predicted(run, line)));
    alone.forEach(([prediction], i) => {
      expect({ ...prediction, line: i + 1 }).toEqual(together[i]);
    });
  });

  it("need the description of the model beside the checkpoint, which may have been moved", async () => {
    const moved = join(root, "moved");
    cpSync(join(run, checkpointFolder(4)), moved, { recursive: true });
    expect(await predicted(moved, "[1,2]")).toEqual(await predicted(run, "[1,2]"));
    writeFileSync(join(moved, "config.json"), JSON.stringify({ dVocab: 5 }));
    await expect(predicted(moved, "[1,2]")).rejects.toThrow(
      /moved.config\.json: task is none of this version/,
    );
    const { task } = config;
    writeFileSync(join(moved, "config.json"), JSON.stringify({ dVocab: 5, dModel: "8", task }));
    await expect(predicted(moved, "[1,2]")).rejects.toThrow(
      /config\.json: dModel: got "8", must be an integer/,
    );
    rmSync(join(moved, "config.json"));
    await expect(predicted(moved, "[1,2]")).rejects.toThrow(/described in config\.json beside it: ENOENT/);
  });
});

describe("epigrok predict", () => {
  const predict = (...args: string[]) => epigrok(["predict", ...args], { cwd: root });

  it("prints a JSON object a line", async () => {
    mkdirSync(join(root, "in"));
    writeFileSync(join(root, "in", "p.csv"), "x1,x2,z,x1,x2\n1,2,0,3,4\n1,2,,,\n");
    const { code, stdout, stderr } = await predict("run", "in/p.csv");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ line, examples }) => [line, examples])).toEqual([
      [2, 1],
      [3, 0],
    ]);
    for (const { probabilities } of lines) {
      expect(probabilities).toHaveLength(5);
      expect(probabilities.reduce((a: number, b: number) => a + b)).toBeCloseTo(1, 6);
    }
    const all = await predict("run", "in/p.csv", "--positions", "all");
    expect(all.stdout.trimEnd().split("\n")).toHaveLength(3);
  });

  it("reads standard input", async () => {
    const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
    const child = spawn(process.execPath, [cli, "predict", "run"], { cwd: root });
    child.stdin.end("[1,2]\n[9]\n");
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^epigrok: standard input:2: number of tokens: got 1/),
    });
  });

  it.each<[string[], RegExp]>([
    [["run", "absent.jsonl"], /the prompts: ENOENT/],
    [["run", "in"], /the prompts: in: EISDIR/],
    [["absent", "absent.jsonl"], /no checkpoint: ENOENT/],
    [["in", "in/p.csv"], /no checkpoint: in is neither a run that kept one, nor the folder of a step/],
    [["in/p.csv", "in/p.csv"], /described in config\.json beside it/],
    [["run", "in/p.csv", "--format", "xml"], /Invalid values/],
    [[], /Not enough non-option arguments/],
  ])("answers a usage error with exit code 2: %j", async (args, message) => {
    const { code, stdout, stderr } = await predict(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});
