/**
 * Where the time of a training step goes: shares of a CPU profile by part of the core, at the widths of the benchmark, on
 * this Node. The core is compiled once more with names; its code is the same.
 *
 *   node benchmarks/profile.mjs [--math fast] [--seconds 8] [--only REGEX] [--functions]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main as asc } from "assemblyscript/asc";
import { loadCoreModule } from "../dist/core/build.js";
import { enableWideSimd } from "../dist/core/simd.js";
import { STEPS } from "./configs.mjs";
import { train } from "./step.mjs";

const { values } = parseArgs({
  options: {
    math: { type: "string", default: "fast" },
    seconds: { type: "string", default: "8" },
    only: { type: "string", default: "" },
    functions: { type: "boolean" },
  },
});

/** Parts of a step by the file of a function of the core and its name; the first match counts. */
const PARTS = [
  ["packing", /^assembly\/gemm\/pack/],
  ["matrix product", /^assembly\/(kernels|gemm)\//],
  ["attention", /^assembly\/layers\/attention\//],
  ["layer norm", /^assembly\/layers\/layernorm\//],
  ["rotary", /^assembly\/layers\/rope\//],
  ["activation", /^assembly\/layers\/activation/],
  ["cross-entropy", /^assembly\/layers\/crossentropy\//],
  ["optimiser", /^assembly\/optimizers\//],
  ["embedding, rows", /^assembly\/(layers\/embedding|rows)\//],
  ["other core", /^(?!JavaScript)/],
];

async function namedCore() {
  const core = await loadCoreModule(values.math);
  const folder = mkdtempSync(join(tmpdir(), "epigrok-profile-"));
  const outFile = join(folder, "core.wasm");
  const target = core.simd === 256 ? `${core.math}-wide` : core.math;
  const { error, stderr } = await asc([
    ...["assembly/index.ts", "--target", target, "--outFile", outFile, "--debug"],
  ]);
  if (error) throw new Error(`${error.message}\n${stderr}`);
  const module = new WebAssembly.Module(readFileSync(outFile));
  rmSync(folder, { recursive: true });
  return { ...core, module };
}

async function profile(config, core) {
  let { state } = train(config, core, null, 3);
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.setSamplingInterval", { interval: 250 });
  await session.post("Profiler.start");
  const until = performance.now() + 1000 * Number(values.seconds);
  while (performance.now() < until) state = train(config, core, state, 20).state;
  const { profile: result } = await session.post("Profiler.stop");
  session.disconnect();
  const nodes = new Map(result.nodes.map((node) => [node.id, node.callFrame]));
  const times = new Map();
  for (const [i, id] of result.samples.entries()) {
    const { functionName, url } = nodes.get(id);
    // The profiler itself.
    if (url.startsWith("node:")) continue;
    const inCore = url.startsWith("wasm") || functionName.startsWith("assembly/");
    const name = inCore ? functionName : `JavaScript: ${functionName}`;
    times.set(name, (times.get(name) ?? 0) + result.timeDeltas[i]);
  }
  return times;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`.padStart(8);

enableWideSimd();
const core = await namedCore();
console.log(`Node ${process.versions.node}, ${core.math} math, ${core.simd} bits`);
for (const [name, { config }] of Object.entries(STEPS)) {
  if (!new RegExp(values.only).test(name)) continue;
  const times = await profile({ ...config, math: core.math }, core);
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  const parts = new Map();
  for (const [fn, time] of times) {
    const [part] = PARTS.find(([, pattern]) => pattern.test(fn)) ?? ["JavaScript"];
    parts.set(part, (parts.get(part) ?? 0) + time);
  }
  console.log(`\n${name}`);
  for (const [part, time] of [...parts].toSorted(([, a], [, b]) => b - a))
    console.log(`${percent(time / total)}  ${part}`);
  if (values.functions)
    for (const [fn, time] of [...times].toSorted(([, a], [, b]) => b - a).slice(0, 25))
      console.log(`    ${percent(time / total)}  ${fn}`);
}
