/**
 * The prompt layout `x1..xv z` repeated n times, and batches of such prompts. Tokens are the residues 0..p-1. A decoder
 * predicts each z from the position just before it, and the last z is only asked, never fed: T = n (v+1) - 1 tokens,
 * of which n positions predict.
 */

import type { Batch } from "../core/batch.ts";

/** T, the number of tokens of a prompt. */
export function promptLength(variables: number, examples: number): number {
  return examples * (variables + 1) - 1;
}

/** (n): the positions from which the z of example 0..n-1 is predicted; index k has k examples as context. */
export function predictingPositions(variables: number, examples: number): Int32Array {
  return Int32Array.from({ length: examples }, (_, k) => variables - 1 + k * (variables + 1));
}

/** An all-zero batch. */
export function emptyBatch(batchSize: number, length: number, positions: Int32Array): Batch {
  return {
    tokens: new Int32Array(batchSize * length),
    batchSize,
    length,
    positions,
    targets: new Int32Array(batchSize * positions.length),
  };
}
