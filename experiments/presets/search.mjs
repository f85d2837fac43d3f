/**
 * The search behind the presets: trains single members, or ensembles, over a list of settings and seeds, appends one
 * line per run to a results table and prints its events. Settings are lines `name key=value ...` with the keys of
 * `--set`, over those of BASE.
 *
 *   node experiments/presets/search.mjs SETTINGS.txt --seeds 0,1,2 --workers 2 --out results.tsv
 *     [--members K] [--give-up STEP:ACC] [--trace FILE]
 *
 * Memorised, generalised (with a prompt pool only) and grokked are the events of the median member; with --members, 1
 * by default, the table has those of the mean prediction and of each member too, with the peak and the collapse of
 * mutual information that the detector sees. A run ends early once every member's unseen-task accuracy has stayed at or
 * above 0.97 of the ceiling for eight evaluations, and, with --give-up, if the median member's is below ACC of the
 * ceiling at STEP. Runs (name, seed, members) that are in the table are skipped. --trace appends a line at every
 * evaluation: name, seed, step, accuracy on seen and on unseen tasks, seconds, accuracy on the pool, mutual information.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { parse } from "yaml";
import { configSchema } from "../../dist/config/schema.js";
import { loadCoreModule } from "../../dist/core/build.js";
import { readEvents } from "../../dist/run/events.js";
import { measureEvaluation } from "../../dist/run/measure.js";
import { createProbeSets } from "../../dist/tasks/probes.js";
import { estimateCost } from "../../dist/training/cost.js";
import { learningRateAt } from "../../dist/training/learning-rate.js";
import { trainSegment } from "../../dist/training/segment.js";
import { inShort } from "./in-short.mjs";

/** New columns come last: the rows of older tables, which end before them, stay what they are. */
const COLUMNS = [
  ...[
    "name",
    "seed",
    "steps",
    "memorised",
    "grokked",
    "delay",
    "seen",
    "unseen",
    "ceiling",
    "TFLOP",
    "seconds",
  ],
  ...["seen curve", "unseen curve", "settings"],
  ...["members", "generalised", "pool", "pool curve", "MI peak", "peak step", "collapse", "MI", "MI curve"],
  ...["mean prediction", "each member"],
];

/** What a row of the table has where its settings say nothing. */
const BASE = {
  task: { modulus: 23, trainTasks: 17, zeroTask: true, examples: 3, promptPool: 0 },
  model: { initStd: 0.1 },
  training: {
    ...{ steps: 10000, batchSize: 256, lossPositions: "all", weightDecay: 0.5 },
    ...{ learningRate: 0.003, schedule: "cosine", finalLearningRate: 0.1 },
  },
  evaluation: { every: 250 },
};

function configOf(settings, seed, members) {
  const input = { ...structuredClone(BASE), seed, ensemble: { members } };
  for (const item of settings) {
    const equals = item.indexOf("=");
    const keys = item.slice(0, equals).split(".");
    const last = keys.pop();
    let at = input;
    for (const key of keys) at = at[key] ??= {};
    at[last] = parse(item.slice(equals + 1));
  }
  return configSchema.parse(input);
}

