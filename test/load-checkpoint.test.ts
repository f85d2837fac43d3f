/** Models of a run's checkpoints, and configurations made by a program. */

import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { createConfig, loadCheckpoint, runEnsemble } from "../src/index.ts";
import { freshConfig } from "./fixtures/config.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

describe("createConfig", () => {
  it("puts settings over a preset and that over the defaults", () => {
    const config = createConfig({ task: { trainTasks: 20 } }, { preset: "quick" });
    expect(config.task).toMatchObject({ modulus: 29, trainTasks: 20, zeroTask: false, promptPool: 5500 });
    expect(createConfig()).toEqual(createConfig({}, { preset: "quick" }));
  });

  it("refuses what is not allowed, in the words of the command line", () => {
    expect(() => createConfig({ training: { batchSize: -3 } })).toThrow("training.batchSize: got -3");
    expect(() => createConfig({ task: { trainTask: 5 } } as object)).toThrow(
      'did you mean "task.trainTasks"',
    );
    expect(() => createConfig({ model: { dModel: 10, nHeads: 4 } })).toThrow("model.dModel: got 10");
    expect(() => createConfig({}, { preset: "quik" })).toThrow('did you mean "quick"');
  });
});

describe("loadCheckpoint", () => {
  const run = join(temporaryDirectory(), "run");

  beforeAll(async () => {
    const config = freshConfig({
      task: { modulus: 5, trainTasks: 3, examples: 2 },
      model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
      training: { steps: 4, batchSize: 4 },
      evaluation: { every: 2, prompts: 4 },
      ensemble: { members: 2 },
      checkpoints: { schedule: "evaluations" },
      math: "strict",
    });
    await runEnsemble(config, { out: run, workers: 1 });
  });

  it("gives the newest checkpoint of member 0 unless told otherwise", async () => {
    const newest = await loadCheckpoint(run);
    expect(newest).toMatchObject({ member: 0, step: 4, config: { task: { modulus: 5 } } });
    const [same, earlier, other] = await Promise.all([
      loadCheckpoint(run, { member: 0, step: 4 }),
      loadCheckpoint(run, { step: 2 }),
      loadCheckpoint(run, { member: 1 }),
    ]);
    const parameters = newest.model.getParameters();
    expect(parameters.some((value) => value !== 0)).toBe(true);
    expect(same.model.getParameters()).toEqual(parameters);
    expect(earlier.model.getParameters()).not.toEqual(parameters);
    expect(other.model.getParameters()).not.toEqual(parameters);
    expect(newest.model.math).toBe("strict");
  });

  it("says which steps there are", async () => {
    await expect(loadCheckpoint(run, { step: 3 })).rejects.toThrow("no checkpoint of member 0 at step 3");
    await expect(loadCheckpoint(run, { member: 2 })).rejects.toThrow("no checkpoint of member 2");
    await expect(loadCheckpoint(join(run, "none"))).rejects.toThrow("there is no run in");
  });
});
