/** Posteriors and spectra of a run, from the choice of jobs to the command line. */

import {
  appendFileSync,
  cpSync,
  existsSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { fitAfterTraining } from "../src/analysis/after-training.ts";
import { compareMethods, fallOf } from "../src/analysis/compare.ts";
import { type JobKey, pending } from "../src/analysis/job-runner.ts";
import { settingsHash } from "../src/analysis/open-run.ts";
import type { PosteriorRecord } from "../src/analysis/posterior-job.ts";
import { DEFAULT_SETTINGS, methodOf, posteriorJobs, runPosteriors } from "../src/analysis/posteriors.ts";
import { predictPrompts } from "../src/analysis/predict.ts";
import { askSavedPosterior, readPosterior, savePosterior } from "../src/analysis/saved-posteriors.ts";
import { selectSteps, thin } from "../src/analysis/selection.ts";
import type { SpectrumRecord } from "../src/analysis/spectrum-job.ts";
import { firstMembers } from "../src/commands/checkpoint-options.ts";
import { namesIn, stepChoice } from "../src/commands/flags.ts";
import { configSchema } from "../src/config/schema.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { runJobs } from "../src/pool/jobs.ts";
import { startThreads } from "../src/pool/pool.ts";
import { POSTERIOR_METHODS } from "../src/posterior/methods/index.ts";
import { type CheckpointStep, encodeCheckpoint, readCheckpoint } from "../src/run/checkpoints.ts";
import { checkpointFile, ivonFile } from "../src/run/files.ts";
import { findCheckpoints, readModel } from "../src/run/find-checkpoints.ts";
import { runHash } from "../src/run/identity.ts";
import { encodeLine, encodeObject } from "../src/run/json.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import { runEnsemble } from "../src/run/run.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { parsePrompts } from "../src/tasks/prompt-text.ts";
import { transformerShape } from "../src/training/model.ts";
import { ensembleMeasures } from "../src/uncertainty/measures.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS, freshConfig } from "./fixtures/config.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

/** All members that have a checkpoint there. */
const evaluatedAt = (kept: readonly CheckpointStep[]) =>
  new Map(kept.map(({ step, members }) => [step, members]));

it("takes two members unless told, and one of a run that has one", async () => {
  for (const members of [1, 2, 3]) {
    const out = join(root, `of${members}`);
    await runEnsemble(fakeConfig(members), { out, workers: 1, createPool: () => fakePool() });
    expect(await firstMembers(out, 2)).toBe(String(Math.min(2, members)));
  }
  expect(await firstMembers(join(root, "absent"), 2)).toBe("2");
});

describe("the choice of checkpoints", () => {
  const kept = [0, 100, 200, 400, 800, 1600, 3200].map((step) => ({
    step,
    members: [0, 1],
    withCurvature: [],
  }));
  const events = { memorisedStep: 400, grokStep: 800, uncertaintyPeakStep: 500, collapseStep: null };
  const chosen = (text: string, atMost = 0, given = events as Parameters<typeof selectSteps>[2]) =>
    selectSteps(kept, stepChoice(text), given, atMost).map(({ step }) => step);

  it("all, around the transition, by number", () => {
    expect(chosen("all")).toEqual([0, 100, 200, 400, 800, 1600, 3200]);
    expect(chosen("grok")).toEqual([200, 400, 800, 1600]);
    expect(chosen("grok", 0, { ...events, uncertaintyPeakStep: 200 })).toEqual([100, 200, 400, 800, 1600]);
    expect(chosen("grok", 0, { ...events, grokStep: null })).toEqual(chosen("all"));
    expect(chosen("800,0")).toEqual([800, 0]);
  });

  it("thins evenly by rank and keeps both ends", () => {
    expect(chosen("all", 4)).toEqual([0, 200, 800, 3200]);
    expect(chosen("all", 1)).toEqual([3200]);
    expect(thin([1, 2], 5)).toEqual([1, 2]);
  });

  it("names what is wrong", () => {
    expect(() => chosen("300")).toThrow(/no checkpoint at step 300; the nearest are at 200 and 400/);
    expect(() => chosen("9999")).toThrow(/the nearest are at 3200/);
    expect(() => stepChoice("half")).toThrow(/--steps: got "half"/);
    expect(() => selectSteps([], "all", events, 0)).toThrow(/no checkpoints/);
    expect(() => namesIn("swag,laplace-kfca", POSTERIOR_METHODS, "method")).toThrow(
      /"laplace-kfca"; did you mean "laplace-kfac"/,
    );
    expect(() => namesIn("zzzzzzzzzzzz", POSTERIOR_METHODS, "method")).toThrow(
      /there are: laplace-last-layer/,
    );
  });
});

describe("jobs asked for twice", () => {
  const job = (step: number, member = 0): JobKey & { method: string } => ({
    ...{ step, member, method: "swag", settings: "" },
  });
  it("are computed once, and told once", () => {
    const records = [job(40)];
    const { open, present } = pending(
      [job(20), job(40), job(20), job(40), job(20, 1)],
      records,
      methodOf as never,
    );
    expect(open).toEqual([job(20), job(20, 1)]);
    expect(present).toEqual(records);
  });
});

describe("jobs", () => {
  const config = freshConfig();
  const steps = [{ step: 5, members: [0, 1, 2], withCurvature: [] }];
  const jobs = (overrides: Partial<typeof DEFAULT_SETTINGS> = {}) =>
    posteriorJobs(
      { config, kept: steps, evaluated: evaluatedAt(steps) },
      ["swag", "dropout", "ensemble"],
      steps,
      2,
      {
        ...DEFAULT_SETTINGS,
        ...overrides,
      },
    );

  it("one for each method and member, one for the ensemble", () => {
    expect(jobs().map(({ method, member }) => [method, member])).toEqual([
      ["swag", 0],
      ["swag", 1],
      ["dropout", 0],
      ["dropout", 1],
      ["ensemble", null],
    ]);
    expect(jobs()[0].samples).toBe(32);
    // A model trained without dropout is predicted with a rate of 0.1, unless told.
    const rates = [jobs(), jobs({ dropout: 0.3 })].map((list) => list[2].options);
    expect(rates).toEqual([{ dropout: 0.1 }, { dropout: 0.3 }]);
    expect(jobs()[0].options).toEqual({ steps: 400 });
    // 256 prompts of 6 positions a batch.
    expect(jobs()[0].batches).toBe(Math.ceil(2048 / (256 * config.task.examples)));
  });

  it("have the options that earlier versions recorded, by which their records are found again", () => {
    const all = posteriorJobs(
      { config, kept: steps, evaluated: evaluatedAt(steps) },
      POSTERIOR_METHODS,
      steps,
      1,
      DEFAULT_SETTINGS,
    );
    expect(Object.fromEntries(all.map(({ method, options }) => [method, options]))).toEqual({
      ...{ "laplace-last-layer": {}, "laplace-kfac": {}, "laplace-low-rank": { remainder: "trace" } },
      ...{ "laplace-diagonal": {}, swag: { steps: 400 }, ivon: { steps: 400 }, sgld: { steps: 300 } },
      ...{ dropout: { dropout: 0.1 }, ensemble: {} },
    });
    const common = { samples: 32, batches: all[0].batches };
    for (const { method, options, settings } of all)
      expect(settings).toBe(settingsHash(config, method === "ensemble" ? options : { ...common, options }));
  });

  it("of a snapshot ensemble: the last four checkpoints of a member, where there are so many", () => {
    const kept = [0, 5, 10, 20, 40].map((step) => ({
      ...{ step, members: step === 10 ? [0] : [0, 1], withCurvature: [] },
    }));
    const snapshots = (settings = DEFAULT_SETTINGS) =>
      posteriorJobs(
        { config, kept, evaluated: evaluatedAt(kept) },
        ["snapshot-ensemble"],
        kept.slice(2),
        "all",
        settings,
      );
    expect(snapshots().map(({ step, member, checkpointSteps }) => [step, member, checkpointSteps])).toEqual([
      [20, 0, [0, 5, 10, 20]],
      [40, 0, [5, 10, 20, 40]],
      [40, 1, [0, 5, 20, 40]],
    ]);
    // Which number of draws and how much data are asked for does not matter to it.
    const [first, ...others] = [...snapshots(), ...snapshots({ ...DEFAULT_SETTINGS, samples: 7, data: 9 })];
    for (const { settings } of others) expect(settings).toBe(first.settings);
  });

  it("are done again only if something they depend on has changed", () => {
    const records = jobs() as unknown as PosteriorRecord[];
    const open = (overrides: Partial<typeof DEFAULT_SETTINGS>) =>
      new Set(pending(jobs(overrides), records, methodOf).open.map(({ method }) => method));
    expect(open({})).toEqual(new Set());
    expect(open({ dropout: 0.3 })).toEqual(new Set(["dropout"]));
    expect(open({ samples: 8 })).toEqual(new Set(["swag", "dropout"]));
    const [first] = jobs();
    expect(pending([{ ...first, step: 6 }], records, methodOf).open).toHaveLength(1);
  });

  it("that fail do not keep the others from being done, and stopping begins no more", async () => {
    const done: number[] = [];
    const failed: string[] = [];
    const controller = new AbortController();
    const options = {
      jobs: [1, 2, 3, 4, 5],
      workers: 2,
      run: async (job: number) => {
        if (job === 2) throw new Error(`job ${job} broke`);
        return 10 * job;
      },
      done: async (_: number, result: number) => void done.push(result),
      failed: (_: number, error: unknown) => void failed.push((error as Error).message),
      signal: controller.signal,
    };
    expect(await runJobs(options)).toBe(true);
    expect(done.sort()).toEqual([10, 30, 40, 50]);
    expect(failed).toEqual(["job 2 broke"]);
    const stopping = { ...options, workers: 1, done: async () => controller.abort() };
    expect(await runJobs(stopping)).toBe(false);
    const broken = async () => {
      throw new Error("disk full");
    };
    await expect(runJobs({ ...options, signal: undefined, done: broken })).rejects.toThrow("disk full");
  });

  it("whose worker dies fail, and the next one gets a new worker", async () => {
    const filename = join(root, "dying.mjs");
    writeFileSync(filename, "export const die = () => process.exit(7);\nexport const live = (x) => x + 1;\n");
    const threads = startThreads({ workers: 1, filename });
    await expect(threads.run(1, { name: "die" })).rejects.toThrow(/exited with code: 7/);
    expect(await threads.run(1, { name: "live" })).toBe(2);
    await threads.close();
    expect(() => startThreads({ workers: 1, filename: join(root, "no.js") })).toThrow(/npm run build/);
  });
});

describe("the comparison", () => {
  it("finds the fall between checkpoints", () => {
    const values = (...list: number[]) => list.map((value, i) => ({ step: 100 * i, value }));
    // 0.9 is crossed at 100 + 100 / 2, 0.5 at 200 + 100 * 3 / 4.
    expect(fallOf(values(0.2, 1, 0.8, 0.4, 0.1))).toEqual({ start: 150, end: 275, steps: 125 });
    expect(fallOf(values(0.2, 0.5, 1))).toBeNull();
    expect(fallOf(values(1, 0.6))).toBeNull();
    expect(fallOf([])).toBeNull();
  });

  it("takes means of the statistics that all records have", () => {
    const record = (measures: object, member: number) =>
      ({
        ...{
          method: "swag",
          step: 100,
          member,
          settings: "",
          samples: 4,
          trainingTerms: 1000,
          laplace: null,
        },
        ...{ fitSeconds: 1, predictSeconds: 1 },
        sets: { unseenTasks: { ...measures, totalEntropy: 1, expectedEntropy: 0.5, mutualInformation: 0.5 } },
      }) as unknown as PosteriorRecord;
    const means = (...measures: object[]) =>
      compareMethods(measures.map(record), { classes: 5, grokStep: null })[0].points[0].mean;
    const [low, high] = [0.2, 0.4].map((value) => ({ disagreement: value, voteEntropy: value }));
    expect(means(low, high).voteEntropy).toBeCloseTo(0.3, 12);
    const earlier = means({ disagreement: 0.2 }, high);
    expect(earlier).not.toHaveProperty("voteEntropy");
    expect(earlier.disagreement).toBeCloseTo(0.3, 12);
  });

  it("is of the latest settings of a method, and means over members", () => {
    const record = (step: number, member: number, information: number, settings = "b") => {
      const measures = {
        ...{ mutualInformation: information, totalEntropy: 1 + information, expectedEntropy: 1 },
        ...{ disagreement: 0.1, accuracy: 0.5, nll: 1, brier: 0.5, ece: 0.1 },
      };
      const laplace = { logMarginalLikelihood: -500, priorPrecision: 2, effectiveParameters: 3 };
      return {
        ...{ method: "laplace-kfac", step, member, settings, samples: 32, trainingTerms: 1000, laplace },
        ...{ sets: { unseenTasks: measures }, fitSeconds: 3, predictSeconds: 1 },
      } as unknown as PosteriorRecord;
    };
    const records = [
      record(100, 0, 9, "a"),
      record(100, 0, 1.0),
      record(100, 1, 1.4),
      record(300, 0, 0.1),
      record(300, 1, 0.3),
    ];
    const [kfac, ...others] = compareMethods(records, { classes: 23, grokStep: 250 });
    expect(others).toEqual([]);
    expect(kfac).toMatchObject({ method: "laplace-kfac", samples: 32, members: 2, peakStep: 100 });
    expect(kfac.points[0].mean.mutualInformation).toBeCloseTo(1.2, 12);
    expect(kfac.points[0].range).toEqual([1.0, 1.4]);
    expect(kfac.points[0].evidencePerTerm).toBe(-0.5);
    // From 1.2 to 0.2: half at 100 + 200 * 0.6.
    expect(kfac.fall?.end).toBeCloseTo(220, 9);
    expect(kfac.lead).toBeCloseTo(-30, 9);
    expect(kfac.secondsTotal).toBe(16);
    expect(compareMethods(records, { classes: 23, grokStep: null })[0].lead).toBeNull();
  });
});

describe("epigrok", () => {
  const settings = [
    ...FRESH_ASSIGNMENTS,
    ...["task.modulus=5", "task.trainTasks=3", "task.examples=2"],
    ...["model.dModel=8", "model.nHeads=2", "model.nLayers=1", "model.dMlp=8"],
    ...["training.steps=20", "training.batchSize=8", "training.warmupSteps=2"],
    ...["evaluation.every=10", "evaluation.prompts=4", "ensemble.members=2"],
  ].flatMap((assignment) => ["--set", assignment]);
  const cli = (...args: string[]) => epigrok(args, { cwd: root });
  const lines = <T>(file: string): T[] =>
    readFileSync(join(root, file), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  const fitted = (run: string, ...more: string[]) =>
    cli("posterior", run, "--samples", "4", "--data", "32", "--steps", "all", ...more);
  const posterior = (run: string, ...more: string[]) => fitted(run, "--fit-steps", "8", ...more);

  beforeAll(async () => {
    const { code } = await cli("run", ...settings, "--out", "run", "--quiet");
    expect(code).toBe(0);
    // A run of a second has nothing to spare for posteriors.
    expect(existsSync(join(root, "run", "posteriors.jsonl"))).toBe(false);
  });

  it("posterior: every method, records, tables and a report; the second time nothing is left to do", async () => {
    const { code, stdout, stderr } = await posterior("run");
    expect(code).toBe(0);
    expect(stderr).toContain("45 jobs, ");
    expect(stdout).toContain("| laplace-kfac ");
    expect(stdout).toContain("Calibration on unseen tasks at step 20");
    const records = lines<PosteriorRecord>("run/posteriors.jsonl");
    // 3 steps x (7 methods x 2 members + the ensemble).
    expect(records).toHaveLength(45);
    for (const { method, member, samples, sets, laplace } of records) {
      expect(samples).toBe(method === "ensemble" ? 2 : 4);
      expect(member === null).toBe(method === "ensemble");
      expect(sets.unseenTasks?.mutualInformation).toBeGreaterThanOrEqual(0);
      expect(laplace !== null).toBe(method.startsWith("laplace"));
    }
    expect(readFileSync(join(root, "run", "report.html"), "utf8")).toContain("Approximate posteriors");

    const again = await posterior("run", "--json", "--quiet");
    const { schema, methods, failures } = JSON.parse(again.stdout);
    expect({ schema, failures }).toEqual({ schema: "epigrok-posterior/1", failures: [] });
    expect(methods).toHaveLength(8);
    expect(lines("run/posteriors.jsonl")).toHaveLength(45);
  });

  it("the ensemble's measures are those of the run itself, and workers do not matter", async () => {
    const records = lines<PosteriorRecord>("run/posteriors.jsonl");
    const metrics = lines<{ step: number; ensemble: PosteriorRecord["sets"] }>("run/metrics.jsonl");
    const ensembles = records.filter(({ method }) => method === "ensemble");
    expect(ensembles).toHaveLength(3);
    for (const { step, sets } of ensembles) {
      const { ensemble } = metrics.find((record) => record.step === step)!;
      expect(sets.unseenTasks?.nll).toBeCloseTo(ensemble.unseenTasks!.nll, 5);
      expect(sets.unseenTasks?.mutualInformation).toBeCloseTo(ensemble.unseenTasks!.mutualInformation, 5);
    }
    cpSync(join(root, "run"), join(root, "one"), { recursive: true });
    writeFileSync(join(root, "one", "posteriors.jsonl"), "");
    expect((await posterior("one", "--workers", "1", "--methods", "swag,dropout")).code).toBe(0);
    const key = ({ method, step, member, sets }: PosteriorRecord) => [method, step, member, sets];
    const both = records.filter(({ method }) => method === "swag" || method === "dropout");
    expect(lines<PosteriorRecord>("one/posteriors.jsonl").map(key)).toEqual(
      expect.arrayContaining(both.map(key)),
    );
  });

  it("posterior: goes on after a line that was cut off, and names a job that failed", async () => {
    cpSync(join(root, "run"), join(root, "cut"), { recursive: true });
    const file = join(root, "cut", "posteriors.jsonl");
    const [first] = readFileSync(file, "utf8").split("\n");
    writeFileSync(file, `${first}\n`);
    appendFileSync(file, '{"method":"swag","st');
    writeFileSync(join(root, "cut", "checkpoints", "step-00000010", "member-01.safetensors"), "damaged");
    const { code, stderr } = await fitted("cut", "--methods", "laplace-last-layer");
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /failed: laplace-last-layer at step 10, member 1: .*member-01\.safetensors: damaged/,
    );
    expect(lines("cut/posteriors.jsonl")).toHaveLength(5);
  });

  it("posterior, of an unfinished run: checkpoints, tables and report go by the same events", async () => {
    cpSync(join(root, "run"), join(root, "unfinished"), { recursive: true });
    for (const file of ["summary.json", "posteriors.jsonl"]) unlinkSync(join(root, "unfinished", file));
    const around = (...more: string[]) =>
      cli(
        ...["posterior", "unfinished", "--steps", "grok", "--methods", "laplace-last-layer"],
        ...["--samples", "4", "--data", "32", "--quiet", ...more],
      );
    expect((await around()).stdout).toContain("the unfinished run has not grokked so far");

    // All members right on unseen tasks from the start: of three evaluations the first is the event.
    const records = lines<MetricsRecord>("unfinished/metrics.jsonl");
    for (const { members } of records) for (const { sets } of members) sets.unseenTasks!.accuracy = 1;
    writeFileSync(
      join(root, "unfinished", "metrics.jsonl"),
      records.map((record) => encodeLine(record, (record as MetricsRecord & { run: string }).run)).join(""),
    );
    unlinkSync(join(root, "unfinished", "posteriors.jsonl"));
    const { grokStep } = JSON.parse((await around("--json")).stdout);
    expect(grokStep).toBe(0);
    const steps = lines<PosteriorRecord>("unfinished/posteriors.jsonl").map(({ step }) => step);
    expect(steps).toEqual([0, 0]);
    expect((await around()).stdout).toContain("(grok at step 0)");
    expect(readFileSync(join(root, "unfinished", "report.html"), "utf8")).toContain(
      "<b>Grokked</b> at step 0",
    );
  });

  it("posterior: stopped by a signal keeps what is done", async () => {
    cpSync(join(root, "run"), join(root, "stopped"), { recursive: true });
    const file = join(root, "stopped", "posteriors.jsonl");
    writeFileSync(file, "");
    const methods = ["--methods", "laplace-last-layer,ivon", "--workers", "1"];
    const outcome = await epigrok(["posterior", "stopped", ...methods, "--fit-steps", "10000000"], {
      cwd: root,
      running: async (child) => {
        while (readFileSync(file).length === 0 && child.exitCode === null)
          await new Promise((resolve) => setTimeout(resolve, 20));
        child.kill("SIGINT");
      },
    });
    expect(outcome).toMatchObject({ code: 130, stdout: "" });
    expect(outcome.stderr).toContain("Stopped; what is done is kept.");
    expect(lines("stopped/posteriors.jsonl").length).toBeGreaterThan(0);
    expect(existsSync(join(root, "stopped", "lock"))).toBe(false);
  });

  it("run: last-layer Laplace and a short IVON afterwards, as far as the training took long enough", async () => {
    const evaluations = ["evaluation.every=5", "training.schedule=constant"].flatMap((a) => ["--set", a]);
    evaluations.push("--quiet");
    expect((await cli("run", ...settings, ...evaluations, "--out", "long")).code).toBe(0);
    const directory = join(root, "long");
    const fitted = async (trainSeconds: number, steps: number) => {
      const [timing] = lines<object>("long/timing.jsonl");
      const { run, ...manifest } = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
      writeFileSync(join(directory, "timing.jsonl"), encodeLine({ ...timing, trainSeconds }, run));
      manifest.config.training.steps = steps;
      writeFileSync(join(directory, "config.json"), encodeObject(manifest, run));
      await fitAfterTraining(directory, { workers: 2 });
      if (!existsSync(join(directory, "posteriors.jsonl"))) return [];
      return lines<PosteriorRecord>("long/posteriors.jsonl").map(({ method }) => method);
    };
    expect(await fitted(19, 20)).toEqual([]);
    // At 25 seconds a step, 100 steps of IVON at four checkpoints are too much.
    expect(await fitted(1000, 20)).toEqual(Array(10).fill("laplace-last-layer"));
    const both = [...Array(10).fill("laplace-last-layer"), ...Array(5).fill("ivon")];
    // An IVON run's own posterior takes no fit: at all checkpoints, whatever a step took.
    const ivon = ["optimizer=ivon", "weightDecay=1e-4"].flatMap((a) => ["--set", `training.${a}`]);
    expect((await cli("run", ...settings, ...ivon, ...evaluations, "--out", "own")).code).toBe(0);
    const timing = join(root, "own", "timing.jsonl");
    const { run } = JSON.parse(readFileSync(join(root, "own", "config.json"), "utf8"));
    writeFileSync(timing, encodeLine({ trainSeconds: 1000 }, run));
    await fitAfterTraining(join(root, "own"), { workers: 2 });
    const own = lines<PosteriorRecord>("own/posteriors.jsonl");
    expect(own.map(({ method }) => method)).toEqual([
      ...Array(10).fill("laplace-last-layer"),
      ...Array(10).fill("ivon"),
    ]);
    // In a longer run of the same steps what is there counts.
    expect(await fitted(1000, 100_000)).toEqual(both);
    expect(await fitted(1000, 100_000)).toEqual(both);
  });

  it("posterior: a snapshot ensemble of the checkpoints that a member has kept", async () => {
    const out = join(root, "snapshots");
    expect((await cli("run", ...settings, "--set", "evaluation.every=5", "--out", out)).code).toBe(0);
    const few = await cli("posterior", "snapshots", "--methods", "snapshot-ensemble,swag", "--steps", "10");
    expect(few.code).toBe(2);
    expect(few.stderr).toContain(
      "snapshot-ensemble takes the last 4 checkpoints of a member; up to the steps",
    );
    expect((await fitted("snapshots", "--methods", "snapshot-ensemble")).code).toBe(0);
    const records = lines<PosteriorRecord>("snapshots/posteriors.jsonl");
    const sources = records.map(({ step, member, checkpointSteps }) => [step, member, checkpointSteps]);
    expect(sources.sort()).toEqual([
      ...[0, 1].map((member) => [15, member, [0, 5, 10, 15]]),
      ...[0, 1].map((member) => [20, member, [5, 10, 15, 20]]),
    ]);
    const run = configSchema.parse(JSON.parse(readFileSync(join(out, "config.json"), "utf8")).config);
    const core = await loadCoreModule(run.math);
    const model = instantiateTransformer(core, transformerShape(run), { optimizer: "none" });
    const probe = createProbeSets(run).find(({ name }) => name === "unseenTasks")!;
    for (const { member, samples, sets, checkpointSteps } of records) {
      const draws = checkpointSteps!.map(async (step) => {
        const parameters = await readCheckpoint(out, { step, member: member! }, model.parameters, null);
        model.setParameters(parameters);
        return model.probabilities(probe.batch);
      });
      const { mutualInformation } = ensembleMeasures(await Promise.all(draws), probe);
      expect(samples).toBe(4);
      expect(sets.unseenTasks!.mutualInformation).toBeCloseTo(mutualInformation, 5);
    }
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain(
      "The snapshot ensemble is of one member",
    );
  });

  it("an IVON run: its own posterior at every checkpoint, also by itself after training", async () => {
    const ivon = ["optimizer=ivon", "learningRate=0.1", "weightDecay=1e-4"];
    const flags = ivon.flatMap((assignment) => ["--set", `training.${assignment}`]);
    expect((await cli("run", ...settings, ...flags, "--out", "ivon", "--quiet")).code).toBe(0);
    const again = () =>
      cli(
        ...["posterior", "ivon", "--methods", "ivon", "--members", "all", "--steps", "all"],
        ...["--samples", "64", "--data", "32", "--fit-steps", "8"],
      );
    expect((await again()).code).toBe(0);
    const records = lines<PosteriorRecord>("ivon/posteriors.jsonl");
    expect(records).toHaveLength(6);
    const metrics = lines<MetricsRecord>("ivon/metrics.jsonl");
    for (const { step, member, options, trainingTerms, sets } of records) {
      expect({ options, trainingTerms }).toEqual({ options: { steps: 0 }, trainingTerms: 20 * 8 * 2 });
      // The same posterior as in the run's own evaluation, with 16 draws there.
      const { sets: own } = metrics.find((record) => record.step === step)!.members[member!];
      const ratio = sets.unseenTasks!.mutualInformation / own.unseenTasks!.posterior!.mutualInformation;
      expect(ratio).toBeGreaterThan(0.6);
      expect(ratio).toBeLessThan(1.6);
    }
    const report = readFileSync(join(root, "ivon", "report.html"), "utf8");
    expect(report).toContain("IVON is the posterior that the run itself trained");

    // An ensemble of its checkpoints is of their means, not of what the members predict with.
    const named = await cli("posterior", "ivon", "--methods", "ensemble", "--steps", "20", "--json");
    const { methods } = JSON.parse(named.stdout);
    expect(methods).toMatchObject([{ method: "ensemble", name: "ensemble of mean weights" }]);
    const ensemble = lines<PosteriorRecord>("ivon/posteriors.jsonl").at(-1)!;
    expect(ensemble).toMatchObject({ method: "ensemble", name: "ensemble of mean weights" });
    const page = readFileSync(join(root, "ivon", "report.html"), "utf8");
    expect(page).toContain('<th scope="row">ensemble of mean weights</th>');
    expect(page).toContain("ensemble of mean weights: the members predict once each");
    expect(page).toContain("separate trainings, each the mean over 16 samples of its own posterior");
    unlinkSync(join(root, "ivon", "posteriors.jsonl"));
    expect((await again()).code).toBe(0);

    // A checkpoint without it is one to go on from.
    unlinkSync(join(root, "ivon", ivonFile({ step: 10, member: 0 })));
    expect((await again()).code).toBe(0);
    const [more, ...others] = lines<PosteriorRecord>("ivon/posteriors.jsonl").slice(6);
    expect(others).toEqual([]);
    expect(more).toMatchObject({ step: 10, member: 0, options: { steps: 8 } });
  });

  it("posterior: prior precisions a layer, as records of their own", async () => {
    cpSync(join(root, "run"), join(root, "layers"), { recursive: true });
    writeFileSync(join(root, "layers", "posteriors.jsonl"), "");
    const one = (...more: string[]) =>
      cli(
        ...["posterior", "layers", "--methods", "laplace-kfac,laplace-low-rank", "--members", "1"],
        ...["--samples", "4", "--data", "32", "--steps", "20", ...more],
      );
    expect((await one()).code).toBe(0);
    expect((await one("--prior-structure", "scalar")).code).toBe(0);
    expect(lines("layers/posteriors.jsonl")).toHaveLength(2);
    expect((await one("--prior-structure", "blockwise")).code).toBe(0);
    const records = lines<PosteriorRecord>("layers/posteriors.jsonl");
    expect(records).toHaveLength(4);
    for (const { method, options, laplace } of records) {
      const same = records.filter((record) => record.method === method);
      expect(same).toHaveLength(2);
      if (!("priorStructure" in options)) {
        expect(laplace).not.toHaveProperty("priorPrecisions");
        continue;
      }
      expect(Object.keys(laplace!.priorPrecisions!)).toEqual([
        "embeddings",
        "transformer.h.0",
        "unembedding",
      ]);
      // The single precision is one of the choices.
      const [single] = same.filter((record) => record.settings !== same.at(-1)!.settings);
      expect(laplace!.logMarginalLikelihood).toBeGreaterThan(single.laplace!.logMarginalLikelihood - 1e-6);
    }
  });

  describe("saved posteriors", () => {
    const file = join(root, "kfac.safetensors");
    const saved = join(root, "saved");
    const choice = {
      ...({ methods: ["laplace-kfac"], steps: [20], checkpoints: 0, members: 1 } as const),
      settings: { ...DEFAULT_SETTINGS, samples: 4, data: 32 },
    };
    const sets = ({ records: [record] }: { records: PosteriorRecord[] }) => record.sets;
    let first: Awaited<ReturnType<typeof savePosterior>>;

    beforeAll(async () => {
      cpSync(join(root, "run"), saved, { recursive: true });
      writeFileSync(join(saved, "posteriors.jsonl"), "");
      first = await savePosterior(saved, file, choice);
    });

    it("are recorded once, as without saving", async () => {
      const [record] = lines<PosteriorRecord>("saved/posteriors.jsonl");
      expect(record).toMatchObject({ method: "laplace-kfac", step: 20, member: 0, samples: 4 });
      expect(record.sets).toEqual(sets(first));
      unlinkSync(file);
      await savePosterior(saved, file, choice);
      expect(lines("saved/posteriors.jsonl")).toHaveLength(1);
      const { records } = await runPosteriors(saved, { ...choice, workers: 1 });
      expect(records.map((each) => each.sets)).toEqual([sets(first)]);
      expect(lines("saved/posteriors.jsonl")).toHaveLength(1);
    });

    it("give the same predictions to the last bit, or others of another number of draws", async () => {
      const loaded = await askSavedPosterior(saved, file, {});
      expect(sets(loaded)).toEqual(sets(first));
      expect(loaded.records[0].laplace).toEqual(first.records[0].laplace);
      await expect(askSavedPosterior(saved, file, { samples: 1e12 })).rejects.toThrow(/of memory hold/);
      const more = await askSavedPosterior(saved, file, { samples: 9 });
      expect(more.records[0].samples).toBe(9);
      expect(sets(more)).not.toEqual(sets(first));
    });

    it("predict a user's prompts", async () => {
      const found = await findCheckpoints(join(saved, checkpointFile({ step: 20, member: 0 })));
      const model = await readModel(found);
      const prompts = parsePrompts("1,2,3,4", "csv", model.task, "p.csv");
      const posterior = { ...(await readPosterior(file, "posterior")), samples: 4 };
      const predicted = () => predictPrompts(found, model, prompts, "last", posterior);
      const [prediction] = await predicted();
      expect(prediction.mutualInformation).toBeGreaterThan(0);
      expect(prediction.probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      expect(await predicted()).toEqual([prediction]);
      const endless = predictPrompts(found, model, prompts, "last", { ...posterior, samples: 1e15 });
      await expect(endless).rejects.toThrow(/^samples: got 1000000000000000, must be at most \d+/);
      const other = await findCheckpoints(join(saved, checkpointFile({ step: 10, member: 0 })));
      await expect(predictPrompts(other, model, prompts, "last", posterior)).rejects.toThrow(
        /the posterior is of member 0 at step 20, and not of the checkpoints given, .*step-00000010/,
      );
    });

    it("are of one posterior, one run and one checkpoint", async () => {
      await expect(savePosterior(saved, file, choice)).rejects.toThrow(/save: .* is there already/);
      const nowhere = join(root, "no", "folder", "p");
      for (const [place, why] of [
        [nowhere, /save: .*: ENOENT/],
        [join(saved, "config.json", "p"), /save: .*: (ENOTDIR|.*config\.json is not a directory)/],
        [join(root, "loop"), /save: .*loop is there already/],
      ] as const) {
        if (place.endsWith("loop")) symlinkSync("loop", place);
        let begun = false;
        const started = () => {
          begun = true;
        };
        const saving = savePosterior(saved, place, { ...choice, observer: { started } });
        await expect(saving).rejects.toThrow(why);
        expect(begun).toBe(false);
      }
      const several = savePosterior(saved, join(root, "new"), { ...choice, steps: "all" });
      await expect(several).rejects.toThrow(/save: .*new would hold 3 posteriors, must be one: choose one/);
      expect(existsSync(join(root, "new"))).toBe(false);
      const load = (run: string, path: string) => askSavedPosterior(join(root, run), path, {});
      await expect(load("ivon", file)).rejects.toThrow(/load: .* is a posterior of another run/);
      await expect(load("saved", join(saved, "config.json"))).rejects.toThrow(/not a valid safetensors file/);
      await expect(load("saved", join(root, "nothing"))).rejects.toThrow(/load: .*ENOENT/);
      await expect(load("saved", saved)).rejects.toThrow(`load: ${saved}: EISDIR`);
      const changed = join(root, "changed");
      cpSync(saved, changed, { recursive: true });
      const { config } = JSON.parse(readFileSync(join(changed, "config.json"), "utf8"));
      const core = await loadCoreModule(config.math);
      const { parameters: table } = instantiateTransformer(core, transformerShape(config), {
        optimizer: "none",
      });
      const key = { step: 20, member: 0 };
      const parameters = await readCheckpoint(changed, key, table, null);
      parameters[0] += 1;
      const bytes = encodeCheckpoint(key, parameters, table, runHash(config));
      writeFileSync(join(changed, checkpointFile(key)), bytes);
      await expect(load("changed", file)).rejects.toThrow(/is of other checkpoints than those of step 20/);
    });

    it("with any bit changed are refused", async () => {
      const damaged = join(root, "damaged");
      const bytes = readFileSync(file);
      for (const share of [0.05, 0.3, 0.6, 0.9, 0.9999]) {
        const changed = Buffer.from(bytes);
        changed[Math.floor(share * bytes.length)] ^= 4;
        writeFileSync(damaged, changed);
        await expect(askSavedPosterior(saved, damaged, {})).rejects.toThrow(`load: ${damaged}: `);
        await expect(readPosterior(damaged, "posterior")).rejects.toThrow(`posterior: ${damaged}: `);
      }
    });

    it("from the command line", async () => {
      const { code, stdout } = await cli("posterior", "saved", "--load", file, "--json", "--quiet");
      expect(code).toBe(0);
      expect(JSON.parse(stdout).methods[0].points[0].mean.mutualInformation).toBe(
        sets(first).unseenTasks!.mutualInformation,
      );
      writeFileSync(join(root, "prompts.csv"), "1,2,3,4\n");
      const predicted = await cli(
        ...["predict", join("saved", checkpointFile({ step: 20, member: 0 })), "prompts.csv"],
        ...["--posterior", file, "--samples", "7"],
      );
      expect(predicted.code).toBe(0);
      expect(JSON.parse(predicted.stdout).mutualInformation).toBeGreaterThan(0);
    });
  });

  it("spectrum: eigenvalues, trace, density and learning coefficient", async () => {
    const args = ["spectrum", "run", "--k", "3", "--data", "32", "--llc", "--steps", "0,20"];
    const { code, stdout } = await cli(...args);
    expect(code).toBe(0);
    expect(stdout).toContain("| hessian ");
    const records = lines<SpectrumRecord>("run/spectrum.jsonl");
    expect(records.map(({ operator, step }) => `${operator} ${step}`).sort()).toEqual([
      ...["ggn 0", "ggn 20", "hessian 0", "hessian 20"],
    ]);
    for (const { operator, largest, smallest, trace, density, llc } of records) {
      expect(largest).toHaveLength(3);
      expect(largest[0]).toBeGreaterThanOrEqual(largest[1]);
      expect(trace.estimate).toBeGreaterThan(operator === "ggn" ? largest[0] : Number.NEGATIVE_INFINITY);
      for (const { weights } of density) expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      expect(smallest === null).toBe(operator === "ggn");
      expect(llc !== null).toBe(operator === "ggn");
    }
    expect((await cli(...args, "--json", "--quiet")).code).toBe(0);
    expect(lines("run/spectrum.jsonl")).toHaveLength(4);
    expect(readFileSync(join(root, "run", "report.html"), "utf8")).toContain("Spectrum of the GGN");
  });

  it("spectrum: by block, besides the same numbers as without", async () => {
    const args = ["spectrum", "run", "--k", "3", "--data", "32", "--steps", "20", "--by", "block"];
    const { code, stdout } = await cli(...args);
    expect(code).toBe(0);
    expect(stdout).toContain("The same by block");
    expect(stdout).toMatch(/\| +embeddings \|/);
    const records = lines<SpectrumRecord>("run/spectrum.jsonl");
    const blocks = records.filter(({ groups }) => groups);
    expect(blocks.map(({ operator, groups }) => [operator, groups!.length])).toEqual(
      expect.arrayContaining([
        ["ggn", 3],
        ["hessian", 3],
      ]),
    );
    for (const { operator, step, trace, largest } of blocks) {
      const same = records.find((r) => !r.groups && r.operator === operator && r.step === step)!;
      expect({ trace, largest }).toEqual({ trace: same.trace, largest: same.largest });
    }
    expect(readFileSync(join(root, "run", "report.html"), "utf8")).toContain("The same by block");
  });

  it.each<[string[], RegExp]>([
    [["posterior", "nowhere"], /there is no run in nowhere/],
    [["posterior", "run", "--methods", "swagg"], /unknown method "swagg"; did you mean "swag"/],
    [["posterior", "run", "--steps", "7"], /no checkpoint at step 7; the nearest are at 0 and 10/],
    [
      ["posterior", "run", "--samples", "1e12"],
      /samples: got 1000000000000, must be at most \d+, which .* of memory/,
    ],
    [["posterior", "run", "--data", "1e14"], /data: got 1.*, must be at most \d+, which .* of memory hold/],
    [["spectrum", "run", "--data", "1e14"], /data: got 1.*, must be at most \d+, which .* of memory hold/],
    [["posterior", "run", "--samples", "0"], /--samples: got 0, must be a positive integer/],
    [["posterior", "run", "--members", "none"], /--members: got "none", must be all or/],
    [["posterior", "run", "--dropout", "1"], /--dropout: got 1, must be strictly between 0 and 1/],
    [
      ["posterior", "run", "--methods", "swag,sgld", "--fit-steps", "20"],
      /sgld: steps: got 20, must be at least 43, .* S = 32 draws \(its options follow fitSteps, samples\)/,
    ],
    [
      ["posterior", "run", "--load", "f", "--steps", "10"],
      /--steps: got 10, must be left out with --load: the file says what the posterior is/,
    ],
    [["posterior", "run", "--methods", "swag", "--fit-steps", "1"], /swag: steps: got 1, must be/],
    [
      ["posterior", "run", "--methods", "laplace-kfac", "--prior-structure", "diag"],
      /laplace-kfac: priorStructure: got diag, must be one of scalar, layerwise, blockwise with kron/,
    ],
    [
      ["posterior", "run", "--methods", "swag", "--prior-structure", "layerwise"],
      /priorStructure: got layerwise, must be left out with swag: it is for laplace-kfac, laplace-low-rank, /,
    ],
    [["spectrum", "run", "--operator", "hesian"], /unknown operator "hesian"; did you mean "hessian"/],
    [["spectrum", "run", "--k", "100000"], /k: got 100000, must be at most \d+/],
  ])("%j: usage error", async (args, message) => {
    const { code, stderr } = await cli(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(join(root, "nowhere"))).toBe(false);
  });
});
