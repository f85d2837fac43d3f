/** `epigrok run`: train an ensemble, or continue a run. */
import { basename, extname, relative } from "node:path";
import type { Argv, CommandModule } from "yargs";
import type { ConfigLayer } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { messageOf, UsageError } from "../errors.ts";
import type { OpenMode } from "../run/directory.ts";
import { inMebibytes } from "../run/mebibytes.ts";
import type { RunObserver } from "../run/observer.ts";
import type { RunPlan } from "../run/plan.ts";
import type { RunSummary } from "../run/records.ts";
import type { RunOptions } from "../run/run.ts";
import { workerCount } from "./flags.ts";
import type { LivePage } from "./live-page.ts";
import type { Progress } from "./progress.ts";
import { reportOn } from "./report-on.ts";
import { type Interruption, quoted, stopOnSignal } from "./signals.ts";

interface RunArguments {
  preset?: string;
  config?: string;
  set: string[];
  members?: number;
  workers?: number;
  seed?: number;
  math?: string;
  initFrom?: string;
  out?: string;
  resume?: string;
  overwrite: boolean;
  dryRun: boolean;
  posterior: boolean;
  open: boolean;
  json: boolean;
  quiet: boolean;
}

export const runCommand: CommandModule<object, RunArguments> = {
  command: "run",
  describe: "train an ensemble and follow its uncertainty",
  builder: (yargs: Argv) =>
    yargs
      .option("preset", {
        type: "string",
        requiresArg: true,
        describe: "start from a preset (epigrok presets)",
      })
      .option("config", { type: "string", requiresArg: true, describe: "YAML file with the configuration" })
      .option("set", {
        type: "string",
        array: true,
        default: [] as string[],
        requiresArg: true,
        describe: "key=value, such as model.dModel=128; repeatable",
      })
      .option("members", { type: "number", requiresArg: true, describe: "members of the ensemble" })
      .option("workers", {
        type: "number",
        requiresArg: true,
        describe: "worker threads; no influence on the results  [default: all cores]",
      })
      .option("seed", { type: "number", requiresArg: true, describe: "root of every random stream" })
      .option("math", {
        type: "string",
        requiresArg: true,
        describe: "fast, or strict: equal bytes everywhere",
      })
      .option("init-from", {
        type: "string",
        requiresArg: true,
        describe: "begin with the parameters of a checkpoint file, a step's folder or a run",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        describe: "run directory  [default: runs/<date>-<name>]",
      })
      .option("resume", { type: "string", describe: "continue the run in this directory, or in --out" })
      .option("overwrite", { type: "boolean", default: false, describe: "replace the run in --out" })
      .option("dry-run", { type: "boolean", default: false, describe: "only say what the run would cost" })
      .option("posterior", {
        type: "boolean",
        default: true,
        describe: "fit last-layer Laplace and a short IVON afterwards, within 10 % of the training time",
      })
      .option("open", {
        type: "boolean",
        default: false,
        describe: "serve the run's live page on this machine while it trains, and open it in the browser",
      })
      .option("json", { type: "boolean", default: false, describe: "print the result as one JSON object" })
      .option("quiet", { type: "boolean", default: false, describe: "no progress" })
      .epilogue(
        "Precedence: defaults, preset, config, EPIGROK_* variables (EPIGROK_TRAINING__STEPS=100), --set, flags.\n" +
          "Exit codes: 0 done, 1 failed, 2 usage or configuration, 128 + n stopped by signal n (130 Ctrl-C, 143 TERM,\n" +
          "140 USR2) and resumable. HUP, QUIT, USR1, XCPU, ALRM and PWR stop a run in this way, too.",
      ) as unknown as Argv<RunArguments>,
  handler: async (args) => {
    const workers = workerCount(args.workers);
    if (args.dryRun && args.open) throw new UsageError("--open: a dry run has no page");
    if (args.dryRun) return dryRun(args, workers);
    let progress: Progress | undefined;
    const interruption = stopOnSignal(() => progress?.close());
    const { createWorkerPool, startThreads } = await import("../pool/pool.ts");
    // One thread gets ready, and tests the core that most runs have, while this one reads the configuration: together
    // they keep two cores busy.
    const threads = startThreads({ workers, atOnce: 1 });
    const { compareAhead } = await import("../core/build.ts");
    compareAhead("fast", (wide, narrow) => threads.run({ wide, narrow }, { name: "compareWidths" }));
    let page: LivePage | undefined;
    try {
      const { createProgress } = await import("./progress.ts");
      progress = createProgress(process.stderr, args.quiet);
      if (args.open) page = new (await import("./live-page.ts")).LivePage(progress.say);
      const observer = page?.beside(progress) ?? progress;
      const createPool: RunOptions["createPool"] = (options) => createWorkerPool({ ...options, threads });
      await train(args, { workers, createPool, interruption, progress, observer });
      if (!interruption.signal.aborted) await page?.finish();
    } finally {
      progress?.close();
      interruption.dispose();
      await Promise.all([threads.close(), page?.close()]);
    }
  },
};

