/** The probe sets: fixed prompts with the exact predictives of the memorising and the generalising predictor. */

import type { Batch } from "../core/batch.ts";
import { log } from "../elementary.ts";
import { requireCount, requireFraction, requireObject, requireWord } from "../validate.ts";
import { type Bootstrap, memberPrompts, memberTasks } from "./bootstrap.ts";
import {
  everyTask,
  expectedHit,
  largest,
  listedTasks,
  SequentialPosterior,
  withTargetNoise,
} from "./exact.ts";
import { TaskFamily } from "./family.ts";
import { drawProbePrompts, type ProbePrompts } from "./probe-prompts.ts";
import { PROBE_SETS } from "./probe-sets.ts";
import { drawPromptPool, type PromptPool } from "./prompt-pool.ts";
import type { TaskConfig } from "./settings.ts";
import { splitTasks } from "./split.ts";

export interface ExactReferences {
  /** (B, P, p): predictive of the memorising predictor, whose prior is uniform over the training tasks. */
  M: Float64Array;
  /** (B, P, p): predictive of the generalising predictor, whose prior is uniform over all tasks. */
  G: Float64Array;
  /** (B, P): 1 if some training task can have produced the context; where 0, M is its prior predictive. */
  supportM: Uint8Array;
}

/** Bayes-optimal accuracies and reference entropies of one probe set, at the last position unless said otherwise. */
export interface ProbeReference {
  prompts: number;
  positions: number;
  chance: number;
  /** Expected accuracy of the generalising predictor G: the ceiling. */
  ceiling: number;
  ceilingByPosition: number[];
  /** Accuracy of the memorising predictor M on this set. */
  memorisingAccuracy: number;
  /** Mean entropy of G, nats. */
  entropyG: number;
  /** Fraction of prompts on which some training task fits the context. */
  supportM: number;
  /**
   * Of prompts of a pool: expected accuracy of a look-up table of the whole pool, the ceiling of who remembers it. It is
   * below 1 where prompts that end differently begin alike.
   */
  lookUpCeiling?: number;
}

/** Prompts that predictions are measured on, with what exact Bayesians predict for them. */
export interface ProbeSet extends ProbePrompts {
  references: ExactReferences;
  reference: ProbeReference;
  /**
   * With a bootstrap, of what is trained: for each member (B), 1 where it is trained on that prompt, or on its task. A
   * member is measured on these alone, the ensemble on all.
   */
  trainedBy?: Uint8Array[];
}

/** What the probe sets of a run depend on: a part of its configuration. */
export interface ProbeOptions {
  task: TaskConfig;
  seed: number;
  /** Prompts in each set. */
  evaluation: { prompts: number };
  /** What the members train on; by default all on the same. */
  ensemble?: { members: number; bootstrap?: Bootstrap };
}

/**
 * The probe sets of a run, with the same prompts for every member. Position k predicts the clean output after k examples, whose
 * outputs carry probeNoise; the references know that noise. Prompts of the pool are as training shows them, with its
 * noise and its targets. (Without references: `drawProbePrompts`.)
 *
 * @throws RangeError for an invalid task configuration
 */
export function createProbeSets(options: ProbeOptions): ProbeSet[] {
  const { task, seed, evaluation } = requireObject("options", options);
  requireCount("task.examples", requireObject("task", task).examples);
  for (const noise of ["trainNoise", "probeNoise"] as const) requireFraction(`task.${noise}`, task[noise]);
  requireWord("seed", seed);
  requireCount("evaluation.prompts", requireObject("evaluation", evaluation).prompts);
  const family = new TaskFamily(task);
  const { train } = splitTasks(task, seed);
  const trainTasks = Array.from(train, (index) => family.task(index));
  const predictors = (noise: number): Predictors => ({
    memorising: new SequentialPosterior(listedTasks(family, trainTasks), task.modulus, noise, task.examples),
    generalising: new SequentialPosterior(everyTask(family), task.modulus, noise, task.examples),
  });
  const fresh = predictors(task.probeNoise);
  const pool = drawPromptPool(task, seed, evaluation.prompts);
  return drawProbePrompts(task, seed, evaluation.prompts).map((prompts) => {
    const trainedBy = trainingShares(prompts, pool, train, options);
    const probe = { ...prompts, ...(trainedBy && { trainedBy }) };
    if (PROBE_SETS[prompts.name].prompts === "fresh") {
      const references = exactReferences(prompts, family, fresh);
      return { ...probe, references, reference: summarise(prompts, references, task.modulus) };
    }
    const references = trainingReferences(prompts, family, predictors(task.trainNoise), task);
    const lookUpCeiling = lookUpAccuracy(prompts, pool!);
    const reference = { ...summarise(prompts, references, task.modulus), lookUpCeiling };
    return { ...probe, references, reference };
  });
}

