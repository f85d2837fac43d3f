/**
 * How fast this machine can be (the register-only ceiling of each build), how much of it the matrix product and a whole
 * training step reach, the same step in other frameworks, and what everything else costs. All figures come from one run,
 * so that their ratios mean something on any machine.
 *
 *   npm run bench [-- --only REGEX] [-- --json | --markdown] [-- --check] [-- --save] [-- --node VERSION]
 *
 * --node fetches another version of Node and runs under it. --check fails if a share of the ceiling is more than 10 % below that of benchmarks/baseline.json; --save writes it.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadCoreModule } from "../dist/core/build.js";
import { instantiateCore } from "../dist/core/instance.js";
import { enableWideSimd } from "../dist/core/simd.js";
import { memoryBenches, sizeBenches, startUpBenches } from "./footprint.mjs";
import { ceilingBenches, ceilingOf, gemmBenches } from "./kernels.mjs";
import { once } from "./measure.mjs";
import { packingBenches } from "./packing.mjs";
import { curvatureBenches, posteriorBenches } from "./posteriors.mjs";
import { ensembleScalingBenches, modelScalingBenches, threadScalingBenches } from "./scaling.mjs";
import { evaluationBenches, stepBenches } from "./step.mjs";
import { consoleLine, keyOf, markdownTable, misses, percent } from "./table.mjs";

const BASELINE = new URL("baseline.json", import.meta.url);
const ALLOWED_LOSS = 0.1;

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    json: { type: "boolean" },
    markdown: { type: "boolean" },
    check: { type: "boolean" },
    save: { type: "boolean" },
    node: { type: "string" },
  },
});
if (options.node) {
  const at = process.argv.indexOf("--node");
  const rest = process.argv.slice(2).filter((_, i) => i !== at - 2 && i !== at - 1);
  const command = ["-y", "-p", `node@${options.node}`, "node", fileURLToPath(import.meta.url), ...rest];
  process.exit(spawnSync("npx", command, { stdio: "inherit" }).status ?? 1);
}
enableWideSimd();
const noted = new Set();
const note = (text) => {
  if (!noted.has(text)) console.error(text);
  noted.add(text);
};
/** Lines as they come: the result itself, unless that is to be one piece of JSON or markdown. */
const show = options.json || options.markdown ? console.error : console.log;

const where = {
  node: process.versions.node,
  v8: process.versions.v8,
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
};
const [engine] = where.node.split(".");

/** The widest builds first: what measures one build only takes the first. */
const builds = [];
for (const simd of ["256", "128"])
  for (const math of ["fast", "strict"]) {
    const label = simd === "256" ? `${math} wide` : math;
    const core = await loadCoreModule(math, simd).catch(({ message }) => note(message));
    if (core && core.math !== math) note(`${label}: not available in this engine`);
    else if (core)
      builds.push({
        label,
        math,
        simd: core.simd,
        core,
        ceiling: once(() => ceilingOf(instantiateCore(core))),
      });
  }
const only = new RegExp(options.only, "i");
const benches = [
  ceilingBenches,
  gemmBenches,
  stepBenches,
  evaluationBenches,
  curvatureBenches,
  posteriorBenches,
  modelScalingBenches,
  ensembleScalingBenches,
  threadScalingBenches,
  packingBenches,
  memoryBenches,
  startUpBenches,
  sizeBenches,
].flatMap((benchesOf) => benchesOf(builds, note));
const chosen = benches.filter((bench) => only.test(keyOf(bench)));
if (chosen.length === 0) {
  const groups = new Set(benches.map(({ group }) => group));
  console.error(`--only ${options.only}: matches nothing in ${[...groups].join(", ")}`);
  process.exit(2);
}

show(`Node ${where.node}, V8 ${where.v8}, ${where.cpu}, ${where.cores} cores`);
const rows = [];
for (const { group, name, build, measure } of chosen) {
  for (const measured of await measure()) {
    const row = { group, name, build, ...measured };
    rows.push(row);
    show(consoleLine(row));
  }
}
if (options.json)
  console.log(
    JSON.stringify({
      schema: "epigrok-bench/2",
      ...where,
      rows: rows.map((row) => ({ ...row, missed: misses(row) })),
    }),
  );
if (options.markdown) console.log(markdownTable(rows, where));

const shares = Object.fromEntries(rows.flatMap((row) => (row.share ? [[keyOf(row), row.share]] : [])));
const baseline = JSON.parse(readFileSync(BASELINE, "utf8"));
if (options.check) {
  const before = Object.entries(baseline[engine] ?? {}).filter(([key]) => key in shares);
  const lost = before.filter(([key, share]) => shares[key] < (1 - ALLOWED_LOSS) * share);
  for (const [key, share] of lost)
    console.error(`${key}: ${percent(shares[key])} of the ceiling, was ${percent(share)}`);
  console.error(`compared with the baseline of Node ${engine}: ${before.length} rows, ${lost.length} worse`);
  if (lost.length > 0) process.exitCode = 1;
}
if (options.save) {
  const rounded = Object.entries(shares).map(([key, share]) => [key, Number(share.toFixed(3))]);
  baseline[engine] = { ...baseline[engine], ...Object.fromEntries(rounded) };
  writeFileSync(BASELINE, `${JSON.stringify(baseline, null, 2)}\n`);
}
