/**
 * Whatever comes in, the answer is a result or an error that names what is wrong: no crash, no access out of bounds, no
 * partial write. 10,000 cases of a fixed seed; others with FUZZ_SEED, more with FUZZ_FACTOR. What a search has found is
 * kept as an example of its property.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { configKeys } from "../src/config/keys.ts";
import { environmentLayers, fileLayer, overrideLayer } from "../src/config/load.ts";
import { resolveConfig } from "../src/config/resolve.ts";

import { loadCoreModule } from "../src/core/build.ts";
import type { Batch } from "../src/core/index.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { UsageError } from "../src/errors.ts";
import {
  fitAndPredict,
  fitLaplace,
  learningCoefficient,
  POSTERIOR_METHODS,
  stream,
} from "../src/posterior/index.ts";
import { loadCheckpoint } from "../src/run/load-checkpoint.ts";
import { readMember, readRun } from "../src/run/read.ts";
import { runEnsemble } from "../src/run/run.ts";
import { seal } from "../src/run/seal.ts";
import { decodeSafetensors, encodeSafetensors } from "../src/safetensors.ts";
import { transformerShape } from "../src/training/model.ts";
import { freshConfig } from "./fixtures/config.ts";
import { fakePool } from "./fixtures/fake-trainer.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

// On a machine that does other things besides.
vi.setConfig({ testTimeout: 600_000 });

const seed = Number(process.env.FUZZ_SEED ?? 20261126);
const cases = (numRuns: number) => ({
  seed,
  numRuns: Math.ceil(numRuns * Number(process.env.FUZZ_FACTOR ?? 1)),
});
const root = temporaryDirectory();

/** What an engine says of a mistake in a program, and nobody can act on. */
const RAW =
  /Cannot (read|set|convert|destructure|mix)|is not (a function|iterable|a constructor|extensible|defined)|call stack|offset is out of bounds|typed array length|Array buffer allocation|Invalid array length|out of bounds|unreachable|\[object Object|Reduce of empty/;

/** @throws unless the error tells which of the names it is about */
function requireNamed(error: unknown, types: (new (...args: never[]) => Error)[]): void {
  const { message, stack } = error as Error;
  const named = types.some((type) => error instanceof type) && message !== "" && !RAW.test(message);
  if (!named) throw new Error(`an error without a name: ${message}\n${stack}`);
}

function refusable<T>(action: () => T, ...types: (new (...args: never[]) => Error)[]): T | undefined {
  try {
    return action();
  } catch (error) {
    requireNamed(error, types);
    return undefined;
  }
}

/** Numbers at the ends of ranges and beside them, and values that are no numbers. */
const oddNumber = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 2, 3, 0.5, 1e-320, 1e38, -1e300, 1e300, 2 ** 31, 2 ** 32, 2 ** 53, 1e16),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.integer({ min: -3, max: 300 }),
  fc.double(),
);
const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: oddNumber },
  fc.constantFrom(null, true, "", "quick", "adamw", "ivon", [], {}, [[]], "__proto__"),
  fc.string({ maxLength: 8 }),
  fc.array(fc.integer(), { maxLength: 3 }),
  fc.dictionary(fc.string({ maxLength: 4 }), fc.integer(), { maxKeys: 3 }),
);

const keys = configKeys().map(({ name }) => name);
const suggestions = configKeys().flatMap((key) => key.suggestions.map((value) => `${key.name}=${value}`));
const key = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...keys) }, fc.string({ maxLength: 12 }));
const nested = (name: string, value: unknown) =>
  name.split(".").reduceRight<unknown>((inner, part) => ({ [part]: inner }), value);

/** YAML of all kinds: pieces of its grammar, keys of the configuration, and noise. */
const yamlPiece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...keys.map((name) => `${name.split(".").at(-1)}: `)) },
  fc.constantFrom(
    ..."&a |*a|<<: *a|- |{|}|[|]|: |? |!!int |!x || |> |\n|\n  |\n    |'|\"|#|---\n|...|%YAML 1.1\n".split(
      "|",
    ),
  ),
  fc.constantFrom(
    "task:",
    "model:",
    "training: {",
    "1e999",
    "0x1F",
    ".nan",
    "~",
    "null",
    "\0",
    "\ufeff",
    "\ud800",
    "x-a: ",
  ),
  oddValue.map((value) => JSON.stringify(value) ?? "~"),
);
const yamlText = fc.array(yamlPiece, { maxLength: 14 }).map((pieces) => pieces.join(""));
const yamlValue = fc.oneof(
  { weight: 3, arbitrary: oddValue.map((value) => JSON.stringify(value) ?? "") },
  yamlText,
);

