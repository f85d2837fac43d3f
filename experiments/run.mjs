/**
 * The experiments of the paper at CPU size: trains each one's sweep, fits what it wants at checkpoints, and writes its
 * tables and figures.
 *
 *   npm run experiments -- [--size small|full] [--only NAME,NAME] [--runs DIR] [--workers W] [--analyse]
 *
 * A sweep that is finished is not trained again, and one that was stopped goes on. `--analyse` trains and fits nothing
 * and takes what there is. Tables are written to experiments/NAME/results-SIZE.md, figures beside them.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { renderSvg } from "../dist/report/svg.js";
import { readRuns } from "./shared/runs.mjs";

/** In the order in which they are trained; each is a folder with sweeps, `analyse.mjs` and a README. */
const EXPERIMENTS = [
  "through-training",
  "task-diversity",
  "context-length",
  "context-noise",
  "delay",
  "memorising",
  "modulus-29",
];
const SIZES = ["small", "full"];

const { values: options } = parseArgs({
  options: {
    size: { type: "string", default: "small" },
    only: { type: "string", default: EXPERIMENTS.join(",") },
    runs: { type: "string", default: "sweeps" },
    workers: { type: "string" },
    analyse: { type: "boolean", default: false },
  },
});
const names = options.only.split(",");
const unknown = names.filter((name) => !EXPERIMENTS.includes(name));
if (unknown.length > 0) throw new Error(`no experiment ${unknown.join(", ")}: ${EXPERIMENTS.join(", ")}`);
if (!SIZES.includes(options.size)) throw new Error(`--size ${options.size}: must be ${SIZES.join(" or ")}`);

const here = fileURLToPath(new URL(".", import.meta.url));
const cli = join(here, "../dist/cli.js");

function epigrok(...args) {
  const workers = options.workers ? ["--workers", options.workers] : [];
  const { status, signal } = spawnSync(process.execPath, [cli, ...args, ...workers], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error(`epigrok ${args.join(" ")} ended with ${signal ?? status}`);
}

const sweepOf = (name) => join(options.runs, `${name}-${options.size}`);

for (const name of names) {
  const started = performance.now();
  const { analyse, uses = name, jobs = () => [] } = await import(`./${name}/analyse.mjs`);
  const sweep = sweepOf(uses);
  if (!options.analyse) {
    epigrok("sweep", join(here, uses, `${options.size}.yaml`), "--out", sweep);
    for (const run of await readRuns(sweep))
      for (const [command, ...args] of jobs(run)) epigrok(command, run.directory, ...args);
  }
  const { text, figures = {} } = analyse(await readRuns(sweep));
  writeFileSync(join(here, name, `results-${options.size}.md`), `${text}\n`);
  for (const [figure, spec] of Object.entries(figures)) {
    if (spec === null) continue;
    writeFileSync(join(here, name, `${figure}-${options.size}.svg`), `${await renderSvg(spec, "auto")}\n`);
  }
  console.log(`# ${name} (${Math.round((performance.now() - started) / 1000)} s)\n\n${text}\n`);
}
