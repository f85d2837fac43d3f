/**
 * What a user waits for: seconds from the start of `epigrok run --preset quick` to its report, whole process, on this and
 * other versions of Node, and of the same ensemble with its evaluations in PyTorch, which fits no posteriors and draws no
 * report.
 *
 *   node benchmarks/whole-run.mjs [--node 20,24,26] [--workers 2] [--set training.steps=500] [--no-peer]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { overrideLayer } from "../dist/config/load.js";
import { presetLayer } from "../dist/config/presets.js";
import { resolveConfig } from "../dist/config/resolve.js";
import { loadCoreModule } from "../dist/core/build.js";
import { instantiateTransformer } from "../dist/core/transformer.js";
import { evaluationSteps } from "../dist/run/schedule.js";
import { drawProbePrompts } from "../dist/tasks/probe-prompts.js";
import { drawPromptPool } from "../dist/tasks/prompt-pool.js";
import { initialParameters, transformerShape } from "../dist/training/model.js";
import { ensemblePeer } from "./peers.mjs";

const { values } = parseArgs({
  allowNegative: true,
  options: {
    node: { type: "string" },
    workers: { type: "string", default: "2" },
    set: { type: "string", multiple: true, default: [] },
    peer: { type: "boolean", default: true },
  },
});
const workers = Number(values.workers);
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "epigrok-whole-run-"));

function timed(program, args, options = {}) {
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, { maxBuffer: 2 ** 28, ...options });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.slice(0, 4).join(" ")} failed:\n${stderr}`);
  return { seconds: (performance.now() - started) / 1000, stdout: stdout.toString() };
}

/** The peer's work: this run's model, initial parameters, pool, probe sets and settings. */
async function peerRequest() {
  const config = resolveConfig([presetLayer("quick"), ...values.set.map(overrideLayer)]);
  const { task, training, ensemble, evaluation, seed } = config;
  if (training.schedule !== "warmup-stable-decay" || training.lossPositions !== "last" || !task.promptPool)
    throw new Error(
      "the PyTorch script has no other schedule, loss or source of prompts than those of quick",
    );
  const model = instantiateTransformer(await loadCoreModule(config.math), transformerShape(config));
  const { batch } = drawPromptPool(task, seed, evaluation.prompts);
  const last = batch.positions.length - 1;
  const request = {
    members: ensemble.members,
    workers,
    shape: { ...model.shape, parameters: model.parameters },
    training: { ...training, decayFraction: training.decayFraction ?? 0.25 },
    evaluations: [...evaluationSteps(config)],
    positions: [batch.positions[last]],
    allPositions: [...batch.positions],
    pool: {
      length: batch.length,
      tokens: [...batch.tokens],
      targets: [...batch.targets].filter((_, i) => i % (last + 1) === last),
    },
    probes: drawProbePrompts(task, seed, evaluation.prompts).map(({ name, batch: probe }) => ({
      name,
      length: probe.length,
      tokens: [...probe.tokens],
      targets: [...probe.targets],
    })),
  };
  const flat = Array.from({ length: ensemble.members }, (_, member) =>
    Buffer.from(initialParameters(model.parameters, config, member).buffer),
  );
  return Buffer.concat([Buffer.from(`${JSON.stringify(request)}\n`), ...flat]);
}

const rows = [];
const settings = values.set.flatMap((assignment) => ["--set", assignment]);
for (const version of values.node?.split(",") ?? [undefined]) {
  const out = join(scratch, `run-${version ?? "here"}`);
  const args = [
    cli,
    "run",
    "--preset",
    "quick",
    "--workers",
    `${workers}`,
    "--out",
    out,
    "--json",
    ...settings,
  ];
  // What npx has fetched once starts from its cache; the fetch itself is not what is measured.
  const node = version
    ? timed("npx", ["-y", "-p", `node@${version}`, "node", "-p", "process.execPath"]).stdout.trim()
    : process.execPath;
  const { seconds, stdout } = timed(node, args);
  const summary = JSON.parse(stdout);
  rows.push({ what: `epigrok, Node ${timed(node, ["-v"]).stdout.trim()}, ${summary.simd} bits`, seconds });
  console.log(`${rows.at(-1).what}: ${seconds.toFixed(1)} s. ${summary.verdict}`);
}
if (values.peer) {
  const { command, environment, install } = ensemblePeer();
  if (!command) console.log(`PyTorch: not measured, needs ${install}`);
  else {
    const [program, ...args] = command;
    const { seconds, stdout } = timed(program, args, { input: await peerRequest(), env: environment });
    const { version, records } = JSON.parse(stdout);
    const final = records.at(-1).sets.unseenTasks;
    console.log(
      `PyTorch ${version}: ${seconds.toFixed(1)} s; unseen tasks ${final.accuracy.toFixed(3)}, mutual information ${final.mutualInformation.toFixed(3)} nats at the end`,
    );
    for (const row of rows)
      console.log(`${row.what}: ${(seconds / row.seconds).toFixed(2)} times as fast as PyTorch`);
  }
}
rmSync(scratch, { recursive: true });
