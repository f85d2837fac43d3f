/**
 * GFLOP/s of all builds' matrix product under this Node, as one row of the table in docs/performance.md.
 *
 *   node benchmarks/micro-kernels.mjs     (any Node; `npm run build` first)
 */

import { loadCoreModule } from "../dist/core/build.js";
import { instantiateCore } from "../dist/core/instance.js";
import { enableWideSimd } from "../dist/core/simd.js";
import { ceilingOf, gemmRate } from "./kernels.mjs";

const SHAPES = [
  [240, 96, 64],
  [160, 256, 64],
  [256, 256, 256],
  [512, 512, 512],
];

enableWideSimd();
const header = ["Node (V8)"];
const cells = [`${process.versions.node} (${process.versions.v8.split(".").slice(0, 2).join(".")})`];
for (const [math, simd] of [
  ["fast", "256"],
  ["strict", "256"],
  ["fast", "128"],
  ["strict", "128"],
]) {
  const core = await loadCoreModule(math, simd).catch(() => null);
  const rate = (measure) => (core?.math === math ? measure(instantiateCore(core)).toFixed(0) : "-");
  header.push(`${math} ${simd}: ceiling`, ...SHAPES.map((shape) => shape.join("x")));
  cells.push(
    rate(ceilingOf),
    ...SHAPES.map(([m, n, k]) => rate((exports) => gemmRate(exports, { m, n, k }))),
  );
}
console.error(`| ${header.join(" | ")} |\n|${"---|".repeat(header.length)}`);
console.log(`| ${cells.join(" | ")} |`);
