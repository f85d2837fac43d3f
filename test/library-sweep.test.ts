/**
 * Every public function and class, called with each argument, and each entry of its options, replaced by what is none:
 * the answer is a result of finite numbers, or an error that names the argument.
 */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import * as epigrok from "../src/index.ts";
import * as posterior from "../src/posterior/index.ts";
import * as theory from "../src/theory/index.ts";
import { transformerShape } from "../src/training/model.ts";
import { fakePool } from "./fixtures/fake-trainer.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const nowhere = join(root, "nowhere");
const config = epigrok.createConfig({
  task: { modulus: 5, trainTasks: 2, examples: 2, promptPool: 0 },
  model: { dModel: 4, nHeads: 2, nLayers: 1, dMlp: 4 },
  training: { steps: 4, batchSize: 2 },
  evaluation: { every: 2, prompts: 2 },
  ensemble: { members: 2 },
});
const shape = {
  dVocab: 3,
  dModel: 4,
  nHeads: 2,
  nLayers: 1,
  dMlp: 4,
  nCtx: 5,
  actFn: "relu" as const,
  tiedEmbeddings: false,
};
const model = await epigrok.createTransformer(shape, { curvature: true, kronecker: true });
const flat = () => Float32Array.from({ length: model.parameterCount }, (_, i) => Math.sin(i) / 3);
model.setParameters(flat());
const batch = () => ({
  ...{ tokens: Int32Array.of(0, 1, 2, 0, 1), batchSize: 1, length: 5 },
  ...{ positions: Int32Array.of(1, 4), targets: Int32Array.of(2, 0) },
});
const rng = () => posterior.stream(1, 0, "evaluation");
const two = () => Float64Array.of(2, 0.5, 0.5, 1);
const operator = () => posterior.matrixOperator(two(), 2);
const spectral = () => posterior.SpectralCurvature.fromMatrix(two(), 2);
const kronecker = () => posterior.KroneckerCurvature.fromFactors(two(), 2, two(), 2);
const diagonal = () => new posterior.DiagonalCurvature(Float64Array.of(1, 2));
const groups = () => [
  { name: "a", offset: 0, length: 1 },
  { name: "b", offset: 1, length: 1 },
];
const evidence = () => ({ curvature: spectral(), logLikelihood: -1, squaredNorm: 1 });
const grouped = () => ({ curvature: spectral(), logLikelihood: -1, groups: groups(), squaredNorms: [1, 1] });
const ivon = () => new posterior.IvonPosterior(Float32Array.of(1, 2), Float64Array.of(1, 1));
const saved = () => ivon().save();
const origin = {
  ...{ method: "ivon" as const, options: {}, step: 1, member: 0, checkpoints: "", trainingTerms: 10 },
  ...{ seed: 0, samples: 1 },
};
const posteriorFile = () => posterior.encodePosterior(ivon(), origin);
const rows = () => ({ shape: [2, 2, 2, 2], data: new Float64Array(16).fill(0.5) });
const evaluation = () => ({
  step: 1,
  predictions: { shape: [2, 2, 2], data: new Float64Array(8).fill(0.5) },
});
const observed = () =>
  [0, 1, 2].map((step) => ({
    step,
    members: 2,
    classes: 3,
    mutualInformation: 0.1,
    totalEntropy: 0.6,
    expectedEntropy: 0.5,
    disagreement: 0.2,
  }));
const context = () => ({
  ...{ modulus: 3, variables: 1, constantTerm: false, zeroTask: true, contextNoise: 0.1 },
  ...{ prior: [[1], [2]], inputs: [[1], [2]], outputs: [1, 2] },
});
const quadratic = (at: Float64Array) => ({ loss: at[0] ** 2 + at[1] ** 2, gradient: at.map((x) => 2 * x) });
const xy = () => Float64Array.of(1, 2);
const chains = {
  trainingTerms: 10,
  localisation: 1,
  stepSize: 0.01,
  chains: 2,
  burnIn: 1,
  draws: 5,
  seed: 0,
};

