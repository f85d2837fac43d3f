/** The ceiling of a build on this machine, and the matrix product at the shapes a model needs. */
import { instantiateCore } from "../dist/core/instance.js";
import { PRESETS } from "./configs.mjs";
import { best } from "./measure.mjs";

/** Tokens of a typical micro-batch. */
const ROWS = 160;
const OF_CEILING = 0.85;

/** GFLOP/s of independent multiply-adds that never leave the registers (assembly/ceiling.ts). */
export function ceilingOf(core) {
  const rounds = 1e5;
  const out = (core.heapBase() + 63) & ~63;
  core.grow(out + 65536);
  const seconds = ["ceiling", "ceilingUnrolled"].map((loop) =>
    best((count) => {
      for (let i = 0; i < count; i++) core[loop](rounds, 1, 1e-3, out);
    }),
  );
  return (core.ceilingFlops() * rounds) / Math.min(...seconds) / 1e9;
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
  const packed = reserve(k * (n + core.panelColumns()));
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

/** The products of one block on a micro-batch: forward, and the gradients of the two MLP weights. */
function blockShapes({ dModel: d, dMlp: f }) {
  return [
    { what: "q, o", m: ROWS, n: d, k: d },
    { what: "k and v", m: ROWS, n: 2 * d, k: d },
    { what: "fc", m: ROWS, n: f, k: d },
    { what: "proj", m: ROWS, n: d, k: f },
    { what: "grad fc", m: f, n: d, k: ROWS, transposedA: true },
    { what: "grad proj", m: d, n: f, k: ROWS, transposedA: true },
  ];
}

export const ceilingBenches = (builds) =>
  builds.map(({ label, ceiling }) => ({
    ...{ group: "ceiling", name: "registers only", build: label },
    measure: () => [{ value: ceiling(), unit: "GFLOP/s" }],
  }));

export const gemmBenches = (builds) =>
  Object.entries(PRESETS).flatMap(([preset, { model }]) =>
    blockShapes(model).flatMap((shape) =>
      builds.map(({ label, core, ceiling }) => ({
        ...{ group: "gemm", name: `${preset}: ${shape.what} ${shape.m}x${shape.n}x${shape.k}`, build: label },
        measure() {
          const value = gemmRate(instantiateCore(core), shape);
          return [{ value, unit: "GFLOP/s", share: value / ceiling(), minShare: OF_CEILING }];
        },
      })),
    ),
  );
