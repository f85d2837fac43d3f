/**
 * The gradient of a batch as a sum over shards of it, of fixed size and in their order. Whoever computes a shard, the
 * sum has the same bytes: that is what lets threads share one step.
 */
import { type Batch, requireInputsAndTargets, type Sharding, termsOf } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import { microBatchSequences } from "./layout.ts";
import type { ModelMemory } from "./memory.ts";
import type { FullShape } from "./shape.ts";

/** Micro-batches of a shard: with fewer, adding up gradients would count; with more, fewer threads could help. */
const MICRO_BATCHES = 2;
/** A batch of fewer micro-batches is one shard: too short to be worth another thread's while. */
const FEWEST_MICRO_BATCHES = 8;

/** How a batch of sequences of `length` tokens is cut. */
export function shardingOf(shape: FullShape, batchSize: number, length: number): Sharding {
  const microBatch = microBatchSequences(shape, length);
  if (batchSize <= (FEWEST_MICRO_BATCHES - 1) * microBatch) return { shards: 1, sequences: batchSize };
  const sequences = MICRO_BATCHES * microBatch;
  return { shards: Math.ceil(batchSize / sequences), sequences };
}

/** Leaves the gradient of the mean loss over the batch in the core, and returns that loss. */
export function accumulateGradient(memory: ModelMemory, batch: Batch, dropout?: DropoutKey): number {
  requireInputsAndTargets(batch, memory.shape);
  const ordered = memory.reordered(batch, dropout);
  const sharding = shardingOf(memory.shape, batch.batchSize, batch.length);
  const { shards } = sharding;
  if (shards === 1) return gradientOfShard(memory, ordered, dropout, sharding, 0) / termsOf(batch);
  memory.core.clearTotal();
  let loss = 0;
  if (memory.team?.helped()) loss = memory.team.lead(memory, ordered, dropout, sharding);
  else
    for (let shard = 0; shard < shards; shard++) {
      loss += gradientOfShard(memory, ordered, dropout, sharding, shard);
      memory.core.addToTotal();
    }
  memory.core.totalToGradient();
  return loss / termsOf(batch);
}

/** Leaves a shard's part of the gradient in the core, and returns the sum of its losses. */
export function gradientOfShard(
  memory: ModelMemory,
  batch: Batch,
  dropout: DropoutKey | undefined,
  { sequences }: Sharding,
  shard: number,
): number {
  const { core } = memory;
  const { length, positions, batchSize } = batch;
  const weight = 1 / termsOf(batch);
  const from = shard * sequences;
  let loss = 0;
  memory.pack();
  core.zeroGradient();
  memory.eachMicroBatch(
    batch,
    dropout,
    (n) => {
      loss += core.forwardBackward(n, length, positions.length, weight);
    },
    { from, to: Math.min(batchSize, from + sequences) },
  );
  return loss;
}
