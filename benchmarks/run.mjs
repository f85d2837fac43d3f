/**
 * One table: how fast this machine can be (the register-only ceiling of each build), how much of it the matrix product
 * and a whole training step reach, and what a second worker adds. All figures of one run, so ratios mean something.
 *
 *   npm run bench [-- --json] [--quick] [--only NAME]
 */
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { configSchema } from "../dist/config.js";
import { instantiateCore, loadCoreModule } from "../dist/core/build.js";
import { loadPreset } from "../dist/presets.js";
import { estimateCost } from "../dist/training/cost.js";
import { trainSegment } from "../dist/training/segment.js";

const never = () => false;

/** Best rate over rounds of about `seconds` each: the machine's other work only ever slows a round down. */
function best(run, { rounds = 5, seconds = 0.3 } = {}) {
  run(1);
  let count = 1;
  let took = 0;
  while (took < seconds / 4) {
    count *= 2;
    const started = performance.now();
    run(count);
    took = (performance.now() - started) / 1000;
  }
  count = Math.max(1, Math.round((count * seconds) / took));
  let fastest = Number.POSITIVE_INFINITY;
  for (let r = 0; r < rounds; r++) {
    const started = performance.now();
    run(count);
    fastest = Math.min(fastest, (performance.now() - started) / 1000 / count);
  }
  return fastest;
}

/** GFLOP/s of independent multiply-adds on registers. */
function ceilingOf(core) {
  const { ceiling, ceilingChains } = core;
  return (8 * ceilingChains() * 1e5) / best((n) => { for (let i = 0; i < n; i++) ceiling(1e5); }) / 1e9;
}

function gemmRate(core, { m, n, k, transposedA }) {
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
  const random = (at, length) => {
    const view = new Float32Array(core.memory.buffer, at, length);
    for (let i = 0; i < length; i++) view[i] = Math.random() - 0.5;
  };
  random(A, m * k);
  random(B, k * n);
  core.packB(packed, B, k, n, 1, k);
  const [sm, sk] = transposedA ? [1, m] : [k, 1];
  const seconds = best((count) => {
    for (let i = 0; i < count; i++) core.gemm(m, n, k, A, sm, sk, packed, C, n, false, scratch);
  });
  return (2 * m * n * k) / seconds / 1e9;
}

/** The products of one preset: rows are a micro-batch's tokens. */
function shapesOf({ model }, rows) {
  const { dModel: d, dMlp: m } = model;
  return [
    { name: `q      ${rows} x ${d} x ${d}`, m: rows, n: d, k: d },
    { name: `k,v    ${rows} x ${2 * d} x ${d}`, m: rows, n: 2 * d, k: d },
    { name: `fc     ${rows} x ${m} x ${d}`, m: rows, n: m, k: d },
    { name: `proj   ${rows} x ${d} x ${m}`, m: rows, n: d, k: m },
    { name: `d fc   ${m} x ${d} x ${rows}`, m, n: d, k: rows, transposedA: true },
    { name: `d proj ${d} x ${m} x ${rows}`, m: d, n: m, k: rows, transposedA: true },
  ];
}

function stepRate(config, core) {
  const { tokensPerStep, flopsPerStep } = estimateCost(config);
  let state = trainSegment({ config, member: 0, state: null, toStep: 1 }, { core, stop: never }).state;
  const train = (n) => {
    const result = trainSegment({ config, member: 0, state, toStep: state.step + n }, { core, stop: never });
    state = result.state;
    return result.trainSeconds;
  };
  train(20);
  const steps = Math.max(3, Math.round(20e9 / flopsPerStep));
  let seconds = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) seconds = Math.min(seconds, train(steps) / steps);
  return { milliseconds: 1e3 * seconds, tokensPerSecond: tokensPerStep / seconds, nominal: flopsPerStep / seconds / 1e9 };
}

