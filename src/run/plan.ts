/** What a run would cost on this machine: counted, and measured on a few training steps. Writes nothing. */
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import { microBatchSequences } from "../core/layout.ts";
import { resolveShape } from "../core/shape.ts";
import { createWorkerPool } from "../pool/pool.ts";
import type { WorkerPool } from "../pool/segments.ts";
import { answerTableSize } from "../tasks/answer-table.ts";
import { promptLength } from "../tasks/batch.ts";
import { probeSetsOf } from "../tasks/probe-sets.ts";
import { type Cost, estimateCost, gradientsPerStep } from "../training/cost.ts";
import type { SegmentResult } from "../training/messages.ts";
import { transformerShape } from "../training/model.ts";
import { threadsFor, trainingSharding } from "../training/team-size.ts";
import { requireRunnable } from "./check.ts";
import { readInitial } from "./initial.ts";
import { runMemory } from "./memory-size.ts";
import { answerSteps, evaluationSteps } from "./schedule.ts";
import { runBytes } from "./space.ts";

/** Nominal FLOPs of one measured step: large batches are measured on a part of them, a micro-batch at least. */
const STEP_FLOPS = 2e9;
const MEASURED_SECONDS = 0.7;
const MAX_MEASURED_STEPS = 200;

export interface RunPlan extends Cost {
  math: "fast" | "strict";
  simd: 128 | 256;
  workers: number;
  /** Threads that share the steps of one member. */
  threadsPerMember: number;
  evaluations: number;
  /** Of the whole process while it trains, about. */
  memoryBytes: number;
  /** Of each worker, about. */
  workerBytes: number;
  /** What the run directory takes in the end, about. */
  diskBytes: number;
  /** Prompts of a batch that the measured steps had: all, or part of a large batch. */
  measuredPrompts: number;
  /** Measured, one member on one of `workers` busy workers. */
  secondsPerStep: number;
  tokensPerSecond: number;
  estimatedSeconds: number;
}

/**
 * Measures for about a second, with all workers busy at once because they share memory bandwidth and power.
 *
 * @throws UsageError for what `runEnsemble` refuses before it writes
 */
export async function planRun(config: Config, wantedWorkers: number): Promise<RunPlan> {
  const { ensemble, training, task, evaluation } = config;
  const core = await loadCoreModule(config.math);
  requireRunnable(config, core, wantedWorkers);
  await readInitial(config, core);
  const { used, perMember } = threadsFor(config, wantedWorkers);
  const workers = Math.min(used, ensemble.members);
  const cost = estimateCost(config);
  const memory = runMemory(config, core, wantedWorkers);
  const pool = createWorkerPool({ workers, members: ensemble.members, core });
  try {
    const { shards } = trainingSharding(config);
    const measured = await measureStep(config, cost, pool, workers);
    // One thread is measured; of those that share a step, the one with most shards takes longest.
    const secondsPerStep = (measured.seconds * Math.ceil(shards / perMember)) / shards;
    const evaluations = evaluationSteps(config).length;
    // A prediction is the forward third of a gradient on as many prompts.
    const promptSeconds = secondsPerStep / gradientsPerStep(training) / training.batchSize / 3;
    const predictions = evaluations * probeSetsOf(task).length * (evaluation.posteriorSamples || 1);
    const answers = answerSteps(config).size * answerTableSize(task);
    const evaluationSeconds = (predictions * evaluation.prompts + answers) * promptSeconds;
    const memberSeconds = training.steps * secondsPerStep + evaluationSeconds;
    return {
      ...cost,
      math: core.math,
      simd: core.simd,
      workers: used,
      threadsPerMember: perMember,
      evaluations,
      memoryBytes: memory.totalBytes,
      workerBytes: memory.workerBytes,
      diskBytes: runBytes(config),
      measuredPrompts: measured.prompts,
      secondsPerStep,
      tokensPerSecond: (workers * cost.tokensPerStep) / secondsPerStep,
      estimatedSeconds: (memberSeconds * ensemble.members) / workers,
    };
  } finally {
    await pool.close();
  }
}

/** Seconds of one training step: a first segment warms up the code, a second one is timed. */
async function measureStep(
  config: Config,
  cost: Cost,
  pool: WorkerPool,
  workers: number,
): Promise<{ seconds: number; prompts: number }> {
  const { batchSize } = config.training;
  const flopsPerPrompt = cost.flopsPerStep / batchSize;
  // Packing the weights counts once for each micro-batch.
  const microBatch = microBatchSequences(
    resolveShape(transformerShape(config)),
    promptLength(config.task.variables, config.task.examples),
  );
  const part = Math.min(batchSize, Math.max(microBatch, Math.round(STEP_FLOPS / flopsPerPrompt)));
  const sample: Config = {
    ...config,
    model: { ...config.model, initFrom: undefined },
    // More steps are measured than a short run has, beyond which its schedule says nothing.
    training: { ...config.training, batchSize: part, schedule: "constant" },
    evaluation: { ...config.evaluation, prompts: 1, posteriorSamples: 0 },
  };
  const segments = (before: (SegmentResult | null)[], steps: number) =>
    Promise.all(
      before.map((result, member) => {
        const state = result?.state ?? null;
        return pool.runSegment({ config: sample, member, state, toStep: (state?.step ?? 0) + steps });
      }),
    );
  const warm = await segments(Array(workers).fill(null), 3);
  const roughly = Math.max(...warm.map((r) => r.trainSeconds)) / 3;
  const steps = Math.min(MAX_MEASURED_STEPS, Math.max(2, Math.round(MEASURED_SECONDS / roughly)));
  const timed = await segments(warm, steps);
  const mean = timed.reduce((sum, r) => sum + r.trainSeconds / steps, 0) / workers;
  return { seconds: (mean * batchSize) / part, prompts: part };
}
