/** Kernels of the core in isolation, both builds: matrix product, exp, tanh, activations. */
import { describe, expect, it } from "vitest";
import { ACT_FNS, ACTIVATIONS } from "../src/core/activations.ts";
import { loadCoreModule } from "../src/core/build.ts";
import type { CoreExports } from "../src/core/exports.ts";
import { instantiateCore } from "../src/core/instance.ts";
import { planMemory } from "../src/core/layout.ts";
import type { MathMode } from "../src/core/module.ts";
import { resolveShape } from "../src/core/shape.ts";
import { float32Tolerance } from "./reference/compare.ts";
import { constant } from "./reference/dual.ts";
import { activation } from "./reference/layers.ts";
import { Random } from "./reference/random.ts";

const builds: MathMode[] = ["strict", "fast"];
/** Sizes below, at and above the tile (4 to 6 x 8 or 16), the row block (64 to 96) and the depth block (256), and multiples. */
const sizes = [1, 3, 4, 5, 6, 7, 8, 9, 17, 80, 81, 96, 97, 255, 256, 257, 530];

describe.each(builds)("the %s build", (math) => {
  const load = async () => {
    const module = await loadCoreModule(math);
    expect(module.math).toBe(math);
    return instantiateCore(module);
  };

  it("is the build it claims to be", async () => {
    const core = await load();
    const a = 1 + 2 ** -12;
    // a^2 = 1 + 2^-11 + 2^-24: the last term survives only without an intermediate rounding.
    expect(core.multiplyAdd(a, a, -1)).toBe(math === "fast" ? 2 ** -11 + 2 ** -24 : 2 ** -11);
  });

  it.each([false, true])(
    "gemm equals its naive twin and float64, transposed operands or not, accumulate %s",
    async (accumulate) => {
      const core = await load();
      const random = new Random(1);
      const operands = sizes.flatMap((m, i) => [
        [m, sizes[(i + 3) % sizes.length], sizes[(i + 7) % sizes.length]],
        [sizes[(i + 5) % sizes.length], m, 9],
        [9, 33, m],
      ]);
      for (const [m, n, k] of operands) {
        for (const transposed of [0, 1, 2, 3]) {
          const [sm, sk] = transposed & 1 ? [1, m] : [k, 1];
          const [sk2, sn] = transposed & 2 ? [1, k] : [n, 1];
          const ldc = n + 3;
          let cursor = (core.heapBase() + 63) & ~63;
          const reserve = (floats: number) => {
            const at = cursor;
            cursor = (cursor + 4 * floats + 127) & ~63;
            return at;
          };
          const [A, B, C, D] = [reserve(m * k), reserve(k * n), reserve(m * ldc), reserve(m * ldc)];
          const packed = reserve(k * (n + core.panelColumns()));
          const scratch = reserve(core.packedAFloats());
          core.grow(cursor + 65536);
          const view = (at: number, length: number) => new Float32Array(core.memory.buffer, at, length);
          view(A, m * k).set(random.normals(m * k));
          view(B, k * n).set(random.normals(k * n));
          // NaN outside the result shows any write there; NaN inside shows that C is not read unless accumulating.
          const before = new Float32Array(m * ldc).fill(Number.NaN);
          if (accumulate) for (let i = 0; i < m; i++) before.set(random.normals(n), i * ldc);
          view(C, m * ldc).set(before);
          view(D, m * ldc).set(before);

          core.packB(packed, B, k, n, sk2, sn);
          core.gemm(m, n, k, A, sm, sk, packed, C, ldc, accumulate, scratch);
          core.gemmNaive(m, n, k, A, sm, sk, B, sk2, sn, D, ldc, accumulate);

          const a = Float64Array.from(view(A, m * k));
          const b = Float64Array.from(view(B, k * n));
          const c = view(C, m * ldc);
          const d = view(D, m * ldc);
          let worst = 0;
          let worstNaive = 0;
          let largest = 0;
          for (let i = 0; i < m; i++) {
            for (let j = 0; j < ldc; j++) {
              const at = i * ldc + j;
              if (j >= n) {
                if (!Number.isNaN(c[at]))
                  throw new Error(`wrote outside C at ${i}, ${j} for ${m} x ${n} x ${k}`);
                continue;
              }
              let sum = accumulate ? before[at] : 0;
              for (let l = 0; l < k; l++) sum += a[i * sm + l * sk] * b[l * sk2 + j * sn];
              largest = Math.max(largest, Math.abs(sum));
              worst = Math.max(worst, Math.abs(c[at] - sum));
              worstNaive = Math.max(worstNaive, Math.abs(d[at] - sum));
            }
          }
          const bound = float32Tolerance(k + 1) * Math.max(largest, 1);
          expect(worst, `${m} x ${n} x ${k}, operands ${transposed}`).toBeLessThan(bound);
          expect(worstNaive).toBeLessThan(bound);
        }
      }
    },
  );

  it("exp and tanh are within a few units in the last place", async () => {
    const core = await load();
    const ulps = (got: number, exact: number) =>
      Math.abs(got - exact) / 2 ** (Math.floor(Math.log2(Math.abs(exact))) - 23);
    let worstExp = 0;
    let worstTanh = 0;
    for (let i = -87_000; i <= 88_000; i += 7) {
      const x = Math.fround(i / 1000);
      worstExp = Math.max(worstExp, ulps(core.exp(x), Math.exp(x)));
      const y = Math.fround(i / 9000);
      if (y !== 0) worstTanh = Math.max(worstTanh, ulps(core.tanh(y), Math.tanh(y)));
    }
    expect(worstExp).toBeLessThan(2);
    expect(worstTanh).toBeLessThan(3);
    expect(core.exp(-88)).toBe(0);
    expect(core.exp(-1e30)).toBe(0);
    expect(core.exp(0)).toBe(1);
    expect(core.exp(Number.NaN)).toBeNaN();
    expect(core.tanh(0)).toBe(0);
    expect(core.tanh(50)).toBe(1);
    expect(core.tanh(-50)).toBe(-1);
  });

  /** Plans a tiny model with the activation of this code; returns its memory's end. */
  const planned = (core: CoreExports, code: number) => {
    const tiny = { dVocab: 3, dModel: 2, nHeads: 1, nLayers: 1, dMlp: 1, nCtx: 1 };
    planMemory(core, resolveShape({ ...tiny, actFn: "relu", tiedEmbeddings: false }), { optimizer: "none" });
    core.activation.value = code;
    const end = core.plan();
    core.grow(end + 65536);
    return end;
  };

  it.each(ACT_FNS)("%s and its slope are within a few roundings", async (actFn) => {
    const core = await load();
    const end = planned(core, ACTIVATIONS[actFn].code);
    const x = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 100);
    const [inout, input] = [end, end + 4 * x.length + 64].map(
      (at) => new Float32Array(core.memory.buffer, at, x.length),
    );
    const run = (kernel: "activationForward" | "activationBackward", initial: ArrayLike<number>) => {
      inout.set(initial);
      input.set(x);
      core[kernel](inout.byteOffset, input.byteOffset, x.length, false);
      return inout.slice();
    };
    const ones = new Float32Array(x.length).fill(1);
    const { output, pullback } = activation([constant(x)], actFn);
    const value = output[0].value;
    const slope = pullback([constant(ones)])[0].value;
    // Values are below |x| and slopes about 1, both sums of terms of that size.
    const worst = (got: Float32Array, exact: Float64Array, size: (i: number) => number) =>
      Math.max(...exact.map((e, i) => (got[i] === e ? 0 : Math.abs(got[i] - e) / (2 ** -24 * size(i)))));
    expect(worst(run("activationForward", x), value, (i) => Math.abs(x[i]))).toBeLessThan(4);
    expect(worst(run("activationBackward", ones), slope, () => 1)).toBeLessThan(16);
  });

  it("silu keeps its relative accuracy where it is small, and saturates", async () => {
    const core = await load();
    const at = planned(core, ACTIVATIONS.silu.code);
    const silu = (x: number) => {
      const memory = new Float32Array(core.memory.buffer, at, 4).fill(x);
      core.activationForward(at, at, 4, false);
      return memory[0];
    };
    for (let x = -80; x < 20; x += 0.37) {
      const exact = Math.fround(x) / (1 + Math.exp(-Math.fround(x)));
      expect(Math.abs(silu(x) / exact - 1)).toBeLessThan(4 * 2 ** -24);
    }
    expect(silu(200)).toBe(200);
    expect(Math.abs(silu(-1e4))).toBeLessThan(1e-30);
    expect(silu(Number.NaN)).toBeNaN();
  });

  it("traps on an activation that it does not have", async () => {
    const core = await load();
    expect(() => planned(core, ACT_FNS.length)).toThrow(WebAssembly.RuntimeError);
  });
});