async function dryRun(args: RunArguments, workers: number): Promise<void> {
  const { config } = await resolveRun(args);
  const { planRun } = await import("../run/plan.ts");
  const plan = await planRun(config, workers);
  console.log(
    args.json ? JSON.stringify({ schema: "epigrok-plan/1", config, ...plan }) : await planText(config, plan),
  );
}

interface TrainOptions {
  workers: number;
  createPool: RunOptions["createPool"];
  interruption: Interruption;
  progress: Progress;
  observer: RunObserver;
}

async function train(
  args: RunArguments,
  { workers, createPool, interruption, progress, observer }: TrainOptions,
): Promise<void> {
  const { config, layers, given, name, mode } = await resolveRun(args);
  const { makeDefaultRunDirectory } = await import("../run/directory.ts");
  const { runEnsemble } = await import("../run/run.ts");
  const { survived } = await import("../run/summary.ts");
  const { signal } = interruption;
  const { runDir, summary } = await runEnsemble(config, {
    out: given ?? (() => makeDefaultRunDirectory(name)),
    mode,
    workers,
    overrides: layers,
    commandLine: process.argv.slice(2),
    signal,
    observer,
    createPool,
  });
  progress.close();
  if (summary && args.posterior && !signal.aborted) await addPosteriors(runDir, workers, args.quiet, signal);
  if (!summary || signal.aborted) {
    const stopped = summary ? "Stopped after the training, which is complete." : "Stopped, nothing is lost.";
    console.error(`${stopped} Continue with: epigrok run --resume ${quoted(given ?? relative(".", runDir))}`);
    process.exitCode = interruption.exitCode();
    return;
  }
  const report = await reportOn(runDir);
  console.log(args.json ? JSON.stringify(summary) : summaryText(summary, report));
  if (!survived(summary)) process.exitCode = 1;
}

interface ResolvedRun {
  config: Config;
  layers: ConfigLayer[];
  /** The run directory; undefined: one of its own, by this name. */
  given: string | undefined;
  name: string;
  mode: OpenMode;
}

/**
 * The configuration and the directory. Without preset and config file, a resumed run's own configuration takes the
 * place of the defaults, so that `--resume DIR` alone is enough.
 */