const density = () => posterior.spectralDensity(operator(), { probes: 2, steps: 2, rng: rng() });
const product = (made: posterior.LinearOperator) => made.matvec(new Float64Array(made.size).fill(1));
const core = await loadCoreModule("fast");
const laplace = () =>
  posterior.fitLaplace(model, flat(), [batch()], { priorPrecision: 1, hessianStructure: "diag" });
const probe = () => ({
  batch: { targets: Int32Array.of(1), batchSize: 1 },
  references: { M: Float64Array.of(0.5, 0.5), G: Float64Array.of(0.3, 0.7) },
});
const request = () => ({
  ...{ config, method: "laplace-last-layer", member: 0, step: 1, checkpoints: [new Float32Array(count)] },
  ...{ data: posterior.recentBatches(config, 0, 2, 1), probes: [], nSamples: 1, seed: 0, options: {} },
});
const count = (await epigrok.createTransformer(transformerShape(config))).parameterCount;

/** Arguments that are right, and how to call it if it is no function. */
type Call = [good: () => unknown[], call?: (...args: never[]) => unknown];
const made =
  (of: unknown, then: (made: never) => unknown = (x) => x): Call[1] =>
  (...args) =>
    then(new (of as new (...args: never[]) => never)(...args));
const labelled = (): unknown[] => [Float64Array.of(0.2, 0.8), Int32Array.of(1)];
const pair = (): unknown[] => [
  [0.5, 0.5],
  [0.1, 0.9],
];
const detector = { peakShare: 0.25, collapseFraction: 0.5, uniformShare: 0.9, sustain: 3 };
const settings = { samples: 2, data: 10, dropout: null, fitSteps: 4, priorStructure: null };
const lambda = { lambda: 0.5 };
const noise = { w2: 1, k2: 0, sn2: 0.1, sig2: 0.1, wp2: 1, u0: 1 };
const learned = { w: 1, sn2: 0.1, u0: 0.1 };
const one = (options: object): Call => [() => [{ ...options }]];

const MAIN: Record<string, Call> = {
  createTransformer: [() => [{ ...shape }, { math: "fast" }]],
  enableWideSimd: [() => []],
  createConfig: [() => [{ seed: 1 }, { preset: "quick" }]],
  listPresets: [() => []],
  runPosteriors: [
    () => [
      nowhere,
      {
        ...{ steps: "all", checkpoints: 0, members: "all", methods: ["swag"], settings: { ...settings } },
        ...{ workers: 1, signal: new AbortController().signal, observer: {} },
      },
    ],
  ],
  runSpectra: [
    () => [
      nowhere,
      {
        ...{ steps: "all", checkpoints: 0, members: 1, operators: ["ggn"], data: 1, k: 1, llc: false },
        ...{ by: "layer", workers: 1, signal: new AbortController().signal, observer: {} },
      },
    ],
  ],
  exportData: [() => [nowhere, { format: "csv", out: join(root, "csv"), metrics: false, overwrite: false }]],
  readRun: [() => [nowhere]],
  writeFigures: [() => [nowhere, join(root, "f"), { theme: "auto" }]],
  writeReport: [() => [[nowhere], { out: join(root, "report.html") }]],
  writeSweepReport: [
    () => [nowhere, { out: join(root, "r.html"), x: "seed", y: "seed", values: ["accuracy"] }],
  ],
  loadCheckpoint: [() => [nowhere, { step: 1, member: 0 }, { optimizer: "none" }]],
  readCheckpoint: [() => [nowhere, { step: 1, member: 0 }]],
  Diagnosis: [() => [{ logits: false, chance: 0.1, ceiling: 1 }], made(epigrok.Diagnosis)],
  "Diagnosis.push": [
    () => [{ ...evaluation(), seen: { ...evaluation(), labels: [0, 1] }, labels: [0, 1] }],
    (e) => new epigrok.Diagnosis().push(e),
  ],
  diagnose: one({ predictions: rows(), steps: [0, 1], labels: [0, 1], chance: 0.2 }),
  decodeSafetensors: [() => [posteriorFile()]],
  exactPosterior: [() => [context()]],
  exactPredictive: [() => [{ ...context(), query: [1] }]],
  createProbeSets: one({ task: config.task, seed: 0, evaluation: { prompts: 2 } }),
  accuracy: [labelled],
  adaptiveCalibrationError: [labelled],
  brierScore: [labelled],
  expectedCalibrationError: [labelled],
  negativeLogLikelihood: [labelled],
  decompose: [() => [Float64Array.of(0.5, 0.5), { members: 1, prompts: 1, classes: 2 }]],
  detectGrokking: [() => [observed(), { ...detector }]],
  GrokkingDetector: [() => [{ ...detector }], made(epigrok.GrokkingDetector)],
  "GrokkingDetector.push": [() => [observed()[0]], (o) => new epigrok.GrokkingDetector().push(o)],
  jensenShannon: [pair],
  regret: [pair],
  totalVariation: [pair],
  ensembleMeasures: [() => [[Float64Array.of(0.2, 0.8)], probe()]],
  inWords: [() => [{ code: "twoMembers" }]],
  // Last, since one of the mistakes is a directory, of which there then is a run.
  runEnsemble: [
    () => [
      config,
      {
        ...{ out: join(root, "run"), mode: "resume", workers: 1, createPool: () => fakePool() },
        ...{ overrides: [], commandLine: [], signal: new AbortController().signal, observer: {} },
      },
    ],
  ],
  runSweep: [
    () => [
      { axes: { seed: [] } },
      {
        ...{
          out: join(root, "sweep"),
          workers: 1,
          mixed: false,
          yes: false,
          failFast: false,
          commandLine: [],
        },
        ...{ signal: AbortSignal.abort(), observer: {} },
      },
    ],
  ],
};

