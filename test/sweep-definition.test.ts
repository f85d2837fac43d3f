/** What a sweep may be written as, which runs come of it, and what is refused before anything runs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../src/errors.ts";
import {
  defineSweep,
  parseAxis,
  parseExclusion,
  readSweepFile,
  requireDistinct,
  type SweepInput,
} from "../src/sweep/definition.ts";
import { configOf, expand, gridSize } from "../src/sweep/expand.ts";
import { listedRuns } from "../src/sweep/task.ts";
import { GRID, TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const settingsOf = (input: SweepInput) => expand(defineSweep(input)).map(({ run }) => run.settings);
const problem = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
};

describe("the values of an axis", () => {
  it.each([
    ["task.trainTasks=6,10,14", [6, 10, 14]],
    ["seed=0..4", [0, 1, 2, 3, 4]],
    ["seed=3", [3]],
    ["seed=0..2,7", [0, 1, 2, 7]],
    ["training.weightDecay=lin:0..1:5", [0, 0.25, 0.5, 0.75, 1]],
    ["training.weightDecay=log:0.1..10:5", [0.1, 0.316228, 1, 3.16228, 10]],
    ["training.learningRate=log:1e-4..1e-2:3", [0.0001, 0.001, 0.01]],
    ["training.learningRate=0.01,3e-3", [0.01, 0.003]],
    ["task.promptPool=log:1000..8000:4", [1000, 2000, 4000, 8000]],
    ["task.promptPool=lin:1000..1010:4", [1000, 1003, 1007, 1010]],
    ["training.optimizer=adamw,ivon", ["adamw", "ivon"]],
    ["training.weightDecayExclude=[],[layerNorm, embeddings]", [[], ["layerNorm", "embeddings"]]],
    ["model.tiedEmbeddings=true,false", [true, false]],
  ])("%s", (written, values) => {
    expect(parseAxis(written).values).toEqual(values);
  });

  it("may be a list, or one value, in a file", () => {
    const { axes } = defineSweep({ axes: { seed: [0, "2..3"], "training.weightDecay": 0.5 } });
    expect(axes).toEqual([
      { key: "seed", values: [0, 2, 3] },
      { key: "training.weightDecay", values: [0.5] },
    ]);
  });

  it.each([
    ["training.wieghtDecay=1", /unknown key "training.wieghtDecay"; did you mean "training.weightDecay"/],
    ["weightDecay=1", /did you mean "training.weightDecay"/],
    ["__proto__=1", /unknown key "__proto__"/],
    ["training=1", /training is a section; name one of its settings, such as training\.steps/],
    ["seed=", /got no value, must have at least one/],
    ["seed", /must have the form key=values/],
    ["seed=0,1,0", /0 is there twice/],
    ["seed=4..0", /must begin with the smaller number/],
    ["seed=0..0.5", /must be two integers; of other numbers write lin:/],
    ["seed=0..4:3", /must be two integers/],
    ["seed=0..1e9", /must be at most 1000000 values/],
    ["training.weightDecay=lin:0..1", /must end with the number of values, such as lin:0..1:5/],
    ["training.weightDecay=lin:0..1:2000000", /must be at most 1000000 values/],
    ["training.weightDecay=log:0..1:5", /must be of numbers above 0/],
    ["training.weightDecay=lin:0..1e400:3", /must be of finite numbers/],
    ["training.weightDecay=log:1:5", /must have the form lin:FROM..TO:COUNT/],
    ["seed=[0", /axis seed=\[0/],
    ["seed=~", /got null, must be values of one setting/],
  ])("%s is refused", (written, message) => {
    expect(problem(() => parseAxis(written))).toMatch(message);
  });
});

describe("the runs of a sweep", () => {
  it("are the grid, whose last axis changes fastest", () => {
    expect(settingsOf(GRID).map(Object.values)).toEqual([
      [4, 0],
      [4, 1],
      [4, 2],
      [5, 0],
      [5, 1],
      [5, 2],
    ]);
  });

  it("are lists of settings, or each of these with the whole grid", () => {
    const settings = [{ "training.learningRate": 0.01 }, { training: { learningRate: 0.003, batchSize: 8 } }];
    expect(settingsOf({ set: TINY, settings })).toEqual([
      { "training.learningRate": 0.01 },
      { "training.learningRate": 0.003, "training.batchSize": 8 },
    ]);
    const both = settingsOf({ set: TINY, settings, axes: { seed: [1, 2] } });
    expect(both.map(({ seed }) => seed)).toEqual([1, 2, 1, 2]);
    expect(both[3]).toEqual({ "training.learningRate": 0.003, "training.batchSize": 8, seed: 2 });
  });

  it("leave out what is excluded", () => {
    const exclude = [{ "task.trainTasks": 4, seed: "1..2" }];
    expect(settingsOf({ ...GRID, exclude }).map(Object.values)).toEqual([
      [4, 0],
      [5, 0],
      [5, 1],
      [5, 2],
    ]);
    expect(parseExclusion("task.trainTasks=4 seed=1..2")).toEqual({ "task.trainTasks": [4], seed: [1, 2] });
    const idle = { ...GRID, exclude: [{ seed: 9 }] };
    expect(problem(() => settingsOf(idle))).toMatch(/exclude seed=\[9\]: there is no such run/);
    const none = { ...GRID, exclude: [{ seed: "0..2" }] };
    expect(problem(() => settingsOf(none))).toMatch(/all of them are left out/);
  });

  it("have names that follow from their settings, and configurations of their own", () => {
    const definition = defineSweep(GRID);
    const runs = expand(definition);
    expect(new Set(runs.map(({ run }) => run.run)).size).toBe(6);
    expect(runs[4].run).toMatchObject({
      members: 1,
      steps: 60,
      run: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(runs[4].config).toEqual(configOf(definition.layers, { "task.trainTasks": 5, seed: 1 }));
    expect(runs[4].config.task.trainTasks).toBe(5);
    // The same run in another sweep.
    const other = expand(defineSweep({ set: { ...TINY, seed: 1 }, axes: { "task.trainTasks": 5 } }));
    expect(other[0].run.run).toBe(runs[4].run.run);
  });

  it("start from a preset, over which other settings go", () => {
    const [{ config }] = expand(
      defineSweep({ preset: "quick", set: { ensemble: { members: 2 } }, axes: { seed: 3 } }),
    );
    expect(config).toMatchObject({
      seed: 3,
      ensemble: { members: 2 },
      task: { modulus: 29, promptPool: 5500 },
    });
  });
});

describe("a sweep is refused", () => {
  it("with all the values that are not allowed, before anything runs", () => {
    const bad = {
      ...GRID,
      axes: { "task.trainTasks": [4, 99, 5, -1], "model.dModel": [16, 15], seed: [0, "x"] },
    };
    const lines = problem(() => settingsOf(bad)).split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^task\.trainTasks: got 99 from the sweep, must be /),
        expect.stringMatching(/^task\.trainTasks: got -1 from the sweep, must be > 0/),
        expect.stringMatching(
          /^model\.dModel: got 15 from the sweep, must be an even multiple of model\.nHeads/,
        ),
        expect.stringMatching(/^seed: got "x" from the sweep, must be /),
      ]),
    );
    expect(new Set(lines).size).toBe(lines.length);
  });

  it("with two axes over one key, or an axis that is in settings too", () => {
    const axes = [parseAxis("seed=0..2"), parseAxis("seed=5")];
    expect(problem(() => requireDistinct({ axes, settings: [] }))).toMatch(/two axes over seed/);
    const both = { ...GRID, settings: [{ seed: 1 }] };
    expect(problem(() => defineSweep(both))).toMatch(/seed is both an axis and in settings/);
  });

  it("with too many runs, unless they are meant", () => {
    const many = defineSweep({ axes: { seed: "0..999", "task.trainTasks": "1..101" } });
    expect(gridSize(many)).toBe(101_000);
    expect(problem(() => expand(many))).toMatch(/has 101000 runs, more than 100000; --yes/);
    // Of one axis as of several.
    const long = defineSweep({ axes: { seed: "0..200000" } });
    expect(long.axes[0].values).toHaveLength(200_001);
    expect(problem(() => expand(long))).toMatch(/has 200001 runs, more than 100000; --yes/);
    const beyond = defineSweep({ axes: { seed: "0..1999", "task.trainTasks": "1..1000" } });
    expect(problem(() => expand(beyond, { meant: true }))).toBe(
      "the sweep has 2000000 runs, must be at most 1000000, also with --yes",
    );
  });

  it("with one run twice, where no step depends on what differs", () => {
    const input = { set: TINY, axes: { "training.steps": [40, 60] } };
    expect(problem(() => settingsOf(input))).toMatch(
      /training\.steps=40 and training\.steps=60 are one run: .* Of numbers of steps give the largest/,
    );
    const other = { set: TINY, axes: { "evaluation.every": [10, 20] } };
    expect(problem(() => settingsOf(other))).toMatch(/evaluations and checkpoints are set for all runs/);
  });

  it.each<[unknown, RegExp]>([
    [null, /the sweep: got null, must be keys and values/],
    [[], /the sweep: got \[\], must be keys and values/],
    [undefined, /the sweep: got nothing, must be keys and values/],
    [{ axis: { seed: 1 } }, /unknown key "axis"; did you mean "axes"/],
    [{ task: { modulus: 7 } }, /unknown key "task".* Settings of all runs are under set/],
    [{ preset: "quik", axes: { seed: 1 } }, /unknown preset "quik"; did you mean "quick"/],
    [{ preset: 3 }, /preset: got 3, must be the name of one/],
    [{ axes: ["seed"] }, /axes: got \["seed"\], must be keys and values/],
    [{ axes: { seed: [] } }, /axis seed: got no value/],
    [{ settings: { seed: 1 } }, /settings: got \{"seed":1\}, must be a list/],
    [{ settings: [{ sed: 1 }] }, /settings 1: unknown key "sed"; did you mean "seed"/],
    [{ exclude: [{ sede: 1 }] }, /exclude 1: unknown key "sede"/],
    [{ set: [] }, /set: got \[\], must be keys and values/],
    [{ axes: { seed: () => 1 } }, /contains a function/],
  ])("%o", (input, message) => {
    expect(problem(() => defineSweep(input as SweepInput))).toMatch(message);
  });
});

describe("a file of a sweep", () => {
  it("is text in UTF-8, and so is a list of its runs", () => {
    const path = join(root, "latin1.yaml");
    writeFileSync(path, Buffer.from("name: caf\xe9\n", "latin1"));
    expect(problem(() => readSweepFile(path))).toBe(`${path}: it is not text in UTF-8`);
    expect(problem(() => listedRuns(path, []))).toBe(`${path}: it is not text in UTF-8`);
  });

  it("is YAML of the same form", () => {
    const path = join(root, "sweep.yaml");
    writeFileSync(
      path,
      [
        "name: phase diagram",
        "description: pool and decay",
        "x-tasks: &tasks [22, 23]",
        "preset: quick",
        "set: { ensemble: { members: 1 } }",
        "axes:",
        "  task.trainTasks: *tasks",
        "  training.weightDecay: log:0.1..10:3",
        "  seed: 0..1",
        "exclude:",
        "  - { task.trainTasks: 22, seed: 1 }",
      ].join("\n"),
    );
    const runs = expand(defineSweep(readSweepFile(path), { source: path }));
    expect(runs).toHaveLength(9);
    expect(runs[0].run.settings).toEqual({ "task.trainTasks": 22, "training.weightDecay": 0.1, seed: 0 });
  });

  it("that is missing, or none, is refused", () => {
    expect(problem(() => readSweepFile(join(root, "none.yaml")))).toMatch(/none\.yaml: ENOENT/);
    const path = join(root, "list.yaml");
    writeFileSync(path, "- 1\n");
    expect(problem(() => readSweepFile(path))).toMatch(/expected keys and values/);
  });
});
