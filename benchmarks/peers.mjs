/** The same training step in other frameworks, after a check that loss and gradient agree. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { instantiateTransformer } from "../dist/core/transformer.js";
import { PromptSampler } from "../dist/tasks/prompts.js";
import { initialParameters, transformerShape } from "../dist/training/model.js";
import { once } from "./measure.mjs";

const LOSS_TOLERANCE = 1e-4;
/**
 * ReLU has no derivative at 0. Of the millions of hidden units of a large batch a few are within rounding of it, two
 * correct programs may take different sides there, and the gradient of everything before that unit differs: by 1e-3 at
 * d = 256, where with GELU it is 2e-6. So the gradient is compared sharply with GELU, and roughly with ReLU.
 */
const gradientTolerance = (actFn) => (actFn === "relu" ? 1e-2 : 1e-4);
/** How long a peer repeats its step; the fastest counts. */
const SECONDS = 3;

const pathOf = (file) => fileURLToPath(new URL(`peers/${file}`, import.meta.url));

/**
 * One thread also for the BLAS library, whose threads PyTorch's own setting does not reach; and the BLAS library's own
 * choice of kernels, not one made for another program.
 */
const {
  OPENBLAS_CORETYPE: _kernels,
  OPENBLAS_L2_SIZE: _cache,
  ...environment
} = { ...process.env, OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };

const pythonThatRuns = (program) =>
  ["python3", "/usr/bin/python3"].find((python) => spawnSync(python, ["-c", program]).status === 0);
const pythonWithTorch = once(() => pythonThatRuns("import torch"));
const pythonThatCompiles = once(() => pythonThatRuns("import torch; torch.compile"));

/** How to start each peer; undefined where it is not installed, which `install` changes. */
export const PEERS = {
  PyTorch: {
    command() {
      const python = pythonWithTorch();
      return python && [python, pathOf("pytorch_step.py")];
    },
    install: "a python3 with torch (Debian: apt install python3-torch libopenblas0-pthread)",
  },
  "PyTorch compiled": {
    command() {
      const python = pythonThatCompiles();
      return python && [python, pathOf("pytorch_step.py"), "--compile"];
    },
    install: "a python3 with torch 2 and a C++ compiler",
  },
  "TensorFlow.js": {
    command: () =>
      existsSync(pathOf("tfjs/node_modules")) ? [process.execPath, pathOf("tfjs/step.mjs")] : undefined,
    install: "npm install --prefix benchmarks/peers/tfjs",
  },
};

/** How to start a whole ensemble in PyTorch, `command` undefined where it is not installed, and with which environment. */
export function ensemblePeer() {
  const python = pythonWithTorch();
  const command = python && [python, pathOf("pytorch_ensemble.py")];
  return { command, environment, install: PEERS.PyTorch.install };
}

/**
 * A peer's version and milliseconds per AdamW step, after checks that it computes the same loss and gradient as all of
 * the builds, for the model and for its twin with GELU; undefined if it is not installed.
 *
 * @throws Error if they differ, or the peer fails
 */
export function timePeer(name, config, builds) {
  const command = PEERS[name].command();
  if (!command) return undefined;
  const smooth = { ...config, model: { ...config.model, actFn: "gelu" } };
  compare(name, command, smooth, builds, 0);
  return compare(name, command, config, builds, SECONDS);
}

function compare(name, command, config, builds, seconds) {
  const ours = builds.map(({ core }) => firstStep(config, core));
  const peer = runPeer(command, ours[0], seconds);
  for (const own of ours) requireParity(name, peer, own, gradientTolerance(config.model.actFn));
  return peer;
}

/** Parameters and batch of the configuration's first step, and this package's loss and gradient there. */
function firstStep(config, core) {
  const model = instantiateTransformer(core, transformerShape(config));
  const flat = initialParameters(model.parameters, config, 0);
  const sampler = new PromptSampler(config);
  const batch = sampler.createBatch(config.training.batchSize, config.training.lossPositions);
  sampler.sampleInto(batch, 0, 1);
  model.setParameters(flat);
  return { model, flat, batch, ...model.lossAndGradient(batch) };
}

/** The peer's version, loss, gradient and milliseconds per AdamW step: the fastest in `seconds`, of two at least. */
function runPeer([program, ...args], { model, flat, batch }, seconds) {
  const { tokens, positions, targets } = batch;
  const request = {
    seconds,
    shape: { ...model.shape, parameters: model.parameters },
    batch: {
      ...batch,
      tokens: Array.from(tokens),
      positions: Array.from(positions),
      targets: Array.from(targets),
    },
  };
  const input = Buffer.concat([Buffer.from(`${JSON.stringify(request)}\n`), Buffer.from(flat.buffer)]);
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...{ input, env: environment, maxBuffer: 2 ** 28 },
  });
  // A program that fails before it has read its input leaves a broken pipe; what it says is on standard error.
  if (error && error.code !== "EPIPE") throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed:\n${stderr}`);
  const newline = stdout.indexOf("\n");
  const gradient = new Float32Array(Uint8Array.from(stdout.subarray(newline + 1)).buffer);
  return { ...JSON.parse(stdout.subarray(0, newline).toString()), gradient };
}

function requireParity(name, peer, ours, gradientTolerance) {
  if (peer.gradient.length !== ours.gradient.length)
    throw new Error(`${name} has ${peer.gradient.length} parameters, not ${ours.gradient.length}`);
  const norm = (values) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  const difference = Float64Array.from(ours.gradient, (g, i) => g - peer.gradient[i]);
  const require = (what, error, tolerance) => {
    if (!(error < tolerance))
      throw new Error(`${name} computes another ${what}: relative difference ${error}`);
  };
  require("loss", Math.abs(peer.loss / ours.loss - 1), LOSS_TOLERANCE);
  require("gradient", norm(difference) / norm(Float64Array.from(ours.gradient)), gradientTolerance);
}