const THEORY: Record<string, Call> = {
  criticalHalfTime: [() => []],
  criticalPhi: [() => [0.5, "above"]],
  criticalPsi: [() => [0.5]],
  delayAsymptote: [() => [0.5]],
  elboPeakAsymptote: [() => [0.5, 1, 1]],
  informationLimit: [() => [0.5]],
  informationPlateau: [() => [0.5]],
  thresholdTimes: [() => [0.1]],
  choleskyTrace: one({ t: 1, ...lambda }),
  covarianceFlow: one({ t: 1, ...lambda, parametrisation: "std", u0: 1, d: 10 }),
  naturalGradient: one({ t: 1, ...lambda, ...noise }),
  dataSetEnsemble: one({ t: 1, ...lambda, w2: 1 }),
  initEnsemble: one({ t: 1, ...lambda, k2: 1 }),
  finitePrior: one({ t: [0, 0.1], ...lambda, noise: "elbo", u0: 1, wp2: 1 }),
  fixedNoise: one({ t: 1, ...lambda, ...noise }),
  fixedNoiseLimit: one({ ...lambda, ...noise }),
  labelNoisePeak: [() => [1]],
  labelNoiseVariance: one({ t: 1, ...lambda, sn2: 1 }),
  posteriorTrace: one({ ...lambda, sig2: 1, wp2: 1 }),
  elboNoise: one({ t: 1, ...lambda, ...learned }),
  residualNoise: one({ t: 1, ...lambda, ...learned }),
  trainRegression: one({ d: 2, ...lambda, noiseModel: "elbo", eta: 0.1, times: [0.1], draws: 1, u0: 1 }),
  sampleSpectra: one({ d: 2, N: 2, draws: 1 }),
  simulate: one({ d: 2, N: 4, t: [0.1], noise: "fixed", sn2: 0.1, sig2: 0.1, draws: 1 }),
  maxStepSize: [() => [0.5, 0]],
  resolvent: [() => [1, 0.5]],
  spectral: [() => [1, 0.5]],
  accuracy: [() => [0.1, 0.1]],
  lossThreshold: [() => [0.1, 0.9]],
  collapseTimes: one({ ...lambda, level: 0.1, ...learned }),
  fixedNoiseTimes: one({ ...lambda, threshold: 0.5, ...noise }),
  learnedNoiseTimes: one({ ...lambda, threshold: 0.5, ...learned }),
  peakTimes: one({ ...lambda, ...learned }),
  times: one({ ...lambda, level: 0.1 }),
};

