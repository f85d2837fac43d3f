/**
 * The search behind the presets: trains single members over a list of settings and seeds and appends one line per run
 * to a results table. Settings are lines `name key=value ...` with the keys of `--set`.
 *
 *   node experiments/presets/search.mjs SETTINGS.txt --seeds 0,1,2 --workers 2 --out results.tsv
 *     [--give-up STEP:ACC] [--trace FILE]
 *
 * A run ends early once unseen-task accuracy has stayed at or above 0.97 of the ceiling for eight evaluations, and, with
 * --give-up, if it is below ACC of the ceiling at STEP. Finished (name, seed) pairs in the table are skipped. --trace
 * appends a line at every evaluation: name, seed, step, accuracy on seen and on unseen tasks, seconds.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { parse } from "yaml";
import { configSchema } from "../../dist/config/schema.js";
import { loadCoreModule } from "../../dist/core/build.js";
import { labelledEvents } from "../../dist/run/events.js";
import { measureEvaluation } from "../../dist/run/measure.js";
import { createProbeSets } from "../../dist/tasks/probes.js";
import { estimateCost } from "../../dist/training/cost.js";
import { trainSegment } from "../../dist/training/segment.js";

function configOf(settings, seed) {
  const input = { seed, ensemble: { members: 1 } };
  for (const item of settings) {
    const [path, value] = item.split("=");
    const keys = path.split(".");
    const last = keys.pop();
    let at = input;
    for (const key of keys) at = at[key] ??= {};
    at[last] = parse(value);
  }
  return configSchema.parse(input);
}

async function train({ name, settings, seed, giveUp, trace }) {
  const config = configOf(settings, seed);
  const core = await loadCoreModule(config.math);
  const sets = createProbeSets(config).filter((s) => s.name === "seenTasks" || s.name === "unseenTasks");
  const references = Object.fromEntries(sets.map(({ name, reference }) => [name, reference]));
  const { ceiling } = references.unseenTasks;
  const records = [];
  const accuracies = (set) => records.map(({ members }) => members[0].sets[set].accuracy);
  const { steps } = config.training;
  const started = performance.now();
  let state = null;
  for (let step = 0; step < steps; ) {
    const toStep = Math.min(steps, step + config.evaluation.every);
    const result = trainSegment({ config, member: 0, state, toStep }, { core, stop: () => false });
    state = result.state;
    if (result.nonFiniteStep !== undefined) break;
    step = toStep;
    const { posteriorSamples } = config.evaluation;
    const evaluation = { member: 0, step, predictions: result.predictions };
    records.push(measureEvaluation(step, [evaluation], sets, { posteriorSamples }));
    const [seen, unseen] = [accuracies("seenTasks"), accuracies("unseenTasks")];
    if (trace) {
      const last = [seen, unseen].map((curve) => curve.at(-1).toFixed(3));
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      appendFileSync(trace, `${[name, seed, step, ...last, seconds].join("\t")}\n`);
    }
    if (unseen.length >= 8 && unseen.slice(-8).every((a) => a >= 0.97 * ceiling)) break;
    if (
      giveUp &&
      step >= giveUp.step &&
      step < giveUp.step + config.evaluation.every &&
      unseen.at(-1) < giveUp.accuracy * ceiling
    )
      break;
  }
  const done = records.at(-1)?.step ?? 0;
  const [seen, unseen] = [accuracies("seenTasks"), accuracies("unseenTasks")];
  const curve = (points) => {
    const every = Math.max(1, Math.round(points.length / 16));
    return points
      .filter((_, i) => i % every === every - 1 || i === points.length - 1)
      .map((a) => a.toFixed(2))
      .join(" ");
  };
  const { memorisedStep: memorised, grokStep: grokked } = labelledEvents(records, references);
  return [
    name,
    seed,
    done,
    memorised ?? "-",
    grokked ?? "-",
    memorised && grokked ? (grokked / memorised).toFixed(2) : "-",
    seen.at(-1)?.toFixed(3),
    unseen.at(-1)?.toFixed(3),
    ceiling.toFixed(3),
    ((estimateCost(config).flopsPerStep * done) / 1e12).toFixed(2),
    ((performance.now() - started) / 1000).toFixed(0),
    curve(seen),
    curve(unseen),
    settings.join(" "),
  ].join("\t");
}

if (isMainThread) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: "string", default: "0,1,2" },
      workers: { type: "string", default: "1" },
      out: { type: "string", default: "results.tsv" },
      "give-up": { type: "string" },
      trace: { type: "string" },
    },
  });
  const header =
    "name\tseed\tsteps\tmemorised\tgrokked\tdelay\tseen\tunseen\tceiling\tTFLOP\tseconds\tseen curve\tunseen curve\tsettings\n";
  if (!existsSync(values.out)) appendFileSync(values.out, header);
  const done = new Set(
    readFileSync(values.out, "utf8")
      .split("\n")
      .map((line) => line.split("\t").slice(0, 2).join(" ")),
  );
  const lines = readFileSync(positionals[0], "utf8")
    .split("\n")
    .filter((line) => line.trim() && !line.startsWith("#"));
  const [step, accuracy] = (values["give-up"] ?? "").split(":").map(Number);
  const jobs = lines
    .flatMap((line) => {
      const [name, ...settings] = line.trim().split(/\s+/);
      return values.seeds.split(",").map((seed) => ({
        name,
        settings,
        seed: Number(seed),
        giveUp: step ? { step, accuracy } : undefined,
        trace: values.trace,
      }));
    })
    .filter(({ name, seed }) => !done.has(`${name} ${seed}`));
  for (let w = 0; w < Number(values.workers); w++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: {} });
    const next = () => (jobs.length > 0 ? worker.postMessage(jobs.shift()) : worker.terminate());
    worker.on("message", (row) => {
      appendFileSync(values.out, `${row}\n`);
      next();
    });
    worker.on("error", (error) => {
      throw error;
    });
    next();
  }
} else if (workerData) {
  parentPort.on("message", async (job) => parentPort.postMessage(await train(job)));
}
