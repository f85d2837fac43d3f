/** What is printed and recorded: no estimate that fails its diagnostics, no NaN, and for what there is not, why. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { compareMethods, fallOf } from "../src/analysis/compare.ts";
import type { PosteriorRecord } from "../src/analysis/posterior-job.ts";
import { type SpectrumRecord, withoutFailedEstimate } from "../src/analysis/spectrum-job.ts";
import { estimateLearningCoefficient, failedDiagnostics } from "../src/curvature/llc.ts";
import { matrixOperator } from "../src/curvature/operators.ts";
import { hutchinsonDiagonal } from "../src/curvature/trace.ts";
import { EmpiricalPosterior } from "../src/posterior/empirical.ts";
import { fitLaplace } from "../src/posterior/laplace/fit.ts";
import { normals, uniform, uniformIndex } from "../src/random.ts";
import { methodInWords } from "../src/report/posterior-section.ts";
import { calibrationTable, collapseTable, missingFalls, warningsOf } from "../src/report/posterior-tables.ts";
import { failedCoefficients, spectrumTable } from "../src/report/spectrum-table.ts";
import { curvesCsv, studyJson } from "../src/report/theory/report.ts";
import { study } from "../src/report/theory/study.ts";
import { readParameters } from "../src/run/checkpoints.ts";
import { encodeSafetensors } from "../src/safetensors.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { tinyTwin } from "./fixtures/curvature-twin.ts";
import { testStream } from "./fixtures/rng.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const settled = { rHat: 1.01, effectiveSampleSize: 80, drift: 0.1, belowBase: 0 };
const chains = { llc: 20, standardError: 1, diagnostics: settled };

describe("a learning coefficient", () => {
  it("is one where its diagnostics are those of settled chains", () => {
    expect(failedDiagnostics(chains, 1000)).toEqual([]);
    expect(failedDiagnostics({ ...chains, standardError: null }, 1000)).toEqual([]);
  });

  it.each<[string, object, RegExp]>([
    [
      "below the loss of the checkpoint",
      { llc: -57.7, diagnostics: { ...settled, belowBase: 1 } },
      /100 % of the losses lie below/,
    ],
    ["negative", { llc: -0.5 }, /below 0, which no learning coefficient is/],
    ["above half the parameters", { llc: 503 }, /above half the number of parameters/],
    ["unsettled", { diagnostics: { ...settled, rHat: 1.21 } }, /R-hat is 1.21, above 1.1/],
    [
      "drifting",
      { diagnostics: { ...settled, drift: -1.5 } },
      /drift in standard deviations is -1.50, beyond 1/,
    ],
    [
      "of few independent draws",
      { diagnostics: { ...settled, effectiveSampleSize: 4 } },
      /sample size is 4.00, below 10/,
    ],
    [
      "of too few draws to tell",
      { diagnostics: { ...settled, rHat: null, drift: Number.NaN } },
      /R-hat is unknown: too few draws/,
    ],
  ])("is none where it is %s", (_, change, why) => {
    const failures = failedDiagnostics({ ...chains, ...change }, 1000);
    expect(failures.join("; ")).toMatch(why);
    const record = spectrum({ ...chains, ...change });
    const shown = withoutFailedEstimate(record);
    expect(shown.llc).toMatchObject({ llc: null, chainMean: record.llc!.llc, failures });
    const [row] = spectrumTable([record]).rows;
    expect(row).toContain("none");
    expect(row.join(" ")).not.toMatch(/NaN|null|undefined/);
    expect(failedCoefficients([record])[0]).toMatch(why);
  });

  it("at a maximum says why there is none, from the chains on", () => {
    const hill = (theta: Float64Array) => ({
      loss: 1 - theta.reduce((sum, x) => sum + x * x, 0),
      gradient: theta.map((x) => -2 * x),
    });
    const { llc, failures } = estimateLearningCoefficient(new Float64Array(5), 1, hill, {
      ...{ trainingTerms: 100, localisation: 100, stepSize: 1e-3, burnIn: 200, draws: 400, seed: 1 },
    });
    expect(llc).toBeLessThan(0);
    expect(failures[0]).toMatch(/100 % of the losses lie below that of the checkpoint, which is no minimum/);
  });

  it("is shown with all of its diagnostics", () => {
    const table = spectrumTable([spectrum(chains)]);
    expect(table.head).toEqual(expect.arrayContaining(["LLC", "R-hat", "ESS", "drift", "below"]));
    expect(table.rows[0]).toEqual(
      expect.arrayContaining(["20.0 ± 1.00", "1.01", "80.0", "0.100", "0.0\u202f%"]),
    );
    expect(failedCoefficients([spectrum(chains)])).toEqual([]);
  });
});

function spectrum(llc: object, change: Partial<SpectrumRecord> = {}): SpectrumRecord {
  return {
    ...{ operator: "hessian", step: 100, member: 0, k: 3, batches: 2, estimateLlc: true, settings: "" },
    ...{ terms: 2304, parameters: 1000, largest: [10, 5, 2], converged: true, smallest: -0.5 },
    ...{ trace: { estimate: 40, standardError: 1 }, density: [], seconds: 3 },
    llc: { trainingTerms: 100, nBeta: 20, localisation: 100, stepSize: 1e-3, ...llc },
    ...change,
  } as SpectrumRecord;
}

it("eigenvalues whose search did not end are bounds", () => {
  const [row] = spectrumTable([spectrum(chains, { converged: false })]).rows;
  expect(row).toEqual(expect.arrayContaining(["≥ 10.0", "≥ 5.00", "≥ 2.00", "≥ 0.0500"]));
  const none = spectrumTable([spectrum(chains, { converged: false, smallest: -1e-4 })]).rows[0];
  expect(none).toContain("not found");
  const negative = spectrumTable([spectrum(chains, { largest: [-1, -2, -3], smallest: -9 })]).rows[0];
  expect(negative).toContain("all");
  const single = spectrumTable([spectrum(chains, { trace: { estimate: 40, standardError: Number.NaN } })]);
  expect(single.rows[0]).toContain("40.0");
});

describe("the comparison of methods", () => {
  const record = (samples: number, step: number, information: number, more: object = {}) =>
    ({
      ...{ method: "laplace-kfac", step, member: 0, settings: "", samples, trainingTerms: 1000 },
      ...{ laplace: null, fitSeconds: 1, predictSeconds: 1 },
      sets: {
        unseenTasks: {
          ...{ mutualInformation: information, totalEntropy: 1 + information, expectedEntropy: 1 },
          ...{ disagreement: 0, accuracy: 0.5, nll: 1, brier: 0.5, ece: 0.1 },
        },
      },
      ...more,
    }) as unknown as PosteriorRecord;
  const compare = (...records: PosteriorRecord[]) => compareMethods(records, { classes: 5, grokStep: 100 });
  const run = { events: { grokStep: 100 }, summary: null } as never;

  it.each<[string, PosteriorRecord[], RegExp]>([
    ["one draw", [record(1, 100, 0), record(1, 200, 0)], /between draws, and there is one/],
    ["draws that agree", [record(8, 100, 0), record(8, 200, 0)], /draws agree entirely/],
    ["one checkpoint", [record(8, 100, 0.4)], /there is one checkpoint/],
    ["no fall", [record(8, 100, 0.4), record(8, 200, 0.3)], /does not fall to half/],
  ])("%s: no fall, and why", (_, records, why) => {
    const methods = compare(...records);
    expect(methods[0].fall).toBeNull();
    expect(methods[0].noFall).toMatch(why);
    expect(JSON.stringify(methods)).not.toMatch(/"(start|end|steps)":null/);
    const texts = [collapseTable(methods, run), calibrationTable(methods)].map((table) =>
      JSON.stringify(table),
    );
    for (const text of [...texts, methodInWords(methods[0], run)])
      expect(text).not.toMatch(/NaN|undefined|null|Infinity/);
    expect(missingFalls(methods)).toEqual([expect.stringMatching(why)]);
  });

  it("one draw has no mutual information to print", () => {
    const [method] = compare(record(1, 100, 0), record(1, 200, 0));
    expect(method).toMatchObject({ peakStep: null, peakMutualInformation: null });
    expect(calibrationTable([method])!.rows[0][5]).toBe("–");
    expect(
      fallOf([
        { step: 0, value: 0 },
        { step: 1, value: 0 },
      ]),
    ).toBeNull();
    expect(
      fallOf([
        { step: 0, value: Number.NaN },
        { step: 1, value: 0 },
      ]),
    ).toBeNull();
  });

  it("says what speaks against an evidence", () => {
    const laplace = { logMarginalLikelihood: -5, priorPrecision: 1e-10, effectiveParameters: 3 };
    const [method] = compare(record(8, 1500, 0.4, { laplace: { ...laplace, warnings: ["it is the end"] } }));
    expect(warningsOf([method])).toEqual(["laplace-kfac at step 1\u202f500: it is the end."]);
    // Of an earlier version, without.
    expect(compare(record(8, 100, 0.4, { laplace }))[0].points[0].warnings).toEqual([]);
  });
});

describe("a theory study", () => {
  it("says why values are undefined, and leaves their cells empty", () => {
    const { notes, asymptotics } = JSON.parse(studyJson(study({ lambda: 1.3 })));
    expect(asymptotics.delay).toBeNull();
    expect(notes[0]).toMatch(/asymptotics.delay .* are null: they are defined for lambda below 1/);
    const silent = study({ sn2: 0 });
    expect(JSON.parse(studyJson(silent)).notes).toEqual([
      expect.stringMatching(/MI with fixed noise is null/),
    ]);
    expect(curvesCsv(silent)).not.toMatch(/NaN/);
    expect(JSON.parse(studyJson(study())).notes).toEqual([]);
  });
});

describe("generators of random numbers", () => {
  const impostors = [
    { next: Math.random },
    { next: () => 2 ** 31 },
    { next: () => Number.NaN },
    { next: () => "7" },
  ] as never[];

  it("that give anything but integers of 32 bits are refused", () => {
    const { model, parameters, batches } = tinyTwin(81);
    const posterior = fitLaplace(model, parameters, batches, { priorPrecision: 1 });
    const ensemble = new EmpiricalPosterior("ensemble", [parameters, parameters]);
    for (const rng of impostors) {
      for (const use of [
        () => normals(rng, new Float64Array(3)),
        () => uniform(rng),
        () => uniformIndex(rng, 3),
        () => posterior.sample(rng),
        () => posterior.predict(model, batches[0], { nSamples: 2, rng }),
        () => ensemble.sample(rng),
      ])
        expect(use).toThrow(/number of rng: got .*, must be an integer from -2147483648/);
    }
    for (const none of [{}, null, undefined] as never[])
      expect(() => normals(none, new Float64Array(1))).toThrow(
        /rng: got .*, must be a generator of pure-rand/,
      );
    expect(() => normals(testStream(1), new Float64Array(9))).not.toThrow();
  });
});

it("the standard error of a diagonal does not cancel", () => {
  // Products of 1e8 + 1 and 1e8 - 1: their squares differ in the last digits.
  const operator = matrixOperator(Float64Array.of(1e8, 1, 1, 1e8), 2);
  const { estimate, standardError } = hutchinsonDiagonal(operator, { samples: 400, rng: testStream(2) });
  expect(Math.abs(estimate[0] - 1e8)).toBeLessThan(4 * standardError[0]);
  expect(standardError[0]).toBeCloseTo(1 / Math.sqrt(400), 2);
});

describe("a checkpoint file", () => {
  const table = [
    { name: "a.weight", shape: [2, 3], offset: 0, length: 6 },
    { name: "b.weight", shape: [6], offset: 6, length: 6 },
  ];
  const flat = Float32Array.from({ length: 12 }, (_, i) => i);

  it.each<[string, number[], string]>([
    ["a transposed matrix", [3, 2], "a.weight"],
    ["a matrix as a vector", [6], "a.weight"],
    ["a vector as a matrix", [1, 6], "b.weight"],
  ])("%s is refused, although it has as many numbers", async (_, shape, name) => {
    const file = join(root, "checkpoint.safetensors");
    const write = (shapes: Record<string, number[]>) =>
      writeFileSync(
        file,
        encodeSafetensors(
          table.map((tensor) => [
            tensor.name,
            {
              shape: shapes[tensor.name] ?? tensor.shape,
              data: flat.subarray(tensor.offset, tensor.offset + tensor.length),
            },
          ]),
        ),
      );
    write({});
    expect(await readParameters(file, table)).toEqual(flat);
    write({ [name]: shape });
    await expect(readParameters(file, table)).rejects.toThrow(
      new RegExp(`tensor ${name}: got shape \\[${shape}\\], must be`),
    );
  });
});

describe("epigrok", () => {
  const settings = [
    ...FRESH_ASSIGNMENTS,
    ...["task.modulus=5", "task.trainTasks=3", "task.examples=2"],
    ...["model.dModel=8", "model.nHeads=2", "model.nLayers=1", "model.dMlp=8"],
    ...["training.steps=20", "training.batchSize=8", "training.warmupSteps=2"],
    ...["evaluation.every=10", "evaluation.prompts=4", "ensemble.members=1"],
  ].flatMap((assignment) => ["--set", assignment]);
  const cli = (...args: string[]) => epigrok(args, { cwd: root });

  beforeAll(async () => {
    expect((await cli("run", ...settings, "--out", "run", "--quiet")).code).toBe(0);
  }, 60_000);

  it("a run of one member, posteriors of one draw and the untrained checkpoint: no NaN, nothing impossible", async () => {
    const quiet = ["--data", "32", "--quiet", "--members", "1"];
    const options = [...quiet, "--steps", "all", "--samples", "1", "--fit-steps", "8"];
    const json = await cli("posterior", "run", ...options, "--json");
    expect(json.code).toBe(0);
    for (const { fall, noFall, peakStep } of JSON.parse(json.stdout).methods) {
      expect({ fall, peakStep }).toEqual({ fall: null, peakStep: null });
      expect(noFall).toMatch(/there is one/);
    }
    const text = (await cli("posterior", "run", ...options)).stdout;
    const curvature = await cli("spectrum", "run", ...quiet, "--k", "3", "--llc", "--steps", "0,20");
    // Configuration and environment, as they are stored, have null for what is not set.
    const report = readFileSync(join(root, "run", "report.html"), "utf8").replace(
      /<details.*?<\/details>/gs,
      "",
    );
    for (const shown of [text, curvature.stdout, report])
      expect(shown.match(/.{0,60}\b(NaN|null|undefined)\b.{0,60}/)?.[0]).toBeUndefined();
    const records = readFileSync(join(root, "run", "spectrum.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    for (const { llc } of records.map((line) => JSON.parse(line) as SpectrumRecord)) {
      if (llc === null) continue;
      expect(llc.llc === null).toBe(llc.failures!.length > 0);
    }
    expect(curvature.stdout).toMatch(/LLC \| R-hat \| ESS/);
  });

  it.each<[string[], RegExp]>([
    [["posterior", "run", "--members", "2"], /members: got 2, must be at most 1, the members of the run/],
    [["spectrum", "run", "--members", "3"], /members: got 3, must be at most 1/],
    [
      ["posterior", "run", "--methods", "swag", "--dropout", "0.2"],
      /dropout: got 0.2, must be left out with swag/,
    ],
    [
      ["posterior", "run", "--methods", "dropout", "--fit-steps", "9"],
      /fitSteps: got 9, must be left out with dropout/,
    ],
  ])("%j: usage error", async (args, message) => {
    const { code, stderr } = await cli(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it("an SGLD chain too short for its draws is refused, not lengthened", async () => {
    const args = [
      "--methods",
      "sgld",
      "--fit-steps",
      "9",
      "--samples",
      "8",
      "--members",
      "1",
      "--data",
      "32",
    ];
    const { code, stderr } = await cli("posterior", "run", ...args);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/steps: got 9, must be at least 11, with a quarter of burn-in and S = 8 draws/);
  });
});
