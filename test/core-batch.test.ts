import { expect, it } from "vitest";
import { sortedBatch } from "../src/core/batch.ts";

it("orders sequences by their tokens, targets along with them, equal ones as they were", () => {
  const batch = {
    tokens: Int32Array.of(2, 10, 1, 5, 2, 9, 1, 5),
    batchSize: 4,
    length: 2,
    positions: Int32Array.of(0, 1),
    targets: Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
  };
  const sorted = sortedBatch(batch);
  expect([...sorted.tokens]).toEqual([1, 5, 1, 5, 2, 9, 2, 10]);
  expect([...sorted.targets]).toEqual([2, 3, 6, 7, 4, 5, 0, 1]);
  expect([...batch.tokens]).toEqual([2, 10, 1, 5, 2, 9, 1, 5]);
});