const POSTERIOR: Record<string, Call> = {
  blockOperator: [() => [operator(), groups()[0]]],
  curvatureByGroup: [() => [operator(), groups(), { rng: rng() }]],
  parameterGroups: [() => [model.parameters, "layer"]],
  applyFunction: [() => [operator(), Math.exp, Float64Array.of(1, 2), 2]],
  extremeEigenpairs: [() => [operator(), { k: 1, rng: rng() }]],
  smoothDensity: [() => [density(), [1], 0.1]],
  spectralDensity: [() => [operator(), { probes: 1, steps: 2, rng: rng() }]],
  spectralTrace: [() => [density(), Math.exp]],
  LangevinChain: [
    () => [xy(), { stepSize: 0.1, lossWeight: 1, precision: 1 }],
    made(posterior.LangevinChain, (chain: posterior.LangevinChain) => chain.step(xy(), rng())),
  ],
  "LangevinChain.step": [
    () => [xy(), rng()],
    (gradient, generator) =>
      new posterior.LangevinChain(xy(), { stepSize: 0.1, lossWeight: 1, precision: 1 }).step(
        gradient,
        generator,
      ),
  ],
  estimateLearningCoefficient: [() => [xy(), 1, quadratic, { ...chains }]],
  learningCoefficient: [() => [model, flat(), [batch()], { ...chains }]],
  meanLoss: [() => [model, [batch()]]],
  meanLossAndGradient: [() => [model, [batch()]]],
  totalTerms: [() => [[batch()]]],
  checkDeterminism: [() => [operator(), rng()]],
  denseMatrix: [() => [operator()]],
  fisherOperator: [
    () => [model, [batch()], { fisherType: "mc", mcSamples: 1, rng: rng() }],
    (...args) => product(posterior.fisherOperator(...(args as unknown as [never, never, never]))),
  ],
  ggnOperator: [
    () => [model, [batch()]],
    (...args) => product(posterior.ggnOperator(...(args as unknown as [never, never]))),
  ],
  hessianOperator: [
    () => [model, [batch()]],
    (...args) => product(posterior.hessianOperator(...(args as unknown as [never, never]))),
  ],
  matrixOperator: [() => [two(), 2]],
  scaledOperator: [
    () => [operator(), 2],
    (...args) => product(posterior.scaledOperator(...(args as unknown as [never, never]))),
  ],
  hutchinsonDiagonal: [() => [operator(), { samples: 2, rng: rng() }]],
  hutchinsonTrace: [() => [operator(), { samples: 2, rng: rng() }]],
  hutchPlusPlusTrace: [() => [operator(), { products: 6, rng: rng() }]],
  stream: [() => [1, 0, "evaluation", 0]],
  recentBatches: [() => [config, 0, 2, 1]],
  peakChange: [() => [config.training]],
  EmpiricalPosterior: [
    () => ["ensemble", [Float32Array.of(1, 2)]],
    made(posterior.EmpiricalPosterior, (p: posterior.EmpiricalPosterior) => p.sample(rng())),
  ],
  checkpointDigest: [() => [[Float32Array.of(1, 2)]]],
  decodePosterior: [() => [posteriorFile(), {}]],
  encodePosterior: [() => [ivon(), { ...origin }]],
  fitAndPredict: [() => [{ ...request() }, core]],
  BlockCurvature: [() => [[diagonal()]], made(posterior.BlockCurvature)],
  DiagonalCurvature: [() => [Float64Array.of(1, 2)], made(posterior.DiagonalCurvature)],
  Gaussian: [() => [diagonal(), 1], made(posterior.Gaussian, (g: posterior.Gaussian) => g.logDeterminant())],
  "Gaussian.solve": [() => [Float64Array.of(1, 2)], (v) => new posterior.Gaussian(diagonal(), 1).solve(v)],
  "Gaussian.quadratic": [
    () => [Float64Array.of(1, 2)],
    (v) => new posterior.Gaussian(diagonal(), 1).quadratic(v),
  ],
  KroneckerCurvature: [
    () => [kronecker().left, kronecker().right],
    made(posterior.KroneckerCurvature, (k: posterior.KroneckerCurvature) => k.trace((x) => x)),
  ],
  "KroneckerCurvature.fromFactors": [
    () => [two(), 2, two(), 2],
    (...args) =>
      posterior.KroneckerCurvature.fromFactors(...(args as unknown as [never, never, never, never])),
  ],
  MatrixFreeCurvature: [
    () => [operator(), { steps: 2, probes: 1, seed: 0 }],
    made(posterior.MatrixFreeCurvature, (m: posterior.MatrixFreeCurvature) => m.trace((x) => x)),
  ],
  SpectralCurvature: [
    () => [Float64Array.of(1), [Float64Array.of(1, 0)], 0, 0],
    made(posterior.SpectralCurvature, (m: posterior.SpectralCurvature) => m.trace((x) => x)),
  ],
  "SpectralCurvature.fromMatrix": [
    () => [two(), 2],
    (...args) => posterior.SpectralCurvature.fromMatrix(...(args as unknown as [never, never])),
  ],
  logEvidence: [() => [evidence(), 1]],
  logEvidenceSlope: [() => [evidence(), 1]],
  maximiseEvidence: [() => [evidence()]],
  fitLaplace: [() => [model, flat(), [batch()], { priorPrecision: 1 }]],
  groupedEvidenceSlope: [() => [grouped(), Float64Array.of(1, 1)]],
  logGroupedEvidence: [() => [grouped(), Float64Array.of(1, 1)]],
  maximiseGroupedEvidence: [() => [grouped()]],
  LaplacePosterior: [() => [{ ...laplace().fields }], made(posterior.LaplacePosterior)],
  "LaplacePosterior.predict": [
    () => [model, batch(), { nSamples: 1, rng: rng() }],
    (...args) => laplace().predict(...(args as unknown as [never, never, never])),
  ],
  lastLayerGradients: [() => [model, batch()]],
  loadPosterior: [() => [saved()]],
  DropoutPosterior: [
    () => [flat()],
    made(posterior.DropoutPosterior, (p: posterior.DropoutPosterior) => p.sample(rng())),
  ],
  IvonPosterior: [
    () => [Float32Array.of(1, 2), Float64Array.of(1, 1)],
    made(posterior.IvonPosterior, (p: posterior.IvonPosterior) => p.sample(rng())),
  ],
  "IvonPosterior.sample": [() => [rng()], (generator) => ivon().sample(generator)],
  "IvonPosterior.predict": [
    () => [model, batch(), { nSamples: 1, rng: rng() }],
    (...args) =>
      new posterior.IvonPosterior(flat(), new Float64Array(flat().length).fill(0.01)).predict(
        ...(args as unknown as [never, never, never]),
      ),
  ],
  ivonPosterior: [
    () => [Float32Array.of(1, 2), Float32Array.of(1, 1), { effectiveSampleSize: 10, weightDecay: 1 }],
  ],
  fitSgld: [
    () => [
      xy(),
      xy,
      { stepSize: 0.1, trainingTerms: 10, priorPrecision: 1, burnIn: 1, thinning: 1, draws: 2, rng: rng() },
    ],
  ],
  SwagCollector: [() => [2, 3], made(posterior.SwagCollector)],
  "SwagCollector.collect": [() => [xy()], (v) => new posterior.SwagCollector(2).collect(v)],
  SwagPosterior: [
    () => [Float32Array.of(1, 2), Float64Array.of(1, 1), []],
    made(posterior.SwagPosterior, (p: posterior.SwagPosterior) => p.sample(rng())),
  ],
  MixturePosterior: [
    () => [[ivon()]],
    made(posterior.MixturePosterior, (p: posterior.MixturePosterior) => p.sample(rng())),
  ],
};