/** Steps per second of W workers that train at the same time. */
async function scaling(config, W) {
  const core = await loadCoreModule(config.math);
  const workers = Array.from({ length: W }, () => new Worker(new URL(import.meta.url), { workerData: { config, core } }));
  const rates = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.once("message", () => worker.once("message", resolve));
  }).then(async (rate) => { await worker.terminate(); return rate; })).concat(
    Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve)))).then(() => {
      for (const worker of workers) worker.postMessage("go");
      return 0;
    }),
  ));
  return rates.reduce((a, b) => a + b);
}

function trainInWorker() {
  const { config, core } = workerData;
  let state = trainSegment({ config, member: 0, state: null, toStep: 50 }, { core, stop: never }).state;
  parentPort.once("message", () => {
    const until = performance.now() + 4000;
    const result = trainSegment({ config, member: 0, state, toStep: 1e9 }, { core, stop: () => performance.now() > until });
    state = result.state;
    parentPort.postMessage((state.step - 50) / result.trainSeconds);
    parentPort.close();
  });
  parentPort.postMessage("ready");
}

async function main() {
  const { values } = parseArgs({ options: { json: { type: "boolean" } } });
  const rows = [];
  const log = values.json ? () => {} : console.log;
  const add = (group, name, value, unit, ofCeiling) => {
    rows.push({ group, name, value, unit, ofCeiling });
    const share = ofCeiling === undefined ? "" : `${(100 * ofCeiling).toFixed(0).padStart(4)} %`;
    log(`${group.padEnd(16)} ${name.padEnd(34)} ${value.toFixed(value < 10 ? 2 : 1).padStart(9)} ${unit.padEnd(14)} ${share}`);
  };
  log(`Node ${process.versions.node}, V8 ${process.versions.v8}, ${cpus()[0]?.model}, ${availableParallelism()} cores`);
  log(`${"".padEnd(77)} of ceiling`);
  const presets = { quick: await loadPreset("quick"), standard: await loadPreset("standard") };
  const large = (d) => configSchema.parse({
    task: { modulus: 29, variables: 2, trainTasks: 400, examples: 32, distinctInputs: false },
    model: { dModel: d, dMlp: 4 * d, tiedEmbeddings: true },
    training: { batchSize: 32 },
  });
  const steps = { ...presets, "d=256": large(256), "d=512": large(512) };
  for (const math of ["fast", "strict"]) {
    const core = await loadCoreModule(math);
    if (core.math !== math) { log(`${math}: not available here`); continue; }
    const ceiling = ceilingOf(instantiateCore(core));
    add(math, "ceiling, registers only", ceiling, "GFLOP/s", 1);
    for (const [name, preset] of Object.entries(presets))
      for (const shape of shapesOf(preset, 160)) {
        const rate = gemmRate(instantiateCore(core), shape);
        add(math, `gemm ${name} ${shape.name}`, rate, "GFLOP/s", rate / ceiling);
      }
    for (const [name, config] of Object.entries(steps)) {
      const { milliseconds, tokensPerSecond, nominal } = stepRate({ ...config, math }, core);
      add(math, `step ${name}: time`, milliseconds, "ms");
      add(math, `step ${name}: tokens`, tokensPerSecond, "tokens/s");
      add(math, `step ${name}: nominal`, nominal, "GFLOP/s", nominal / ceiling);
    }
  }
  const one = await scaling(presets.quick, 1);
  add("workers", "1 worker", one, "steps/s");
  for (let W = 2; W <= Math.min(8, availableParallelism()); W *= 2) {
    const rate = await scaling(presets.quick, W);
    add("workers", `${W} workers`, rate, "steps/s");
    add("workers", `${W} workers over 1`, rate / one, "x");
  }
  if (values.json) console.log(JSON.stringify({ schema: "epigrok-bench/1", node: process.versions.node, v8: process.versions.v8, cpu: cpus()[0]?.model, rows }));
}

if (isMainThread) await main();
else trainInWorker();
