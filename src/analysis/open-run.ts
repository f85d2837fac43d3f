/** A run directory opened for an analysis of its checkpoints: locked, with what every analysis needs. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { ParameterInfo } from "../core/layout.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { startThreads } from "../pool/pool.ts";
import type { Threads } from "../pool/segments.ts";
import { type CheckpointStep, listCheckpoints } from "../run/checkpoints.ts";
import { RunDirectory } from "../run/directory.ts";
import { packageVersion } from "../run/environment.ts";
import { type RunIdentity, runHash } from "../run/identity.ts";
import { identityOf } from "../run/manifest.ts";
import { requireFits } from "../run/memory.ts";
import { readManifest, readRun } from "../run/read.ts";
import type { RunEvents } from "../run/records.ts";
import { promptLength } from "../tasks/batch.ts";
import { probeSetsOf } from "../tasks/probe-sets.ts";
import { termsPerStep } from "../training/loss-terms.ts";
import { transformerShape } from "../training/model.ts";
import type { AnalysisContext } from "./worker.ts";

export interface OpenRun {
  directory: RunDirectory;
  config: Config;
  core: CoreModule;
  events: RunEvents;
  kept: CheckpointStep[];
  /** Step of an evaluation -> the members in it. */
  evaluated: ReadonlyMap<number, readonly number[]>;
  /** What its files must agree with. */
  identity: RunIdentity;
  /** Names and places of the model's parameters. */
  table: readonly ParameterInfo[];
}

/**
 * Calls `use` with the run at `runDir` while no other process writes to it.
 * @throws UsageError if there is no run, or another process has it
 */
export async function withRun<T>(runDir: string, use: (run: OpenRun) => Promise<T>): Promise<T> {
  const manifest = await readManifest(runDir);
  if (!manifest) throw new UsageError(`there is no run in ${runDir}`);
  const identity = identityOf(manifest);
  const directory = await RunDirectory.open(runDir, "resume", identity.run);
  try {
    const { config, events, records } = await readRun(directory.path);
    const core = await loadCoreModule(config.math);
    const { parameters } = instantiateTransformer(core, transformerShape(config), { optimizer: "none" });
    const kept = await listCheckpoints(directory.path);
    const evaluated = new Map(
      records.map(({ step, members }) => [step, members.map(({ member }) => member)]),
    );
    return await use({ directory, config, core, events, kept, evaluated, identity, table: parameters });
  } finally {
    directory.close();
  }
}

const FLOAT = 4;

/** Workers are threads of compiled JavaScript, also when this file itself runs from source. */
const workerFile = fileURLToPath(new URL("../../dist/analysis/worker.js", import.meta.url));

/** Calls `use` with workers for the run's analyses, and ends them afterwards, or at once on the signal. */
export async function withWorkers<T>(
  { config, core }: OpenRun,
  { workers, signal }: { workers: number; signal?: AbortSignal },
  use: (threads: Threads) => Promise<T>,
): Promise<T> {
  const workerData: AnalysisContext = { config, core };
  const threads = startThreads({ workers, workerData, filename: workerFile });
  const end = () => void threads.close();
  signal?.addEventListener("abort", end);
  try {
    return await use(threads);
  } finally {
    signal?.removeEventListener("abort", end);
    await threads.close();
  }
}

/**
 * @param asked samples, draws whose predictions on all probe prompts are held together, and data, training predictions
 * @throws UsageError for more than the machine has memory for
 */
export function requireMemoryFor(
  { task, training, evaluation }: Config,
  { samples = 0, data = 0 }: { samples?: number; data?: number },
): void {
  const { examples, variables, modulus, promptPool } = task;
  requireFits("samples", samples, FLOAT * probeSetsOf(task).length * evaluation.prompts * examples * modulus);
  // Those of a pool are drawn once only.
  if (promptPool > 0) return;
  const positions = training.lossPositions === "all" ? examples : 1;
  requireFits("data", data, (FLOAT * promptLength(variables, examples)) / positions);
}

/** SHA-256 of what a result depends on besides the checkpoints it is made of, hexadecimal. */
export function settingsHash(config: Config, settings: object): string {
  return createHash("sha256")
    .update(JSON.stringify([packageVersion(), runHash(config), settings]))
    .digest("hex");
}

/** The fewest training batches that hold `predictions` predictions. */
export function batchesFor(config: Config, predictions: number): number {
  return Math.ceil(predictions / termsPerStep(config));
}
