/**
 * Disturbs runs at random (kills, signals, deaths of workers, files that cannot grow) until they are finished, and compares
 * every file with that of an undisturbed run.
 *
 *   node scripts/soak.mjs [--minutes 10] [--seed 1] [--dir DIR]     (after npm run build; Linux, macOS)
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { differences, randomFrom, runContents } from "./disturbed.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    dir: { type: "string" },
  },
});
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const root = values.dir ?? mkdtempSync(join(tmpdir(), "epigrok-soak-"));
mkdirSync(root, { recursive: true });

/** Which disturbances there are follows from the seed; when they strike depends on the machine. */
const random = randomFrom(Number(values.seed));
const pick = (list) => list[Math.floor(random() * list.length)];

const COMMON = [
  "task.modulus=7",
  "task.trainTasks=5",
  "task.examples=3",
  "model.dModel=16",
  "model.nHeads=2",
].concat(
  ["model.nLayers=1", "model.dMlp=16", "training.steps=600", "training.batchSize=16", "evaluation.every=40"],
  ["evaluation.prompts=8", "ensemble.members=3"],
);
const KINDS = {
  adamw: ["task.promptPool=0"],
  pool: ["task.promptPool=64"],
  dropout: ["task.promptPool=0", "model.dropout=0.1"],
  ivon: [
    "task.promptPool=0",
    "training.optimizer=ivon",
    "training.learningRate=0.1",
    "training.weightDecay=1e-4",
  ].concat("training.beta2=0.98"),
};

/** Loaded before everything else: threads die in the middle of their work. */
const mortal = join(root, "mortal.mjs");
writeFileSync(
  mortal,
  `import { isMainThread } from "node:worker_threads";
if (!isMainThread) {
  const now = performance.now.bind(performance);
  performance.now = () => (Math.random() < 0.02 ? process.exit(9) : now());
}
`,
);

/** Runs a command; \`disturbance\` says what happens to it. */
function run(args, { disturbance, after = 0 } = {}) {
  const env = { ...process.env };
  if (disturbance === "workers") env.NODE_OPTIONS = `--import ${mortal}`;
  const command = [process.execPath, cli, ...args];
  // As a full disk: a file grows to so many KiB and no further.
  const child =
    disturbance === "full"
      ? spawn("bash", ["-c", `ulimit -f ${4 + Math.floor(random() * 30)}; exec "$@"`, "-", ...command], {
          stdio: "ignore",
        })
      : spawn(command[0], command.slice(1), { env, stdio: "ignore" });
  const timer = disturbance?.startsWith("SIG") ? setTimeout(() => child.kill(disturbance), after) : undefined;
  return new Promise((resolve) =>
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve(signal ?? code);
    }),
  );
}

const begin = (kind, out) => [
  ...["run", "--quiet", "--no-posterior", "--workers", "2", "--out", out, "--resume"],
  ...[...COMMON, ...KINDS[kind]].flatMap((setting) => ["--set", setting]),
];
const posteriors = (out) => {
  const methods = ["laplace-last-layer", "snapshot-ensemble", "ensemble"].join();
  return [
    "posterior",
    out,
    "--quiet",
    "--workers",
    "2",
    "--methods",
    methods,
    "--samples",
    "4",
    "--checkpoints",
    "4",
  ];
};

const expected = {};
for (const kind of Object.keys(KINDS)) {
  const out = join(root, `undisturbed-${kind}`);
  for (const command of [begin(kind, out), posteriors(out)])
    if ((await run(command)) !== 0) throw new Error(`the undisturbed run of ${kind} failed`);
  expected[kind] = runContents(out);
}

const counts = { runs: 0, different: 0 };
const DISTURBANCES = [
  "SIGKILL",
  "SIGKILL",
  "SIGTERM",
  "SIGUSR2",
  "SIGHUP",
  "SIGXCPU",
  "workers",
  "full",
  "none",
];
const end = Date.now() + 60_000 * Number(values.minutes);
while (Date.now() < end) {
  const kind = pick(Object.keys(KINDS));
  const out = join(root, `run-${counts.runs}`);
  for (const command of [begin(kind, out), posteriors(out)]) {
    // The last attempts are left alone, that an end is reached.
    for (let attempt = 0; ; attempt++) {
      const disturbance = attempt < 12 ? pick(DISTURBANCES) : "none";
      const outcome = await run(command, { disturbance, after: 300 + random() * 2500 });
      counts[disturbance] = (counts[disturbance] ?? 0) + 1;
      if (outcome === 0 && disturbance !== "workers") break;
      if (disturbance === "none") {
        console.log(`${out}: ended with ${outcome} although nothing disturbed it`);
        break;
      }
    }
  }
  const differing = differences(runContents(out), expected[kind]);
  counts.runs++;
  if (differing.length > 0) {
    counts.different++;
    console.log(`${out} (${kind}) differs in ${differing.join(", ")}`);
  } else rmSync(out, { recursive: true });
}
console.log(JSON.stringify({ seed: Number(values.seed), minutes: Number(values.minutes), ...counts }));
if (counts.different > 0) process.exitCode = 1;
else if (!values.dir && existsSync(root)) rmSync(root, { recursive: true });
