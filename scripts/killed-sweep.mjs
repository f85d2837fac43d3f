/**
 * A grid of runs, killed with SIGKILL at random moments and gone on with by the same command, against the same grid left
 * alone: results and every file of every run have to be the same.
 *
 *   node scripts/killed-sweep.mjs [--seeds 16] [--steps 20000] [--kills 5] [--workers 2] [--seed 1] [--dir DIR]
 *   node scripts/killed-sweep.mjs --file SWEEP.yaml [--kills 5] [--workers 2] [--seed 1] [--dir DIR]
 *
 * After npm run build; Linux, macOS. Without a file there are three miniature runs for each seed, of so many steps.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { differences, randomFrom, runContents } from "./disturbed.mjs";

const { values } = parseArgs({
  options: {
    file: { type: "string" },
    seeds: { type: "string", default: "16" },
    steps: { type: "string", default: "20000" },
    kills: { type: "string", default: "5" },
    workers: { type: "string", default: String(availableParallelism()) },
    seed: { type: "string", default: "1" },
    dir: { type: "string" },
  },
});
const [seeds, steps, kills, workers] = ["seeds", "steps", "kills", "workers"].map((name) =>
  Number(values[name]),
);
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const root = values.dir ?? mkdtempSync(join(tmpdir(), "epigrok-killed-sweep-"));
mkdirSync(root, { recursive: true });
const random = randomFrom(Number(values.seed));

const miniatures = () => ({
  set: {
    task: { modulus: 7, zeroTask: true, examples: 3, promptPool: 0 },
    model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 16 },
    training: { steps, batchSize: 16, warmupSteps: 5 },
    evaluation: { every: Math.ceil(steps / 10), prompts: 8 },
    ensemble: { members: 1 },
  },
  axes: { "task.trainTasks": [3, 4, 5], seed: `0..${seeds - 1}` },
});
writeFileSync(
  join(root, "grid.yaml"),
  values.file ? readFileSync(values.file) : JSON.stringify(miniatures()),
);

/** In a process group of its own, as all that a scheduler kills at once. */
const sweep = (out) =>
  spawn(process.execPath, [cli, "sweep", "grid.yaml", "--out", out, "--workers", values.workers, "--quiet"], {
    ...{ cwd: root, detached: true, stdio: "ignore" },
  });
const ended = (child) =>
  new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));

async function undisturbed(out) {
  const began = performance.now();
  const outcome = await ended(sweep(out));
  if (outcome !== 0) throw new Error(`the sweep ended with ${outcome} although nothing disturbed it`);
  return (performance.now() - began) / 1000;
}

const runsOf = (out) => (existsSync(join(root, out, "runs")) ? readdirSync(join(root, out, "runs")) : []);
const finishedOf = (out) =>
  runsOf(out).filter((run) => existsSync(join(root, out, "runs", run, "summary.json")));

/** Kills the sweep so many seconds after so many runs have begun. */
async function kill(out, { begun, seconds }) {
  const child = sweep(out);
  const end = ended(child);
  while (runsOf(out).length < begun && child.exitCode === null) await wait(5);
  await wait(1000 * seconds);
  if (child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  const outcome = await end;
  if (outcome !== "SIGKILL") throw new Error(`the sweep ended with ${outcome} before it was killed`);
}

/** Results, and what runs have in common that were disturbed or not. */
function contents(out) {
  const files = ["results.jsonl", "results.csv", "results.parquet"].map((name) => {
    const data = readFileSync(join(root, out, name));
    return [name, createHash("sha256").update(data).digest("hex")];
  });
  const ofRuns = runsOf(out).flatMap((run) =>
    Object.entries(runContents(join(root, out, "runs", run))).map(([name, hash]) => [join(run, name), hash]),
  );
  return Object.fromEntries([...files, ...ofRuns]);
}

const whole = await undisturbed("whole");
const runs = runsOf("whole").length;
const secondsPerRun = (whole * workers) / runs;
console.log(`${runs} runs of ${secondsPerRun.toFixed(1)} s: ${whole.toFixed(0)} s on ${workers} workers`);

const moments = Array.from({ length: kills }, () => ({
  begun: 1 + Math.floor(0.9 * runs * random()),
  seconds: secondsPerRun * random(),
})).sort((one, other) => one.begun - other.begun);
for (const [i, moment] of moments.entries()) {
  await kill("killed", moment);
  const [begun, finished] = [runsOf("killed").length, finishedOf("killed").length];
  console.log(`kill ${i + 1}: ${finished} runs are finished, ${begun - finished} under way`);
}
const rest = await undisturbed("killed");

const [expected, found] = [contents("whole"), contents("killed")];
const different = differences(found, expected);
for (const name of different) console.log(`${name} differs`);
console.log(
  JSON.stringify({
    runs,
    secondsPerRun,
    kills,
    rest,
    files: Object.keys(expected).length,
    different: different.length,
  }),
);
if (different.length > 0) process.exitCode = 1;
else if (!values.dir) rmSync(root, { recursive: true });
