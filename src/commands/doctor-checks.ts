/** Checks of the machine and the installation, each with what was found. */
import { mkdtempSync, rmdirSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { type Config, configSchema } from "../config/schema.ts";
import { loadCoreModule, supportedMath } from "../core/build.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { messageOf } from "../errors.ts";
import { createWorkerPool } from "../pool/pool.ts";
import { normals, stream } from "../random.ts";
import { PromptSampler } from "../tasks/prompts.ts";
import { initialParameters, transformerShape } from "../training/model.ts";
import { trainSegment } from "../training/segment.ts";
import { widthHint } from "./progress.ts";

export interface Check {
  name: string;
  ok: boolean;
  detail: string;
}

const MINIMUM_NODE = [20, 19];

export async function examine(): Promise<Check[]> {
  return [
    await check("Node", nodeVersion),
    await check("SIMD", simd),
    await check("build", build),
    await check("processor", () => `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`),
    await check("memory", () => `${gibibytes(freemem())} of ${gibibytes(totalmem())} free`),
    await check("working directory", writable),
    await check("gradient", gradient),
    await check("training", training),
  ];
}

/** A check returns what it found, or throws what is wrong. */
async function check(name: string, run: () => string | Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, detail: await run() };
  } catch (error) {
    return { name, ok: false, detail: messageOf(error) };
  }
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function nodeVersion(): string {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor < MINIMUM_NODE[1]))
    throw new Error(`${process.version} is older than ${MINIMUM_NODE.join(".")}`);
  return `${process.version}, V8 ${process.versions.v8}, ${process.platform} ${process.arch}`;
}

async function simd(): Promise<string> {
  const { simd, relaxedSimd } = supportedMath();
  if (!simd) throw new Error("this JavaScript engine has no WebAssembly SIMD");
  const core = await loadCoreModule("fast");
  const fused = relaxedSimd ? "with fused multiply-add" : "without fused multiply-add";
  return [`${core.simd} bits wide, ${fused}`, ...widthHint(core)].join("; ");
}

async function build(): Promise<string> {
  const strict = await loadCoreModule("strict");
  const chosen = await loadCoreModule("fast");
  return `${chosen.math} math is used by default (${chosen.sha256.slice(0, 12)}), strict is ${strict.sha256.slice(0, 12)}`;
}

function writable(): string {
  rmdirSync(mkdtempSync(join(process.cwd(), ".epigrok-")));
  return `${process.cwd()} is writable`;
}

/** A task small enough that a hundred steps take a moment and lower the loss. */
function tinyConfig(): Config {
  return configSchema.parse({
    task: { modulus: 5, trainTasks: 3, examples: 3, promptPool: 0 },
    model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 32 },
    training: {
      ...{ steps: 100, batchSize: 32, lossPositions: "all" },
      ...{ learningRate: 1e-2, warmupSteps: 10, weightDecay: 0 },
    },
    evaluation: { prompts: 4 },
    ensemble: { members: 1 },
  });
}

const GRADIENT_STEP = 1e-2;
/** Float32 losses at a step of 1e-2 leave about three digits of a central difference. */
const GRADIENT_TOLERANCE = 2e-2;

/** The derivative of the loss in a random direction: by the gradient, and by central differences. */
async function gradient(): Promise<string> {
  const config = tinyConfig();
  const core = await loadCoreModule("fast");
  const model = instantiateTransformer(core, transformerShape(config));
  const sampler = new PromptSampler(config);
  const batch = sampler.createBatch(config.training.batchSize, config.training.lossPositions);
  sampler.sampleInto(batch, 0, 1);
  const parameters = initialParameters(model.parameters, config, 0);
  model.setParameters(parameters);
  const { gradient } = model.lossAndGradient(batch);
  const direction = new Float64Array(parameters.length);
  normals(stream(0, 0, "evaluation", 0), direction);
  const norm = Math.hypot(...direction);
  const slope = gradient.reduce((sum, g, i) => sum + (g * direction[i]) / norm, 0);
  const lossAt = (distance: number) => {
    model.setParameters(parameters.map((value, i) => value + (distance * direction[i]) / norm));
    return model.lossAndGradient(batch).loss;
  };
  const difference = (lossAt(GRADIENT_STEP) - lossAt(-GRADIENT_STEP)) / (2 * GRADIENT_STEP);
  const error = Math.abs(difference - slope) / Math.hypot(...gradient);
  if (!(error < GRADIENT_TOLERANCE))
    throw new Error(`the gradient gives a slope of ${slope}, differences of the loss give ${difference}`);
  return `agrees with differences of the loss to ${error.toExponential(1)}`;
}

/** A hundred steps in a worker thread lower the loss, and give the same bytes as here. */
async function training(): Promise<string> {
  const config = tinyConfig();
  const core = await loadCoreModule("fast");
  const here = trainSegment({ config, member: 0, state: null, toStep: 50 }, { core, stop: () => false });
  const there = await trainInWorker(config, core);
  const equal = here.state.parameters.every((value, i) => value === there.state.parameters[i]);
  if (!equal)
    throw new Error("a worker thread and the main thread get different parameters from the same steps");
  const rest = { config, member: 0, state: here.state, toStep: 100 };
  const after = trainSegment(rest, { core, stop: () => false });
  const [first, second] = [here, after].map(({ sums }) => sums.loss / sums.steps);
  if (!(second < first))
    throw new Error(
      `the loss does not fall: ${first.toFixed(3)} in the first 50 steps, ${second.toFixed(3)} after`,
    );
  return `loss ${first.toFixed(3)} in the first 50 steps, ${second.toFixed(3)} in the next; workers agree`;
}

async function trainInWorker(config: Config, core: CoreModule) {
  const pool = createWorkerPool({ workers: 1, members: 1, core });
  try {
    return await pool.runSegment({ config, member: 0, state: null, toStep: 50 });
  } finally {
    await pool.close();
  }
}
