/**
 * How fast this machine can be (the register-only ceiling of each build), how much of it the matrix product and a whole
 * training step reach, the same step in PyTorch, and what a second worker adds. All figures come from one run, so that
 * their ratios mean something on any machine.
 *
 *   npm run bench [-- --json] [-- --check] [-- --save]
 *
 * --check fails if a share of the ceiling is more than 10 % below benchmarks/baseline.json; --save writes that file.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { configSchema } from "../dist/config.js";
import { instantiateCore } from "../dist/core/build.js";
import { loadCoreModule } from "../dist/core/index.js";
import { listPresets } from "../dist/presets.js";
import { estimateCost } from "../dist/training/cost.js";
import { blockShapes, ceilingOf, gemmRate } from "./kernels.mjs";
import { evaluationMilliseconds, pytorchStep, stepMilliseconds, stepsPerSecond } from "./step.mjs";

const BASELINE = new URL("baseline.json", import.meta.url);
const ALLOWED_LOSS = 0.1;
/** Tokens of a typical micro-batch. */
const ROWS = 160;

const { values } = parseArgs({
  options: { json: { type: "boolean" }, check: { type: "boolean" }, save: { type: "boolean" } },
});
const rows = [];
const log = values.json ? () => {} : console.log;

function add(group, name, value, unit, share) {
  rows.push({ group, name, value, unit, ...(share !== undefined && { share }) });
  const digits = value < 10 ? 2 : value < 1000 ? 1 : 0;
  const percent = share === undefined ? "" : `${(100 * share).toFixed(0).padStart(5)} %`;
  log(
    `${group.padEnd(8)} ${name.padEnd(40)} ${value.toFixed(digits).padStart(9)} ${unit.padEnd(10)}${percent}`,
  );
}

const preset = (name) => listPresets().find((p) => p.name === name).config;
const wide = (dModel) =>
  configSchema.parse({
    task: { modulus: 29, variables: 2, trainTasks: 400, examples: 32, distinctInputs: false },
    model: { dModel, dMlp: 4 * dModel, tiedEmbeddings: true },
    training: { batchSize: 32 },
  });
const configs = {
  quick: preset("quick"),
  standard: preset("standard"),
  "d=256": wide(256),
  "d=512": wide(512),
};

log(
  `Node ${process.versions.node}, V8 ${process.versions.v8}, ${cpus()[0]?.model}, ${availableParallelism()} cores`,
);
log(`${"".padEnd(70)} of ceiling`);
for (const math of ["fast", "strict"]) {
  const core = await loadCoreModule(math);
  if (core.math !== math) {
    log(`${math}: not available in this engine`);
    continue;
  }
  const ceiling = ceilingOf(instantiateCore(core));
  add(math, "ceiling", ceiling, "GFLOP/s");
  for (const name of ["quick", "standard"])
    for (const shape of blockShapes(configs[name].model, ROWS)) {
      const rate = gemmRate(instantiateCore(core), shape);
      add(math, `gemm, ${name}: ${shape.name}`, rate, "GFLOP/s", rate / ceiling);
    }
  for (const [name, config] of Object.entries(configs)) {
    const { flopsPerStep, tokensPerStep } = estimateCost(config);
    const milliseconds = stepMilliseconds({ ...config, math }, core, flopsPerStep);
    const nominal = flopsPerStep / milliseconds / 1e6;
    add(math, `step, ${name}`, milliseconds, "ms");
    add(math, `step, ${name}: tokens`, (1e3 * tokensPerStep) / milliseconds, "tokens/s");
    add(math, `step, ${name}: nominal rate`, nominal, "GFLOP/s", nominal / ceiling);
    if (math === "strict") continue;
    const peer = pytorchStep(config, core);
    if (!peer) log(`${"pytorch".padEnd(8)} python3 has no torch here`);
    else {
      add("pytorch", `step, ${name} (torch ${peer.version})`, peer.milliseconds, "ms");
      add("pytorch", `step, ${name}: epigrok is faster by`, peer.milliseconds / milliseconds, "x");
    }
  }
  add(math, "evaluation, quick", evaluationMilliseconds({ ...configs.quick, math }, core), "ms");
}
const one = await stepsPerSecond(configs.quick, 1);
add("workers", "1 worker", one, "steps/s");
for (let workers = 2; workers <= Math.min(8, availableParallelism()); workers *= 2) {
  const rate = await stepsPerSecond(configs.quick, workers);
  add("workers", `${workers} workers`, rate, "steps/s");
  add("workers", `${workers} workers over 1`, rate / one, "x");
}
if (values.json)
  console.log(
    JSON.stringify({
      schema: "epigrok-bench/1",
      node: process.versions.node,
      v8: process.versions.v8,
      cpu: cpus()[0]?.model,
      rows,
    }),
  );
const shares = Object.fromEntries(
  rows.filter((row) => row.share !== undefined).map((row) => [`${row.group} ${row.name}`, row.share]),
);
if (values.save) writeFileSync(BASELINE, `${JSON.stringify(shares, null, 2)}\n`);
if (values.check) {
  const lost = Object.entries(JSON.parse(readFileSync(BASELINE, "utf8"))).filter(
    ([name, share]) => name in shares && shares[name] < (1 - ALLOWED_LOSS) * share,
  );
  for (const [name, share] of lost)
    console.error(
      `${name}: ${(100 * shares[name]).toFixed(0)} % of the ceiling, was ${(100 * share).toFixed(0)} %`,
    );
  if (lost.length > 0) process.exitCode = 1;
}