describe("configurations", () => {
  const file = join(root, "c.yaml");
  const named = (action: () => unknown) => void refusable(action, UsageError);

  it("from files of any text", () => {
    fc.assert(
      fc.property(yamlText, (text) => {
        writeFileSync(file, text);
        named(() => resolveConfig([fileLayer(file)]));
      }),
      {
        ...cases(1500),
        examples: [
          ["a: &a [*a]"],
          ["task: &t {<<: *t}"],
          ["seed: !x 1"],
          ["? {a: 1}\n: 2"],
          ["<<: 3"],
          ["%YAML 3.0\n---\n"],
        ],
      },
    );
  });

  it("from files of any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        writeFileSync(file, bytes);
        named(() => resolveConfig([fileLayer(file)]));
      }),
      cases(300),
    );
  });

  it("from settings of any values", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, oddValue), { minLength: 1, maxLength: 3 }), (settings) => {
        named(() =>
          resolveConfig(
            settings.map(([name, value]) => ({ source: "settings", values: nested(name, value) as never })),
          ),
        );
      }),
      { ...cases(1200), examples: [[[["task.modulus", 1_000_003]]], [[["seed", null]]]] },
    );
  });

  it("with --set", () => {
    const assignment = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(key, yamlValue).map(([name, value]) => `${name}=${value}`) },
      { weight: 3, arbitrary: fc.constantFrom(...suggestions) },
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(assignment, { minLength: 1, maxLength: 3 }), (assignments) => {
        named(() => resolveConfig(assignments.map(overrideLayer)));
      }),
      {
        ...cases(1500),
        examples: [
          [["task=&t {modulus: *t}"]],
          [["evaluation.prompts=2147483648"]],
          [["__proto__.polluted=1"]],
          [["training.steps="]],
        ],
      },
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("from the environment", () => {
    const variable = key.map((name) => `EPIGROK_${name.replaceAll(".", "__").replaceAll("\0", "")}`);
    fc.assert(
      fc.property(fc.dictionary(variable, yamlValue, { maxKeys: 3 }), (environment) => {
        named(() => resolveConfig(environmentLayers(environment)));
      }),
      {
        ...cases(1000),
        examples: [[{ EPIGROK_SEED: "" }], [{ EPIGROK_: "1" }], [{ EPIGROK_TRAINING: "{steps: 1}" }]],
      },
    );
  });
});

/** A change of some bytes: others, fewer, more. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), value: fc.nat(8) }),
  fc.record({ kind: fc.constant("insert" as const), at: fc.nat(), value: fc.nat(255) }),
  fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(), value: fc.nat() }),
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(bytes: Uint8Array, damages: readonly Damage[]): Uint8Array {
  let all = Array.from(bytes);
  for (const { kind, at, value } of damages) {
    const place = all.length === 0 ? 0 : at % all.length;
    if (kind === "flip") all[place] = value;
    else if (kind === "cut") all.splice(place, value);
    else if (kind === "insert") all.splice(place, 0, value);
    else all = all.slice(0, place);
  }
  return Uint8Array.from(all);
}

/** The same JSON with one of its values, at any depth, replaced or gone. */
function replaced(value: unknown, path: number, by: unknown): unknown {
  if (typeof value !== "object" || value === null || path % 7 === 0) return by;
  const entries = Object.entries(value);
  if (entries.length === 0) return by;
  const [name, inner] = entries[path % entries.length];
  const changed = replaced(inner, Math.floor(path / entries.length), by);
  if (Array.isArray(value)) return value.with(Number(name), changed);
  return { ...value, [name]: changed };
}

