/** Whether a run is what was written and, trained again, comes out the same. */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { loadCoreModule } from "../core/build.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { createWorkerPool, type WorkerPoolOptions } from "../pool/pool.ts";
import type { WorkerPool } from "../pool/segments.ts";
import type { MemberState } from "../training/messages.ts";
import { stateAtStart, transformerShape } from "../training/model.ts";
import { requireCount, requireWhole } from "../validate.ts";
import { readCheckpoint, readInitialCopy } from "./checkpoints.ts";
import { FileFault } from "./errors.ts";
import { examine } from "./examine.ts";
import { checkpointFile, isRunFile, LOCK } from "./files.ts";
import { holderOf } from "./lock.ts";
import { identityOf, type Manifest } from "./manifest.ts";
import { readManifest, readMetrics } from "./read.ts";
import { runSchedule } from "./schedule.ts";

export interface Verification {
  /** Files of the run that are there. */
  files: number;
  /** Whether they have checksums: not those of early versions. */
  sealed: boolean;
  /** What is damaged, of another run, missing or, computed again, another one. */
  faults: string[];
  /** Checkpoints and losses that were computed again. */
  recomputed: number;
}

export interface RecomputeOptions {
  /** The first so many members are trained again. */
  members: number;
  /** As far as this step. */
  until: number;
  workers: number;
  /** Replaces the worker threads. */
  createPool?: (options: WorkerPoolOptions) => WorkerPool;
}

/**
 * Reads every file of a run and, with `recompute`, trains members again from their beginning and compares their
 * checkpoints and losses bit for bit. Writes nothing.
 * @throws UsageError if there is no run, or another process writes it; RangeError for an option outside its range
 */
export async function verifyRun(runDir: string, recompute?: RecomputeOptions): Promise<Verification> {
  const directory = resolve(runDir);
  const manifest = await readManifest(directory);
  if (!manifest) throw new UsageError(`there is no run in ${runDir}`);
  const holder = holderOf(join(directory, LOCK));
  if (holder?.dead === false)
    throw new UsageError(`process ${holder.pid} on ${holder.host} is writing the run: verify it afterwards`);
  const core = await loadCoreModule(manifest.config.math);
  const { parameters } = instantiateTransformer(core, transformerShape(manifest.config), {
    optimizer: "none",
  });
  const { faults } = await examine(directory, manifest, parameters);
  const again = recompute
    ? await trainAgain(directory, manifest, core, recompute)
    : { faults: [], recomputed: 0 };
  const names = await readdir(directory, { recursive: true, encoding: "utf8" });
  return {
    files: names.filter(isRunFile).length,
    sealed: identityOf(manifest).sealed,
    faults: [...faults, ...again.faults].map(({ message }) => message),
    recomputed: again.recomputed,
  };
}

async function trainAgain(
  directory: string,
  manifest: Manifest,
  core: CoreModule,
  { members, until, workers, createPool = createWorkerPool }: RecomputeOptions,
): Promise<{ faults: FileFault[]; recomputed: number }> {
  const { config } = manifest;
  if (manifest.imported)
    throw new UsageError(`${directory} holds checkpoints from elsewhere: how they were trained is not known`);
  requireCount("members", members, config.ensemble.members);
  requireWhole("until", until);
  const { steps, checkpoints } = runSchedule(manifest);
  const identity = identityOf(manifest);
  const table = instantiateTransformer(core, transformerShape(config), { optimizer: "none" }).parameters;
  const records = new Map((await readMetrics(directory, () => {})).map((record) => [record.step, record]));
  const faults: FileFault[] = [];
  let recomputed = 0;
  const compare = (same: boolean, file: string, what: string) => {
    recomputed++;
    if (!same) faults.push(new FileFault({ directory, file }, `${what}, computed again, is another one`));
  };
  const pool = createPool({ workers, members: config.ensemble.members, core });
  const trainMember = async (member: number) => {
    let state: MemberState | null =
      config.model.initFrom === undefined
        ? null
        : stateAtStart(config, await readInitialCopy(directory, member, table, identity));
    for (const step of steps.filter((each) => each <= until)) {
      const result = await pool.runSegment({ config, member, state, toStep: step });
      state = result.state;
      if (result.nonFinite) return;
      if (checkpoints.has(step)) {
        const key = { step, member };
        const stored = await readCheckpoint(directory, key, table, identity).catch((error) => {
          // Named by the examination of all files.
          if (error instanceof FileFault) return null;
          throw error;
        });
        if (stored) compare(sameBits(stored, state.parameters), checkpointFile(key), "the checkpoint");
      }
      const own = records.get(step)?.members.find((each) => each.member === member);
      if (own && result.sums.steps > 0)
        compare(
          own.loss === result.sums.loss / result.sums.steps,
          "metrics.jsonl",
          `the loss of member ${member} up to step ${step}`,
        );
    }
  };
  try {
    await Promise.all(Array.from({ length: members }, (_, member) => trainMember(member)));
  } finally {
    await pool.close();
  }
  return { faults, recomputed };
}

const sameBits = (a: Float32Array, b: Float32Array) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;
