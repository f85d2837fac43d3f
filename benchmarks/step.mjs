/** One training step: this package, PyTorch on the same batch and parameters, and several workers at once. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { loadCoreModule, Transformer } from "../dist/core/index.js";
import { PromptSampler } from "../dist/tasks/prompts.js";
import { initialParameters, transformerShape } from "../dist/training/model.js";
import { trainSegment } from "../dist/training/segment.js";

const never = () => false;

/** Milliseconds of one training step of one member, prompts included: the fastest of several rounds. */
export function stepMilliseconds(config, core, flopsPerStep) {
  const steps = Math.max(3, Math.round(15e9 / flopsPerStep));
  const warmUp = Math.min(20, steps);
  let { state } = trainSegment({ config, member: 0, state: null, toStep: warmUp }, { core, stop: never });
  let fastest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const result = trainSegment(
      { config, member: 0, state, toStep: state.step + steps },
      { core, stop: never },
    );
    state = result.state;
    fastest = Math.min(fastest, result.trainSeconds / steps);
  }
  return 1e3 * fastest;
}

/** Milliseconds to predict on all probe sets. */
export function evaluationMilliseconds(config, core) {
  let fastest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const result = trainSegment({ config, member: 0, state: null, toStep: 0 }, { core, stop: never });
    fastest = Math.min(fastest, result.evaluationSeconds);
  }
  return 1e3 * fastest;
}

/**
 * The same step in PyTorch on one thread, after a check that loss and gradient agree; null where python3 has no torch.
 */
export function pytorchStep(config, core) {
  const model = new Transformer(core, transformerShape(config));
  const flat = initialParameters(model.parameters, config, 0);
  const sampler = new PromptSampler(config.task, config.seed, config.evaluation.prompts);
  const batch = sampler.createBatch(config.training.batchSize, config.training.lossPositions);
  sampler.sampleInto(batch, 0, 1);
  model.setParameters(flat);
  const { loss, gradient } = model.lossAndGradient(batch);
  const request = {
    shape: { ...model.shape, parameters: model.parameters },
    batch: {
      ...batch,
      tokens: Array.from(batch.tokens),
      positions: Array.from(batch.positions),
      targets: Array.from(batch.targets),
    },
  };
  const script = fileURLToPath(new URL("peers/pytorch_step.py", import.meta.url));
  // PyTorch's own thread count does not reach the BLAS library.
  const env = { ...process.env, OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };
  const input = Buffer.concat([Buffer.from(`${JSON.stringify(request)}\n`), Buffer.from(flat.buffer)]);
  for (const python of ["python3", "/usr/bin/python3"]) {
    const { status, stdout } = spawnSync(python, [script], { input, env, maxBuffer: 1 << 24 });
    if (status !== 0) continue;
    const peer = JSON.parse(stdout.toString());
    const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
    const dot = gradient.reduce((sum, g, i) => sum + g * flat[i], 0);
    const flatNorm = Math.sqrt(flat.reduce((sum, x) => sum + x * x, 0));
    const errors = {
      loss: Math.abs(peer.loss / loss - 1),
      norm: Math.abs(peer.norm / norm - 1),
      dot: Math.abs(peer.dot - dot) / (norm * flatNorm),
    };
    for (const [what, error] of Object.entries(errors))
      if (!(error < 1e-4)) throw new Error(`PyTorch computes another ${what}: relative difference ${error}`);
    return peer;
  }
  return null;
}

/** Training steps per second of `workers` threads together, each on a member of its own for `seconds`. */
export async function stepsPerSecond(config, workers, seconds = 4) {
  const core = await loadCoreModule(config.math);
  const threads = Array.from({ length: workers }, (_, member) => {
    return new Worker(new URL("worker.mjs", import.meta.url), {
      workerData: { config, core, member, seconds },
    });
  });
  const next = (thread) =>
    new Promise((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
    });
  await Promise.all(threads.map(next));
  for (const thread of threads) thread.postMessage("start");
  const rates = await Promise.all(threads.map(next));
  await Promise.all(threads.map((thread) => thread.terminate()));
  return rates.reduce((sum, rate) => sum + rate);
}
