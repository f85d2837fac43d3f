/** How far threads can share the steps of one member. */
import type { Config } from "../config/schema.ts";
import type { Sharding } from "../core/batch.ts";
import { resolveShape } from "../core/shape.ts";
import { shardingOf } from "../core/shards.ts";
import type { TeamSize } from "../core/team.ts";
import { promptLength } from "../tasks/batch.ts";
import { estimateCost } from "./cost.ts";
import { termsPerStep } from "./loss-terms.ts";
import { transformerShape } from "./model.ts";

/** How the training batches of a configuration are cut. */
export function trainingSharding(config: Config): Sharding {
  const { task, training } = config;
  const length = promptLength(task.variables, task.examples);
  return shardingOf(resolveShape(transformerShape(config)), training.batchSize, length);
}

/** How many of `workers` threads have something to do, and how many of them share the steps of one member. */
export function threadsFor(config: Config, workers: number): { used: number; perMember: number } {
  const { members } = config.ensemble;
  const { shards } = trainingSharding(config);
  return {
    used: Math.min(workers, members * shards),
    perMember: Math.min(shards, Math.max(1, Math.floor(workers / members))),
  };
}

/** Room for a member's team among `workers` threads; null if its batches are one shard each. */
export function teamSizeOf(config: Config, workers: number): TeamSize | null {
  const { shards } = trainingSharding(config);
  if (shards === 1) return null;
  const { task, training } = config;
  const targets = termsPerStep(config);
  return {
    parameterCount: estimateCost(config).parameters,
    tokens: training.batchSize * promptLength(task.variables, task.examples),
    positions: targets / training.batchSize,
    targets,
    shards,
    // Two for each thread: nobody waits because the leader is at work.
    slots: Math.min(shards, 2 * threadsFor(config, workers).perMember),
  };
}