async function train({ name, settings, seed, members, giveUp, trace }) {
  const config = configOf(settings, seed, members);
  const core = await loadCoreModule(config.math);
  const probes = createProbeSets(config);
  const references = Object.fromEntries(probes.map(({ name, reference }) => [name, reference]));
  const { ceiling } = references.unseenTasks;
  const { steps } = config.training;
  const records = [];
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(0);
  const states = Array(config.ensemble.members).fill(null);
  const accuraciesAt = (record, set) => record.members.flatMap(({ sets }) => sets[set]?.accuracy ?? []);
  const accuracies = (set) => records.map((record) => median(accuraciesAt(record, set)));
  const information = () => records.map(({ ensemble }) => ensemble.unseenTasks.mutualInformation);
  const settled = (record) => accuraciesAt(record, "unseenTasks").every((a) => a >= 0.97 * ceiling);

  for (let step = 0; step < steps; ) {
    const toStep = Math.min(steps, step + config.evaluation.every);
    const results = states.map((state, member) =>
      trainSegment({ config, member, state, toStep }, { core, stop: () => false }),
    );
    if (results.some(({ nonFiniteStep }) => nonFiniteStep !== undefined)) break;
    for (const [member, { state }] of results.entries()) states[member] = state;
    step = toStep;
    const evaluations = results.map(({ member, predictions }) => ({ member, step, predictions }));
    const { posteriorSamples } = config.evaluation;
    const learningRate = learningRateAt(step, config.training);
    records.push(measureEvaluation(step, evaluations, probes, { learningRate, posteriorSamples }));
    const unseen = accuracies("unseenTasks").at(-1);
    if (trace) {
      const now = [accuracies("seenTasks").at(-1), unseen].map(thousandths);
      const more = [accuracies("trainPrompts").at(-1), information().at(-1)].map(thousandths);
      appendFileSync(trace, `${[name, seed, step, ...now, seconds(), ...more].join("\t")}\n`);
    }
    if (records.length >= 8 && records.slice(-8).every(settled)) break;
    const judged = giveUp && step >= giveUp.step && step < giveUp.step + config.evaluation.every;
    if (judged && unseen < giveUp.accuracy * ceiling) break;
  }

  const { events, labelled, detector } = readEvents(records, references, config.task.modulus);
  const { memorisedStep, generalisedStep, grokStep } = events;
  const done = records.at(-1)?.step ?? 0;
  const last = (set) => thousandths(accuracies(set).at(-1));
  const ensemble = config.ensemble.members > 1;
  const row = {
    ...{ name, seed, members: config.ensemble.members, steps: done, settings: settings.join(" ") },
    ...{ memorised: memorisedStep, generalised: generalisedStep, grokked: grokStep },
    delay: memorisedStep && grokStep ? (grokStep / memorisedStep).toFixed(2) : null,
    ...{ seen: last("seenTasks"), unseen: last("unseenTasks"), pool: last("trainPrompts") },
    ceiling: thousandths(ceiling),
    TFLOP: ((estimateCost(config).flopsPerStep * done * config.ensemble.members) / 1e12).toFixed(2),
    seconds: seconds(),
    "seen curve": curve(accuracies("seenTasks")),
    "unseen curve": curve(accuracies("unseenTasks")),
    "pool curve": references.trainPrompts && curve(accuracies("trainPrompts")),
    ...(ensemble && {
      "MI peak": thousandths(detector.peakMutualInformation ?? undefined),
      "peak step": detector.uncertaintyPeakStep,
      collapse: detector.collapseStep,
      MI: thousandths(information().at(-1)),
      "MI curve": curve(information()),
      "mean prediction": inShort(labelled.meanPrediction),
      "each member": labelled.perMember.map(inShort).join(" "),
    }),
  };
  return row;
}

function median(values) {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}

const thousandths = (value) => value?.toFixed(3);

/** About 16 of the values. */
function curve(values) {
  const every = Math.max(1, Math.round(values.length / 16));
  return values
    .filter((_, i) => i % every === every - 1 || i === values.length - 1)
    .map((value) => value?.toFixed(2) ?? "-")
    .join(" ");
}

function inWords(row) {
  const said = [
    "memorised",
    "generalised",
    "grokked",
    "peak step",
    "collapse",
    "mean prediction",
    "each member",
  ]
    .filter((column) => row[column] !== undefined)
    .map((column) => `${column} ${row[column] ?? "-"}`);
  return `${row.name} seed ${row.seed}, ${row.steps} steps: ${said.join(", ")}`;
}

/** Begins the table, or gives an older one its new columns. */
function prepareTable(path) {
  const header = COLUMNS.join("\t");
  if (!existsSync(path)) writeFileSync(path, `${header}\n`);
  const [first, ...rows] = readFileSync(path, "utf8").split("\n");
  if (!header.startsWith(first)) throw new Error(`${path}: the first line is not the names of the columns`);
  if (first !== header) writeFileSync(path, [header, ...rows].join("\n"));
  return rows.filter(Boolean).map((line) => line.split("\t"));
}

if (isMainThread) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: "string", default: "0,1,2" },
      workers: { type: "string", default: "1" },
      members: { type: "string", default: "1" },
      out: { type: "string", default: "results.tsv" },
      "give-up": { type: "string" },
      trace: { type: "string" },
    },
  });
  const members = Number(values.members);
  const rows = prepareTable(values.out);
  const done = new Set(
    rows.map((cells) => [cells[0], cells[1], cells[COLUMNS.indexOf("members")] ?? 1].join(" ")),
  );
  const lines = readFileSync(positionals[0], "utf8")
    .split("\n")
    .filter((line) => line.trim() && !line.startsWith("#"));
  const [step, accuracy] = (values["give-up"] ?? "").split(":").map(Number);
  const jobs = lines
    .flatMap((line) => {
      const [name, ...settings] = line.trim().split(/\s+/);
      return values.seeds.split(",").map((seed) => ({
        ...{ name, settings, members, seed: Number(seed) },
        ...{ giveUp: step ? { step, accuracy } : undefined, trace: values.trace },
      }));
    })
    .filter(({ name, seed }) => !done.has(`${name} ${seed} ${members}`));
  for (let w = 0; w < Number(values.workers); w++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: {} });
    const next = () => (jobs.length > 0 ? worker.postMessage(jobs.shift()) : worker.terminate());
    worker.on("message", (row) => {
      appendFileSync(values.out, `${COLUMNS.map((column) => row[column] ?? "-").join("\t")}\n`);
      console.log(inWords(row));
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