describe("safetensors", () => {
  const whole = encodeSafetensors(
    [
      ["a", { shape: [2, 3], data: new Float32Array(6).fill(1.5) }],
      ["b", { shape: [2], data: new Float64Array([1, 2]) }],
      ["c", { shape: [], data: new Int32Array([7]) }],
    ],
    { step: "3" },
  );
  const decoded = (bytes: Uint8Array) => {
    const found = refusable(() => decodeSafetensors(bytes), RangeError);
    // What is taken is consistent.
    for (const { shape, data } of found?.tensors.values() ?? [])
      expect(data.length).toBe(shape.reduce((product, n) => product * n, 1));
  };

  it("with damages", () => {
    fc.assert(
      fc.property(fc.array(damage, { maxLength: 4 }), (damages) => decoded(damaged(whole, damages))),
      cases(1300),
    );
  });

  it("with any header", () => {
    const entry = fc.record(
      {
        dtype: fc.oneof(fc.constantFrom("F32", "F64", "F16", "BF16", "I64", "U8", "constructor"), oddValue),
        shape: fc.oneof(fc.array(fc.nat(3), { maxLength: 3 }), oddValue),
        data_offsets: fc.oneof(fc.tuple(fc.nat(24), fc.nat(24)), oddValue),
      },
      { requiredKeys: [] },
    );
    const header = fc.dictionary(
      fc.constantFrom("a", "b", "__metadata__", "__proto__"),
      fc.oneof({ weight: 4, arbitrary: entry }, oddValue),
      { maxKeys: 3 },
    );
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 24 }), (tensors, data) => {
        const text = new TextEncoder().encode(JSON.stringify(tensors));
        const bytes = new Uint8Array(8 + text.length + data.length);
        new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
        bytes.set(text, 8);
        bytes.set(data, 8 + text.length);
        decoded(bytes);
      }),
      {
        ...cases(1200),
        examples: [
          [{ a: { dtype: "F32", shape: [1], data_offsets: [0, "4"] } } as never, new Uint8Array(4)],
          [{ __metadata__: null } as never, new Uint8Array(0)],
        ],
      },
    );
  });
});

describe("the files of a run", () => {
  const run = join(root, "run");
  const config = freshConfig({
    task: { modulus: 5, trainTasks: 3, examples: 2 },
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
    training: { steps: 20, batchSize: 4 },
    evaluation: { every: 5, prompts: 3 },
    ensemble: { members: 2 },
  });
  let files: string[];

  beforeAll(async () => {
    await runEnsemble(config, { out: run, workers: 2, createPool: () => fakePool() });
    files = readdirSync(run, { recursive: true, encoding: "utf8" }).filter(
      (name) => /\.(json|jsonl|safetensors)$/.test(name) && !name.startsWith("environment"),
    );
  });

  /** With its checksum if it has a place for one, so that what follows it is read. */
  function sealedAgain(text: string): string {
    try {
      return seal(Buffer.from(text)).toString();
    } catch {
      return text;
    }
  }

  /** Reads all that the library reads, and looks whether that has written anything. */
  async function readAll(): Promise<void> {
    const before = fileHashes(run);
    for (const read of [
      () => readRun(run),
      () => readMember(run, { member: 0 }, null),
      () => readMember(run, { member: 1 }, null),
      () => loadCheckpoint(run, { member: 1 }),
    ])
      await read().catch((error: unknown) => requireNamed(error, [UsageError, Error]));
    expect(fileHashes(run)).toEqual(before);
  }

  async function withFile(name: string, change: (bytes: Buffer) => Uint8Array | string): Promise<void> {
    const path = join(run, name);
    const bytes = readFileSync(path);
    try {
      writeFileSync(path, change(bytes));
      await readAll();
    } finally {
      writeFileSync(path, bytes);
    }
  }

  it("with damages", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(damage, { minLength: 1, maxLength: 3 }), (which, damages) =>
        withFile(files[which % files.length], (bytes) => damaged(bytes, damages)),
      ),
      cases(150),
    );
  });

  it("with other values", async () => {
    const json = () => files.filter((name) => /\.jsonl?$/.test(name));
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), oddValue, (which, path, by) =>
        withFile(json()[which % json().length], (bytes) => {
          const lines = bytes.toString().trimEnd().split("\n");
          const one = (text: string) =>
            sealedAgain(JSON.stringify(replaced(JSON.parse(text), path, by)) ?? "null");
          if (!json()[which % json().length].endsWith("l")) return one(bytes.toString());
          return `${lines.with(path % lines.length, one(lines[path % lines.length])).join("\n")}\n`;
        }),
      ),
      cases(150),
    );
  });

  it("that another run is started over are left as they are, or replaced as a whole", async () => {
    const other = join(root, "other");
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("new", "resume"),
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        async (mode, damages) => {
          cpSync(run, other, { recursive: true });
          const path = join(other, "config.json");
          writeFileSync(path, damaged(readFileSync(path), damages));
          const before = fileHashes(other);
          const options = { out: other, workers: 2, mode: mode as "new", createPool: () => fakePool() };
          const refused = await runEnsemble(config, options).catch((error: unknown) => error);
          if (refused instanceof Error) {
            requireNamed(refused, [UsageError]);
            expect(fileHashes(other)).toEqual(before);
          }
          rmSync(other, { recursive: true });
        },
      ),
      cases(60),
    );
  });
});

/** As `toEqual`, many times as fast. */
function requireSame(actual: Float32Array, wanted: Float32Array): void {
  if (!Buffer.from(actual.buffer).equals(Buffer.from(wanted.buffer))) expect(actual).toEqual(wanted);
}