/** `ProbeSet.trainedBy`; undefined where all members are trained alike. */
function trainingShares(
  { name, tasks }: ProbePrompts,
  pool: PromptPool | null,
  train: Int32Array,
  { seed, ensemble: { members, bootstrap = "none" } = { members: 0 } }: ProbeOptions,
): Uint8Array[] | undefined {
  const set = PROBE_SETS[name];
  const ofPool = set.prompts === "pool";
  if (set.tasks === "heldOut" || !(bootstrap === "tasks" || (bootstrap === "prompts" && ofPool)))
    return undefined;
  return Array.from({ length: members }, (_, member) => {
    // The set of the pool are its first prompts.
    const own = new Set(
      ofPool
        ? memberPrompts(pool!, bootstrap, train, seed, member)
        : Array.from(memberTasks(bootstrap, train.length, seed, member), (place) => train[place]),
    );
    return Uint8Array.from(tasks, (task, b) => (own.has(ofPool ? b : task) ? 1 : 0));
  });
}

interface Predictors {
  memorising: SequentialPosterior;
  generalising: SequentialPosterior;
}

/** With noisyTargets, what training asks for is the output after noise. */
function trainingReferences(
  prompts: ProbePrompts,
  family: TaskFamily,
  predictors: Predictors,
  { noisyTargets, trainNoise }: TaskConfig,
): ExactReferences {
  const clean = exactReferences(prompts, family, predictors);
  if (!noisyTargets || trainNoise === 0) return clean;
  const noisy = (predictive: Float64Array) =>
    predictive.map((p) => withTargetNoise(p, trainNoise, family.modulus));
  return { ...clean, M: noisy(clean.M), G: noisy(clean.G) };
}

/**
 * Expected accuracy on these prompts, at the last position, of the table that knows how often each target follows the
 * same tokens in the pool.
 */
function lookUpAccuracy({ batch }: ProbePrompts, { batch: pool }: PromptPool): number {
  const tokens = (of: Batch, b: number) => of.tokens.subarray(b * of.length, (b + 1) * of.length).join();
  const table = new Map<string, Map<number, number>>();
  for (let b = 0; b < pool.batchSize; b++) {
    const counts = table.get(tokens(pool, b)) ?? new Map<number, number>();
    const target = pool.targets[(b + 1) * pool.positions.length - 1];
    table.set(tokens(pool, b), counts.set(target, (counts.get(target) ?? 0) + 1));
  }
  let sum = 0;
  for (let b = 0; b < batch.batchSize; b++) {
    const counts = [...table.get(tokens(batch, b))!.values()];
    sum += Math.max(...counts) / counts.reduce((all, count) => all + count);
  }
  return sum / batch.batchSize;
}

function exactReferences(
  { batch, outputs }: ProbePrompts,
  { modulus, variables }: TaskFamily,
  { memorising, generalising }: Predictors,
): ExactReferences {
  const positions = batch.positions.length;
  const rows = batch.batchSize * positions;
  const M = new Float64Array(rows * modulus);
  const G = new Float64Array(rows * modulus);
  const supportM = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    const k = row % positions;
    if (k === 0) {
      memorising.reset();
      generalising.reset();
    }
    const at = Math.floor(row / positions) * batch.length + k * (variables + 1);
    const input = batch.tokens.subarray(at, at + variables);
    supportM[row] = memorising.predict(input, M, row * modulus) ? 1 : 0;
    generalising.predict(input, G, row * modulus);
    memorising.observe(outputs[row]);
    generalising.observe(outputs[row]);
  }
  return { M, G, supportM };
}

function summarise(
  { batch }: ProbePrompts,
  { M, G, supportM }: ExactReferences,
  modulus: number,
): ProbeReference {
  const prompts = batch.batchSize;
  const positions = batch.positions.length;
  const sumsOfMaxima = new Array<number>(positions).fill(0);
  let memorisingHits = 0;
  let entropy = 0;
  let supported = 0;
  for (let row = 0; row < prompts * positions; row++) {
    const g = G.subarray(row * modulus, (row + 1) * modulus);
    sumsOfMaxima[row % positions] += largest(g);
    if (row % positions === positions - 1) {
      memorisingHits += expectedHit(M.subarray(row * modulus, (row + 1) * modulus), batch.targets[row]);
      entropy += g.reduce((sum, p) => (p > 0 ? sum - p * log(p) : sum), 0);
      supported += supportM[row];
    }
  }
  const ceilingByPosition = sumsOfMaxima.map((sum) => sum / prompts);
  return {
    prompts,
    positions,
    chance: 1 / modulus,
    ceiling: ceilingByPosition[positions - 1],
    ceilingByPosition,
    memorisingAccuracy: memorisingHits / prompts,
    entropyG: entropy / prompts,
    supportM: supported / prompts,
  };
}
