/** Curvature of layers and blocks against the blocks of dense matrices. */
import { describe, expect, it } from "vitest";
import { blockOperator, curvatureByGroup } from "../src/curvature/by-group.ts";
import { GROUPINGS, parameterGroups } from "../src/curvature/groups.ts";
import { denseMatrix, ggnOperator, hessianOperator, rootedGgnOperator } from "../src/curvature/operators.ts";
import { symmetricEigen } from "../src/curvature/vector.ts";
import { TINY, tinyTwin } from "./fixtures/curvature-twin.ts";
import { testStream } from "./fixtures/rng.ts";
import { Random } from "./reference/random.ts";

const { model, parameters, batches } = tinyTwin(81, { ...TINY, roles: 2 });
const n = model.parameterCount;

/** A block of a dense matrix (n, n). */
function blockOf(whole: Float64Array, offset: number, length: number): Float64Array {
  return Float64Array.from({ length: length * length }, (_, i) => {
    const [row, column] = [Math.floor(i / length), i % length];
    return whole[(offset + row) * n + offset + column];
  });
}

describe("groups of parameters", () => {
  it("are the tensors, or the blocks of the network, and cover all parameters", () => {
    expect(parameterGroups(model.parameters, "layer").map(({ name }) => name)).toEqual(
      model.parameters.map(({ name }) => name),
    );
    const deep = tinyTwin(1, { ...TINY, nLayers: 2 }).model;
    expect(parameterGroups(deep.parameters, "block").map(({ name }) => name)).toEqual([
      ...["embeddings", "transformer.h.0", "transformer.h.1", "unembedding"],
    ]);
    for (const by of GROUPINGS) {
      let end = 0;
      for (const { offset, length } of parameterGroups(model.parameters, by)) {
        expect(offset).toBe(end);
        end += length;
      }
      expect(end).toBe(n);
    }
    const tied = tinyTwin(1, { ...TINY, tiedEmbeddings: true }).model;
    expect(parameterGroups(tied.parameters, "block").at(-1)!.length).toBe(2 * TINY.dModel);
    expect(() => parameterGroups(model.parameters, "head" as "layer")).toThrow(
      /grouping: got head, must be one of layer, block/,
    );
  });
});

const ggn = ggnOperator(model, batches);
const denseGgn = denseMatrix(ggn);
const hessian = hessianOperator(model, batches);

describe.each([
  ["GGN", ggn, denseGgn],
  ["Hessian", hessian, denseMatrix(hessian)],
] as const)("%s", (name, operator, whole) => {
  it.each(GROUPINGS)("by %s: eigenvalues and trace are those of the dense blocks", (by) => {
    const groups = parameterGroups(model.parameters, by);
    const found = curvatureByGroup(operator, groups, {
      ...{ k: 3, smallest: name === "Hessian", tolerance: 1e-8, rng: testStream(3) },
    });
    expect(found.map((group) => group.name)).toEqual(groups.map((group) => group.name));
    const traces = found.map(({ trace, largest, smallest, converged, parameters: count }, g) => {
      const { offset, length } = groups[g];
      const dense = blockOf(whole, offset, length);
      const exact = symmetricEigen(dense, length).eigenvalues.toReversed();
      const size = Math.max(...exact.map(Math.abs));
      expect(count).toBe(length);
      expect(converged).toBe(true);
      expect(largest).toHaveLength(Math.min(3, length));
      largest.forEach((x, i) => {
        expect(Math.abs(x - exact[i])).toBeLessThanOrEqual(1e-7 * size);
      });
      if (smallest === null) expect(name).toBe("GGN");
      else expect(Math.abs(smallest - exact[length - 1])).toBeLessThanOrEqual(1e-7 * size);
      const sum = exact.reduce((a, b) => a + b, 0);
      // Exact but for rounding in a block of no more than 30 parameters.
      expect(trace.standardError === 0).toBe(length <= 30);
      const bound = 5 * trace.standardError + 1e-12 * size * length;
      expect(Math.abs(trace.estimate - sum)).toBeLessThanOrEqual(bound);
      return sum;
    });
    const all = Array.from({ length: n }, (_, i) => whole[i * (n + 1)]).reduce((a, b) => a + b);
    expect(traces.reduce((a, b) => a + b)).toBeCloseTo(all, 9);
    const [top] = symmetricEigen(whole, n).eigenvalues.toReversed();
    for (const { largest } of found) expect(largest[0]).toBeLessThan(top * (1 + 1e-9));
  });
});

it("a block of an operator with a root has the block's root", () => {
  const rooted = rootedGgnOperator(model, parameters, batches);
  const { offset, length } = model.parameters[3];
  const block = blockOperator(rooted, { offset, length });
  const exact = blockOf(denseGgn, offset, length);
  const dense = denseMatrix(block);
  const scale = Math.max(...exact.map(Math.abs));
  dense.forEach((x, i) => {
    expect(Math.abs(x - exact[i])).toBeLessThan(1e-10 * scale);
  });
  const v = new Random(5).normals(length);
  block.matvec(v).forEach((x, i) => {
    expect(x).toBeCloseTo(block.root!.transposed(block.root!.product(v))[i], 12);
  });
});

it("names what is wrong", () => {
  expect(() => blockOperator(ggn, { offset: n, length: 1 })).toThrow(/offset: got/);
  expect(() => blockOperator(ggn, { offset: 1, length: n })).toThrow(/length: got/);
  expect(() => blockOperator(ggn, { offset: 1, length: 2 }).matvec(new Float64Array(3))).toThrow(
    /length of v: got 3, must be 2/,
  );
  expect(() => curvatureByGroup(ggn, [], { k: 0, rng: testStream(1) })).toThrow(/k: got 0/);
});
