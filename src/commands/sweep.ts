/** `epigrok sweep`: grids and lists of runs, here or with other processes on one directory. */
import { existsSync } from "node:fs";
import { basename, extname, join } from "node:path";
import type { Argv, CommandModule, Options } from "yargs";
import { UsageError } from "../errors.ts";
import type { SweepDefinition } from "../sweep/definition.ts";
import type { SweepPlan } from "../sweep/plan.ts";
import type { SweepOutcome } from "../sweep/work.ts";
import { workerCount } from "./flags.ts";
import { reportOn } from "./report-on.ts";
import { quoted, stopOnSignal } from "./signals.ts";
import { managingCommands } from "./sweep-manage.ts";
import { requireBackend, SLURM_OPTIONS, type SlurmArguments, submitSweep } from "./sweep-slurm.ts";
import { taskCommand } from "./sweep-task.ts";

interface SweepArguments extends SlurmArguments {
  sweep?: string;
  preset?: string;
  config?: string;
  set: string[];
  axis: string[];
  exclude: string[];
  members?: number;
  math?: string;
  out?: string;
  workers?: number;
  failFast: boolean;
  mixed: boolean;
  yes: boolean;
  dryRun: boolean;
  json: boolean;
  quiet: boolean;
}

/** Where sweeps are that have been given no place. */
const SWEEPS = "sweeps";

export const sweepCommand: CommandModule<object, SweepArguments> = {
  command: "sweep [sweep]",
  describe: "train a grid of runs, lists of settings, or both",
  builder: (yargs: Argv) =>
    withoutRecommendations(yargs)
      .command([...managingCommands, taskCommand] as CommandModule[])
      .positional("sweep", {
        type: "string",
        describe: "YAML file of a sweep, or the directory of one that is to go on",
      })
      .options(
        own({
          preset: { type: "string", requiresArg: true, describe: "start from a preset (epigrok presets)" },
          config: { type: "string", requiresArg: true, describe: "YAML file with the settings of all runs" },
          set: { ...LIST, describe: "key=value, for all runs; repeatable" },
          axis: {
            ...LIST,
            describe: "key=values: 6,10,14 or 0..4 or lin:0..1:5 or log:0.1..10:5; repeatable, for a grid",
          },
          exclude: { ...LIST, describe: '"key=values key=values": leave out runs that have all of these' },
          members: { type: "number", requiresArg: true, describe: "members of each run's ensemble" },
          math: { type: "string", requiresArg: true, describe: "fast, or strict: equal bytes everywhere" },
          out: { type: "string", requiresArg: true, describe: "directory  [default: sweeps/<name>-<hash>]" },
          workers: {
            type: "number",
            requiresArg: true,
            describe: "worker threads for all runs together  [default: all cores]",
          },
          "fail-fast": { type: "boolean", default: false, describe: "stop at the first run that fails" },
          mixed: {
            type: "boolean",
            default: false,
            describe: "go on with another version, Wasm, width or math than the sweep was begun with",
          },
          yes: {
            type: "boolean",
            default: false,
            describe: "more than 100,000 runs, at most a million, are meant",
          },
          "dry-run": {
            type: "boolean",
            default: false,
            describe: "only say which runs there are and what they cost",
          },
          json: { type: "boolean", default: false, describe: "print the result as one JSON object" },
          quiet: { type: "boolean", default: false, describe: "no progress" },
          ...SLURM_OPTIONS,
        }),
      )
      .epilogue(
        "A run that is finished is skipped, and an interrupted one goes on: the same command continues a sweep, and may " +
          "run several times at once, on machines that share the directory.\n" +
          "Exit codes: 0 all runs are finished, 1 some have failed, 2 usage or configuration, 128 + n stopped by signal n.",
      ) as unknown as Argv<SweepArguments>,
  handler: async (args) => {
    const workers = workerCount(args.workers);
    requireBackend(args);
    if (args.dryRun) return dryRun(args, workers);
    if (args.backend === "slurm") return submitSweep(await prepared(args, workers), args);
    const { sweepProgress } = await import("./sweep-progress.ts");
    const progress = sweepProgress(process.stderr, args.quiet);
    const interruption = stopOnSignal(() => progress.close());
    try {
      const directory = await prepared(args, workers);
      const { goOn } = await import("../sweep/sweep.ts");
      const outcome = await goOn(directory, {
        ...{ workers, failFast: args.failFast, mixed: args.mixed },
        signal: interruption.signal,
        commandLine: process.argv.slice(2),
        observer: progress,
      });
      progress.close();
      const page = outcome.status === "finished" ? await reportOn(directory) : null;
      tell(directory, outcome, { page, json: args.json });
      if (outcome.status === "stopped") process.exitCode = interruption.exitCode();
      else if (outcome.status !== "finished" || outcome.failed.length > 0) process.exitCode = 1;
    } finally {
      progress.close();
      interruption.dispose();
    }
  },
};

/** A sweep may be called nearly what a command is. The types of yargs lack the argument. */
const withoutRecommendations = (yargs: Argv) =>
  (yargs as unknown as { recommendCommands(recommend: boolean): Argv }).recommendCommands(false);

/** Not of the commands below this one. */
const own = (options: Record<string, Options>) =>
  Object.fromEntries(Object.entries(options).map(([name, option]) => [name, { ...option, global: false }]));

/** One value each time the flag is given. */
const LIST = { type: "string", array: true, nargs: 1, default: [] as string[] } as const;