const core = await loadCoreModule("strict");
const shape = {
  dVocab: 5,
  dModel: 8,
  nHeads: 2,
  nLayers: 1,
  dMlp: 8,
  nCtx: 5,
  actFn: "relu",
  tiedEmbeddings: false,
} as const;
const model = instantiateTransformer(core, shape, { optimizer: "adamw", curvature: true, kronecker: true });
const parameters = Float32Array.from({ length: model.parameterCount }, (_, i) => Math.sin(i) / 3);
const good: Batch = {
  tokens: Int32Array.of(0, 1, 2, 3, 4, 4, 3, 2, 1, 0),
  ...{ batchSize: 2, length: 5, positions: Int32Array.of(2, 4), targets: Int32Array.of(0, 1, 2, 3) },
};
model.setParameters(parameters);
const expected = model.logits(good);

/** Nothing outside what was given has been written: the model is what it was. */
afterEach(() => {
  model.setParameters(parameters);
  requireSame(model.logits(good), expected);
});

const oddArray: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.integer({ min: -1, max: 6 }), { maxLength: 12 })
      .map((list) => Int32Array.from(list)),
  },
  fc.array(oddNumber, { maxLength: 10 }).map((list) => Float32Array.from(list)),
  fc.array(oddNumber, { maxLength: 10 }),
  fc.constantFrom(new Float64Array(10), new BigInt64Array(10), new Int32Array(0), new ArrayBuffer(40)),
  oddValue,
);