async function resolveRun(args: RunArguments): Promise<ResolvedRun> {
  const { environmentLayers, fileLayer, overrideLayer } = await import("../config/load.ts");
  const { flagLayer, resolveConfig } = await import("../config/resolve.ts");
  const { readManifest } = await import("../run/read.ts");
  const base: ConfigLayer[] = [];
  if (args.preset !== undefined) base.push((await import("../config/presets.ts")).presetLayer(args.preset));
  if (args.config !== undefined) base.push(fileLayer(args.config));

  const resuming = args.resume !== undefined;
  if (resuming && args.overwrite) throw new UsageError("--resume and --overwrite contradict each other");
  if (args.resume && args.out !== undefined && args.resume !== args.out)
    throw new UsageError("--resume DIR and --out name two directories; give one of them");
  const given = args.resume || args.out;
  if (resuming && given === undefined) throw new UsageError("--resume needs a directory, its own or --out");
  if (resuming && base.length === 0) {
    const manifest = await readManifest(given!);
    if (manifest) base.push({ source: given!, values: manifest.config });
    else if (args.resume) throw new UsageError(`there is no run to resume in ${args.resume}`);
  }

  const overrides = [...environmentLayers(process.env), ...args.set.map(overrideLayer)];
  if (args.members !== undefined) overrides.push(flagLayer("--members", "ensemble.members", args.members));
  if (args.seed !== undefined) overrides.push(flagLayer("--seed", "seed", args.seed));
  if (args.math !== undefined) overrides.push(flagLayer("--math", "math", args.math));
  if (args.initFrom !== undefined) overrides.push(flagLayer("--init-from", "model.initFrom", args.initFrom));
  const layers = [...base, ...overrides];
  const name =
    args.preset ?? (args.config === undefined ? "run" : basename(args.config, extname(args.config)));
  return {
    config: resolveConfig(layers),
    layers,
    given,
    name,
    mode: resuming ? "resume" : args.overwrite ? "overwrite" : "new",
  };
}

/** The run is complete without them, so a failure is a warning. */
async function addPosteriors(
  runDir: string,
  workers: number,
  quiet: boolean,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { fitAfterTraining } = await import("../analysis/after-training.ts");
    await fitAfterTraining(runDir, {
      ...{ workers, signal },
      say: quiet ? undefined : (message) => console.error(message),
      failed: (message) => console.error(message),
    });
  } catch (error) {
    console.error(`No posteriors: ${messageOf(error)}. Fit them with: epigrok posterior ${quoted(runDir)}`);
  }
}

function summaryText(summary: RunSummary, report: string | null): string {
  const { verdict, accuracy, mutualInformation, runDir } = summary;
  const none = "none without an evaluation";
  const percent = (share: number | null) => (share === null ? none : `${(100 * share).toFixed(1)} %`);
  const nats = (value: number | null) => (value === null ? none : `${value.toFixed(3)} nats`);
  const { trainPrompts } = accuracy;
  const pool = trainPrompts === undefined ? "" : `pool ${percent(trainPrompts)}, `;
  return [
    verdict,
    "",
    `accuracy   ${pool}seen tasks ${percent(accuracy.seenTasks)}, unseen tasks ${percent(accuracy.unseenTasks)}`,
    `epistemic  peak ${nats(mutualInformation.peak)}, now ${nats(mutualInformation.final)}`,
    `run        ${runDir}`,
    ...(report === null ? [] : [`report     ${report}`]),
  ].join("\n");
}

async function planText(config: Config, plan: RunPlan): Promise<string> {
  const { stringify } = await import("yaml");
  const { counted, formatDuration, sharing, shortNumber } = await import("./format.ts");
  const { members } = config.ensemble;
  const { batchSize } = config.training;
  const { measuredPrompts } = plan;
  const measured = measuredPrompts < batchSize ? ` on ${measuredPrompts} of ${batchSize} prompts a step` : "";
  return [
    stringify(config).trimEnd(),
    "",
    `# parameters   ${plan.parameters} in each of ${counted(members, "member")}`,
    `# memory       ${inMebibytes(plan.memoryBytes)} while it trains, ${inMebibytes(plan.workerBytes)} of them for each of ${counted(plan.workers, "worker")}`,
    `# disk         ${shortNumber(plan.diskBytes)}B for the run directory`,
    `# compute      ${shortNumber(plan.flopsPerStep)}FLOP a step, ${shortNumber(plan.totalFlops)}FLOP in all (nominal)`,
    `# evaluations  ${plan.evaluations}`,
    `# speed        ${shortNumber(plan.tokensPerSecond)} tokens/s, measured${measured} (${plan.math} math ${plan.simd} bits wide)`,
    `# time         ${formatDuration(plan.estimatedSeconds)} on ${counted(plan.workers, "worker")}${sharing(plan.threadsPerMember)}, estimated from it`,
    "# not in it    posteriors after training, up to 10 % more (--no-posterior leaves them out); what else the machine does",
    "# not known    whether and when the members memorise and grok",
  ].join("\n");
}