/** The directory of the sweep, made where there is none. */
async function prepared(args: SweepArguments, workers: number): Promise<string> {
  if (await isDirectory(args.sweep)) {
    requireNothingElse(args);
    return args.sweep!;
  }
  const { prepareSweep } = await import("../sweep/sweep.ts");
  const { definition, name } = await define(args);
  const { mixed, yes } = args;
  return prepareSweep(definition, {
    // The same command finds the same place.
    out: args.out ?? ((hash) => join(SWEEPS, `${name}-${hash}`)),
    ...{ workers, mixed, yes, commandLine: process.argv.slice(2) },
  });
}

async function isDirectory(path: string | undefined): Promise<boolean> {
  if (path === undefined) return false;
  const { holdsSweep } = await import("../sweep/directory.ts");
  return holdsSweep(path);
}

/** What a sweep that is there has already. */
const DEFINING = ["preset", "config", "set", "axis", "exclude", "members", "math", "out"] as const;

function requireNothingElse(args: SweepArguments): void {
  const given = DEFINING.find((name) => {
    const value = args[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined;
  });
  if (given !== undefined)
    throw new UsageError(
      `--${given}: ${args.sweep} is a sweep that is there already, with its settings; epigrok sweep extend adds values`,
    );
}

async function define(args: SweepArguments): Promise<{ definition: SweepDefinition; name: string }> {
  const { environmentLayers, fileLayer, overrideLayer } = await import("../config/load.ts");
  const { flagLayer } = await import("../config/resolve.ts");
  const { presetLayer } = await import("../config/presets.ts");
  const { defineSweep, parseAxis, parseExclusion, readSweepFile, requireDistinct } = await import(
    "../sweep/definition.ts"
  );
  const { sweep: file, preset, config } = args;
  if (file !== undefined && !existsSync(file))
    throw new UsageError(`${file}: there is no such file, and no sweep in a directory of that name`);
  const input = file === undefined ? {} : readSweepFile(file);
  if (preset !== undefined && input.preset !== undefined)
    throw new UsageError(`--preset: ${file} names a preset, too; leave one of them out`);
  const over = [
    ...environmentLayers(process.env),
    ...args.set.map(overrideLayer),
    ...(args.members === undefined ? [] : [flagLayer("--members", "ensemble.members", args.members)]),
    ...(args.math === undefined ? [] : [flagLayer("--math", "math", args.math)]),
  ];
  const defined = defineSweep(input, { source: file, over });
  const definition: SweepDefinition = {
    ...defined,
    layers: [
      ...(preset === undefined ? [] : [presetLayer(preset)]),
      ...(config === undefined ? [] : [fileLayer(config)]),
      ...defined.layers,
    ],
    axes: [...defined.axes, ...args.axis.map(parseAxis)],
    exclude: [...defined.exclude, ...args.exclude.map(parseExclusion)],
  };
  requireDistinct(definition);
  if (definition.axes.length === 0 && definition.settings.length === 0)
    throw new UsageError("a sweep needs an axis, such as --axis seed=0..4, or settings in a file");
  const path = file ?? config;
  return { definition, name: path === undefined ? (preset ?? "sweep") : basename(path, extname(path)) };
}

function tell(
  directory: string,
  { status, finished, failed }: SweepOutcome,
  { page, json }: { page: string | null; json: boolean },
): void {
  const total = finished + failed.length;
  if (json)
    console.log(JSON.stringify({ schema: "epigrok-sweep-outcome/1", directory, status, finished, failed }));
  if (status === "stopped" || status === "cancelled" || status === "failed")
    console.error(
      `${{ stopped: "Stopped", cancelled: "Stopped by epigrok sweep cancel", failed: "Stopped at a failure" }[status]}, ` +
        `nothing is lost. Continue with: epigrok sweep ${quoted(directory)}`,
    );
  else if (!json)
    console.log(
      [
        `${finished} of ${total} runs are finished`,
        `results    ${join(directory, "results.csv")}`,
        ...(page === null ? [] : [`report     ${page}`]),
      ].join("\n"),
    );
  if (failed.length > 0)
    console.error(
      `${failed.length} of ${total} runs have failed: epigrok sweep status ${quoted(directory)} says why, ` +
        `epigrok sweep retry ${quoted(directory)} lets them be tried again`,
    );
}

async function dryRun(args: SweepArguments, workers: number): Promise<void> {
  if (await isDirectory(args.sweep))
    throw new UsageError(`--dry-run: ${args.sweep} is there already; see epigrok sweep status ${args.sweep}`);
  const { expand } = await import("../sweep/expand.ts");
  const { planSweep } = await import("../sweep/plan.ts");
  const { definition } = await define(args);
  const plan = await planSweep(expand(definition, { meant: args.yes }), workers);
  console.log(args.json ? JSON.stringify({ schema: "epigrok-sweep-plan/1", ...plan }) : await planText(plan));
}

async function planText(plan: SweepPlan): Promise<string> {
  const { inWords } = await import("../sweep/expand.ts");
  const { counted, formatDuration, shortNumber } = await import("./format.ts");
  return [
    ...plan.runs.map(
      ({ run, settings, members, flops }) =>
        `${run}  ${inWords(settings)}  ${counted(members, "member")}, ${shortNumber(flops)}FLOP`,
    ),
    "",
    `runs       ${plan.runs.length}`,
    `compute    ${shortNumber(plan.totalFlops)}FLOP in all (nominal)`,
    `disk       ${shortNumber(plan.diskBytes)}B`,
    `time       ${formatDuration(plan.estimatedSeconds)} on ${counted(plan.workers, "worker")}, estimated from a run in the middle ` +
      `(${plan.math} math ${plan.simd} bits wide)`,
  ].join("\n");
}