/** What they take is no options but data, which may hold more. */
const DATA = new Set([
  ...[
    "createProbeSets",
    "exactPosterior",
    "exactPredictive",
    "ensembleMeasures",
    "inWords",
    "Diagnosis.push",
  ],
  ...[
    "GrokkingDetector.push",
    "decompose",
    "blockOperator",
    "smoothDensity",
    "spectralTrace",
    "recentBatches",
  ],
  ...[
    "peakChange",
    "encodePosterior",
    "fitAndPredict",
    "logEvidence",
    "logEvidenceSlope",
    "maximiseEvidence",
  ],
  ...["groupedEvidenceSlope", "logGroupedEvidence", "maximiseGroupedEvidence", "LaplacePosterior"],
  ...[
    "LaplacePosterior.predict",
    "lastLayerGradients",
    "loadPosterior",
    "IvonPosterior.predict",
    "ivonPosterior",
  ],
]);

const MISSPELT = "misspelt";
const ODD = [undefined, null, {}, [], 1, "x", Number.NaN, true, -1];

/** What an engine says of a mistake in a program, and nobody can act on. */
const RAW =
  /Cannot |is not (a function|iterable|a constructor|extensible|defined)|call stack|out of bounds|array length|allocation|unreachable|\[object Object|Reduce of empty|undefined \(|Spread syntax|argument must be/;

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** Every call with one thing wrong in it, and what that is. */
function* mistakes(good: () => unknown[]): Generator<{ what: string; args: unknown[]; odd?: unknown }> {
  for (let i = 0; i < good().length; i++) {
    for (const odd of ODD) yield { what: `argument ${i}: ${shown(odd)}`, args: good().with(i, odd), odd };
    const options = good()[i];
    // A model and an operator are no options.
    if (!isPlain(options) || "logits" in options || "matvec" in options) continue;
    yield {
      what: `argument ${i}.misspelt`,
      args: good().with(i, { ...options, [MISSPELT]: 1 }),
      odd: MISSPELT,
    };
    for (const key of Object.keys(options))
      for (const odd of ODD) {
        const args = good().with(i, { ...(good()[i] as object), [key]: odd });
        yield { what: `argument ${i}.${key}: ${shown(odd)}`, args, odd };
      }
  }
}

const shown = (odd: unknown) => (typeof odd === "object" ? JSON.stringify(odd) : String(odd));

/** Whether a NaN is anywhere in a result. */
function hasNaN(value: unknown, depth = 0): boolean {
  if (typeof value === "number") return Number.isNaN(value);
  if (typeof value !== "object" || value === null || depth > 4) return false;
  if (ArrayBuffer.isView(value)) return (value as unknown as number[]).some?.(Number.isNaN) ?? false;
  return Object.values(value).some((inner) => hasNaN(inner, depth + 1));
}

async function complaint(
  call: (...args: never[]) => unknown,
  args: unknown[],
  odd?: unknown,
  what = "",
): Promise<string | null> {
  let said: string | null = null;
  try {
    const result = await call(...(args as never[]));
    if (odd === MISSPELT && !DATA.has(what)) said = "taken";
    else if (typeof odd !== "number" && hasNaN(result)) said = "a result that is no number";
  } catch (error) {
    const { message, name } = error as Error;
    if (odd === MISSPELT && !DATA.has(what) && !message.includes(MISSPELT)) said = "not named";
    if (message === "" || RAW.test(message)) said = `${name}: ${message}`;
  }
  return said;
}

// Some mistakes are names of files.
beforeAll(() => {
  const before = process.cwd();
  process.chdir(root);
  return () => process.chdir(before);
});

describe.each([
  ["epigrok", epigrok, MAIN],
  ["epigrok/theory", theory, THEORY],
  ["epigrok/posterior", posterior, POSTERIOR],
] as const)("%s", (_, library, calls) => {
  const functions = library as unknown as Record<string, (...args: never[]) => unknown>;
  it("has a call of each function here", () => {
    const names = Object.keys(functions).filter(
      (name) => typeof functions[name] === "function" && !(functions[name].prototype instanceof Error),
    );
    const called = Object.keys(calls).map((name) => name.split(".")[0]);
    expect([...new Set(called)].sort()).toEqual(names.sort());
  });

  it("names what is wrong", async () => {
    const found: string[] = [];
    for (const [name, [good, call = functions[name]]] of Object.entries(calls)) {
      const right = await complaint(call, good());
      if (right) found.push(`${name}: RIGHT: ${right}`);
      for (const { what, args, odd } of mistakes(good)) {
        const said = await complaint(call, args, odd, name);
        if (said) found.push(`${name}, ${what}: ${said}`);
      }
    }
    expect(found).toEqual([]);
  });
});
