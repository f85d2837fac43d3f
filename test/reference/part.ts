import type { ReferenceBatch } from "./transformer.ts";

/** Sequences [first, first + count) of a batch. */
export function part(batch: ReferenceBatch, first: number, count: number): ReferenceBatch {
  const { length, positions, tokens, targets } = batch;
  return {
    ...batch,
    batchSize: count,
    tokens: tokens.slice(first * length, (first + count) * length),
    targets: targets.slice(first * positions.length, (first + count) * positions.length),
  };
}
