import { expect, it } from "vitest";
import { sortedBatch } from "../src/core/batch.ts";
import { Random } from "./reference/random.ts";

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

it.each([1, 3, 8, 40])("does so whatever the length, %i tokens", (length) => {
  const batchSize = 60;
  const random = new Random(length);
  // Few distinct first tokens, so that many sequences begin alike.
  const tokens = Int32Array.from(random.normals(batchSize * length), (x, i) =>
    i % length < length - 1 ? Math.abs(Math.trunc(x)) : Math.abs(Math.trunc(9 * x)),
  );
  const targets = Int32Array.from({ length: batchSize }, (_, s) => s);
  const sequence = (s: number) => [...tokens.subarray(s * length, (s + 1) * length)];
  const order = [...targets].sort((a, b) => {
    const different = sequence(a).findIndex((token, t) => token !== sequence(b)[t]);
    return different < 0 ? a - b : sequence(a)[different] - sequence(b)[different];
  });
  const positions = Int32Array.of(length - 1);
  const sorted = sortedBatch({ tokens, batchSize, length, positions, targets });
  expect([...sorted.targets]).toEqual(order);
  expect([...sorted.tokens]).toEqual(order.flatMap(sequence));
});
