/** The ceiling of a build on this machine, and the matrix product at the shapes a model needs. */
import { best } from "./measure.mjs";

/** GFLOP/s of independent multiply-adds that never leave the registers. */
export function ceilingOf(core) {
  const steps = 1e5;
  const seconds = best((count) => {
    for (let i = 0; i < count; i++) core.ceiling(steps);
  });
  return (8 * core.ceilingChains() * steps) / seconds / 1e9;
}

/** GFLOP/s of C[m,n] = A[m,k] B[k,n], B packed beforehand as weights are, A packed within. */
export function gemmRate(core, { m, n, k, transposedA = false }) {
  let cursor = (core.heapBase() + 63) & ~63;
  const reserve = (floats) => {
    const at = cursor;
    cursor = (cursor + 4 * floats + 127) & ~63;
    return at;
  };
  const [A, B, C] = [reserve(m * k), reserve(k * n), reserve(m * n)];
  const packed = reserve(k * (n + 8));
  const scratch = reserve(core.packedAFloats());
  core.grow(cursor + 65536);
  for (const [at, length] of [
    [A, m * k],
    [B, k * n],
  ])
    new Float32Array(core.memory.buffer, at, length).forEach((_, i, view) => {
      view[i] = Math.sin(i);
    });
  core.packB(packed, B, k, n, 1, k);
  const [sm, sk] = transposedA ? [1, m] : [k, 1];
  const seconds = best((count) => {
    for (let i = 0; i < count; i++) core.gemm(m, n, k, A, sm, sk, packed, C, n, false, scratch);
  });
  return (2 * m * n * k) / seconds / 1e9;
}

/** The products of one block on a micro-batch of `rows` tokens: forward, and the gradients of the two MLP weights. */
export function blockShapes({ dModel: d, dMlp: f }, rows) {
  return [
    { name: "q, o", m: rows, n: d, k: d },
    { name: "k and v", m: rows, n: 2 * d, k: d },
    { name: "fc", m: rows, n: f, k: d },
    { name: "proj", m: rows, n: d, k: f },
    { name: "grad fc", m: f, n: d, k: rows, transposedA: true },
    { name: "grad proj", m: d, n: f, k: rows, transposedA: true },
  ].map((shape) => ({ ...shape, name: `${shape.name} ${shape.m}x${shape.n}x${shape.k}` }));
}