describe("batches", () => {
  const oddBatch = fc
    .record(
      { tokens: oddArray, batchSize: oddValue, length: oddValue, positions: oddArray, targets: oddArray },
      { requiredKeys: [] },
    )
    .map((changes) => ({ ...good, ...changes }) as Batch);
  const vector = fc.oneof(
    { weight: 2, arbitrary: fc.constant(parameters) },
    oddArray.map((array) => array as Float32Array),
  );
  const dropout = fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    fc.record({ seed: oddNumber, stream: oddNumber, step: oddNumber }),
  );
  const step = { step: 1, learningRate: 0.001, weightDecay: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
  const uses: ((batch: Batch, v: Float32Array, key: never) => unknown)[] = [
    (batch, _, key) => model.logits(batch, key),
    (batch, _, key) => model.probabilities(batch, key),
    (batch, _, key) => model.features(batch, key),
    (batch, _, key) => model.lossAndGradient(batch, key),
    (batch, v, key) => model.jacobianVectorProduct(batch, v, key),
    (batch, v, key) => model.jacobianTransposeProduct(batch, v, key),
    (batch, v, key) => model.hessianVectorProduct(batch, v, key),
    (batch, v, key) => model.ggnVectorProduct(batch, v, key),
    (batch) => model.ggnDiagonal(batch, "exact"),
    (batch) => model.kroneckerFactors(batch, "exact"),
    (batch, _, key) => model.trainStep(batch, { ...step, dropout: key }),
  ];

  it("of any shape and content", () => {
    fc.assert(
      fc.property(fc.constantFrom(...uses), oddBatch, vector, dropout, (use, batch, v, key) => {
        if (refusable(() => use(batch, v, key as never), RangeError) === undefined) {
          requireSame(model.getParameters(), parameters);
          return;
        }
        model.setParameters(parameters);
      }),
      { ...cases(700), examples: [[uses[0], null as never, parameters, undefined]] },
    );
  });

  it("with any step of an optimiser", () => {
    const options = fc.record(
      {
        step: oddValue,
        learningRate: oddValue,
        weightDecay: oddValue,
        beta1: oddValue,
        beta2: oddValue,
        epsilon: oddValue,
        gradientClip: oddValue,
        weightDecayExclude: fc.array(oddValue, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(options, (changes) => {
        if (
          refusable(() => model.trainStep(good, { ...step, ...changes } as never), RangeError) === undefined
        )
          requireSame(model.getParameters(), parameters);
        model.setParameters(parameters);
      }),
      cases(200),
    );
  });
});

describe("setParameters and setMoments", () => {
  const flat = fc.oneof(
    { weight: 2, arbitrary: oddArray },
    fc.nat(2).map((extra) => new Float32Array(model.parameterCount - 1 + extra)),
    fc.constantFrom(
      new Float64Array(model.parameterCount),
      Array(model.parameterCount).fill(0),
      model.getParameters(),
    ),
  );
  it("take flat vectors of this model only", () => {
    fc.assert(
      fc.property(flat, flat, (first, second) => {
        const before = model.getParameters();
        const set = refusable(() => model.setParameters(first as Float32Array) ?? true, RangeError);
        requireSame(model.getParameters(), set ? Float32Array.from(first as Float32Array) : before);
        model.setParameters(parameters);
        refusable(() => model.setMoments({ first, second } as never), RangeError);
        refusable(() => model.getParameters(first as Float32Array), RangeError);
        requireSame(model.getParameters(), parameters);
      }),
      { ...cases(300), examples: [[Array(model.parameterCount).fill(0), null]] },
    );
  });
});

describe("options of posteriors", () => {
  /** Not so large that refusing them takes for ever. */
  const option = fc.oneof(
    {
      weight: 2,
      arbitrary: fc.constantFrom(0, -1, 1, 2, 3, 0.5, 1e-9, 1e300, Number.NaN, Number.POSITIVE_INFINITY),
    },
    fc.constantFrom("exact", "marginalLikelihood", "lastLayer", "kron", "", null, {}, [], true),
  );

  it("of a Laplace approximation", () => {
    const options = fc.record(
      {
        subsetOfWeights: fc.oneof(fc.constantFrom("lastLayer", "all"), option),
        hessianStructure: fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom("full", "kron", "diag", "lowRank", "matrixFree") },
          option,
        ),
        priorPrecision: fc.oneof(
          option,
          fc.record(
            {
              heldOut: fc.constantFrom([good], [], null),
              grid: fc.constantFrom([], [1], [0], [Number.NaN]),
              nSamples: option,
              rule: option,
            },
            { requiredKeys: [] },
          ),
        ),
        ...{ trainingTerms: option, rank: option, remainder: option, probes: option, chunk: option },
        ...{ lanczosSteps: option, traceProbes: option, seed: option },
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(options, fc.constantFrom([good], [good, good], []), (given, batches) => {
        const posterior = refusable(
          () => fitLaplace(model, parameters, batches, given as never),
          RangeError,
          Error,
        );
        if (!posterior) return;
        const samples = refusable(
          () => posterior.predict(model, good, { nSamples: 2, rng: stream(0, 0, "posteriorPredictions") }),
          RangeError,
        );
        for (const p of samples ?? []) for (const value of p) expect(value).toBeGreaterThanOrEqual(0);
      }),
      cases(250),
    );
  });

  const config = freshConfig({
    task: { modulus: 5, trainTasks: 3, examples: 3 },
    model: { dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8 },
    training: { steps: 4, batchSize: 4 },
    evaluation: { prompts: 2 },
  });
  const size = instantiateTransformer(core, transformerShape(config), { optimizer: "none" }).parameterCount;
  const checkpoint = Float32Array.from({ length: size }, (_, i) => Math.cos(i) / 3);

  it("of every method", () => {
    const request = fc.record(
      {
        method: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...POSTERIOR_METHODS) }, option),
        checkpoints: fc.constantFrom([checkpoint], [checkpoint, checkpoint], [], [new Float32Array(3)], [[]]),
        data: fc.constantFrom([good], [], undefined),
        options: fc.dictionary(
          fc.constantFrom(
            "steps",
            "learningRate",
            "maxRank",
            "rank",
            "stepSize",
            "priorPrecision",
            "preconditioned",
            "rate",
            "samples",
          ),
          option,
          { maxKeys: 2 },
        ),
        ...{ nSamples: option, trainingTerms: option, seed: option, member: option, step: option },
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(request, (changes) => {
        const usual = {
          config,
          method: "swag",
          member: 0,
          step: 4,
          checkpoints: [checkpoint],
          data: [good],
          nSamples: 2,
          seed: 0,
          options: { steps: 10 },
        };
        const probes = [{ set: "unseenTasks", batch: good }];
        refusable(() => fitAndPredict({ ...usual, probes, ...changes } as never, core), RangeError, Error);
      }),
      cases(120),
    );
  });

  it("of the learning coefficient", () => {
    const options = fc.record(
      {
        trainingTerms: option,
        nBeta: option,
        localisation: option,
        stepSize: option,
        chains: option,
        burnIn: option,
        draws: option,
        seed: option,
        member: option,
      },
      { requiredKeys: [] },
    );
    const usual = { trainingTerms: 100, localisation: 1, stepSize: 1e-4, burnIn: 1, draws: 3, seed: 0 };
    fc.assert(
      fc.property(options, (changes) => {
        refusable(
          () => learningCoefficient(model, parameters, [good], { ...usual, ...changes } as never),
          RangeError,
          Error,
        );
      }),
      cases(70),
    );
  });
});
