import type { Batch } from "./transformer.ts";

/**
 * The batch with its sequences in lexicographic order of their tokens, so that equal prefixes are neighbours, which the
 * core computes once. A mean over the batch does not depend on the order.
 */
export function sortedBatch(batch: Batch): Batch {
  const { tokens, targets, batchSize, length, positions } = batch;
  const compare = (a: number, b: number) => {
    for (let t = 0; t < length; t++) {
      const difference = tokens[a * length + t] - tokens[b * length + t];
      if (difference !== 0) return difference;
    }
    return a - b;
  };
  const order = Int32Array.from({ length: batchSize }, (_, s) => s).sort(compare);
  const reordered = (values: Int32Array, width: number) => {
    const out = new Int32Array(values.length);
    order.forEach((from, to) => {
      out.set(values.subarray(from * width, (from + 1) * width), to * width);
    });
    return out;
  };
  return { ...batch, tokens: reordered(tokens, length), targets: reordered(targets, positions.length) };
}
