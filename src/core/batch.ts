/** Batches, and what a model refuses of them. */
import {
  refuse,
  requireCount,
  requireInteger,
  requireLength,
  requireNonEmpty,
  requireTypedArray,
  requireWhole,
} from "../validate.ts";
import type { FullShape } from "./shape.ts";

/** A batch of B sequences of T tokens with P predictions each. */
export interface Batch {
  /** (B, T) row-major, values 0 .. dVocab-1. */
  tokens: Int32Array;
  /** B. */
  batchSize: number;
  /** T, at most nCtx. */
  length: number;
  /** (P) strictly increasing times at which the next token is predicted. */
  positions: Int32Array;
  /** (B, P) what should be predicted there. */
  targets: Int32Array;
}

/**
 * Everything but the targets, which predictions do not use.
 * @throws RangeError naming the first field or element that is not allowed
 */
export function requireInputs(batch: Batch, shape: FullShape): void {
  if (typeof batch !== "object" || batch === null)
    refuse("batch", batch, "an object with tokens, batchSize, length, positions and targets");
  const { tokens, batchSize, length, positions, targets } = batch;
  for (const [name, array] of Object.entries({ tokens, positions, targets }))
    requireTypedArray(name, array, "Int32Array");
  requireCount("batchSize", batchSize);
  requireCount("length", length, shape.nCtx);
  requireLength("tokens", tokens, batchSize * length, "batchSize x length");
  requireNonEmpty("positions", positions);
  for (let p = 0, next = 0; p < positions.length; next = positions[p++] + 1)
    requireInteger(`positions[${p}]`, positions[p], next, length - 1);
  requireTokens("tokens", tokens, shape);
}

/** @throws RangeError naming the first field or element that is not allowed */
export function requireInputsAndTargets(batch: Batch, shape: FullShape): void {
  requireInputs(batch, shape);
  const { targets, batchSize, positions } = batch;
  requireLength("targets", targets, batchSize * positions.length, "batchSize x positions");
  requireTokens("targets", targets, shape);
}

function requireTokens(name: string, tokens: Int32Array, { dVocab }: FullShape): void {
  for (let i = 0; i < tokens.length; i++)
    if (tokens[i] < 0 || tokens[i] >= dVocab) requireWhole(`${name}[${i}]`, tokens[i], dVocab - 1);
}

/** How a batch is cut into shards, whose gradients are added up in their order. */
export interface Sharding {
  shards: number;
  /** Sequences of each; the last one has what is left. */
  sequences: number;
}

/** Number of predictions of a batch: B P terms of the likelihood. */
export function termsOf({ batchSize, positions }: Batch): number {
  return batchSize * positions.length;
}

/** The batch in parts of at most `sequences` sequences: views, not copies. */
export function* partsOf(batch: Batch, sequences: number): Generator<Batch> {
  const { tokens, targets, batchSize, length, positions } = batch;
  for (let first = 0; first < batchSize; first += sequences) {
    const end = Math.min(batchSize, first + sequences);
    yield {
      ...batch,
      tokens: tokens.subarray(first * length, end * length),
      targets: targets.subarray(first * positions.length, end * positions.length),
      batchSize: end - first,
    };
  }
}

/**
 * The batch with its sequences in lexicographic order of their tokens, so that equal prefixes are neighbours, which the
 * core computes once. A mean over the batch does not depend on the order.
 */
export function sortedBatch(batch: Batch): Batch {
  const { tokens, targets, batchSize, length, positions } = batch;
  const order = lexicographicOrder(tokens, batchSize, length);
  const reordered = (values: Int32Array, width: number) => {
    const out = new Int32Array(values.length);
    for (let s = 0, to = 0; s < batchSize; s++)
      for (let i = order[s] * width, end = i + width; i < end; i++) out[to++] = values[i];
    return out;
  };
  return { ...batch, tokens: reordered(tokens, length), targets: reordered(targets, positions.length) };
}

/** Numbers of the sequences, equal ones in the order in which they came. */
function lexicographicOrder(tokens: Int32Array, batchSize: number, length: number): ArrayLike<number> {
  const base = tokens.reduce((most, token) => Math.max(most, token), 0) + 1;
  if (base ** length * batchSize <= Number.MAX_SAFE_INTEGER) {
    // Short sequences are digits of a number, and numbers are sorted without calling back.
    const keys = new Float64Array(batchSize);
    for (let s = 0, i = 0; s < batchSize; s++) {
      let digits = 0;
      for (const end = i + length; i < end; i++) digits = digits * base + tokens[i];
      keys[s] = digits * batchSize + s;
    }
    return keys.sort().map((key) => key % batchSize);
  }
  const compare = (a: number, b: number) => {
    for (let t = 0; t < length; t++) {
      const difference = tokens[a * length + t] - tokens[b * length + t];
      if (difference !== 0) return difference;
    }
    return a - b;
  };
  return Int32Array.from({ length: batchSize }, (_, s) => s).sort(compare);
}
