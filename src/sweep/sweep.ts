/** A sweep from its definition to its results, and its extension. */
import { availableParallelism } from "node:os";
import type { ConfigLayer } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import { UsageError } from "../errors.ts";
import { readInitial } from "../run/initial.ts";
import { requireMemory } from "../run/memory.ts";
import { bytesOfRun, requireFree, runBytes } from "../run/space.ts";
import { dependsOnLength } from "../run/unsealed.ts";
import { keysOf, requireCount, requireKeys, requireObject, requirePath, requireSignal } from "../validate.ts";
import { type Builds, buildsHere, requireSameBuilds } from "./builds.ts";
import { type Axis, defineSweep, type SweepDefinition, type SweepInput } from "./definition.ts";
import { changeSweep, holdsSweep, makeSweep, readSweep, runDirectory, type Sweep } from "./directory.ts";
import { configOf, expand, hashOf, inWords, type SweepRun } from "./expand.ts";
import { writeResults } from "./results.ts";
import { type SweepOutcome, type WorkOptions, workOn } from "./work.ts";

/** Where and with what `runSweep` runs; nothing here has an influence on the results. */
export interface SweepOptions extends Omit<WorkOptions, "workers" | "only"> {
  /** The directory of the sweep: absent, empty, or with this sweep, which then goes on. */
  out: string;
  /** Worker threads for all runs together; by default as many as there are cores. */
  workers?: number;
  /** Go on although version, Wasm, simd or math are not those that the sweep was begun with. */
  mixed?: boolean;
  /** More runs than 100,000, at most a million, are meant. */
  yes?: boolean;
}

const SWEEP_OPTIONS = keysOf<SweepOptions>({
  ...{ out: true, workers: true, mixed: true, yes: true, failFast: true, signal: true, commandLine: true },
  observer: true,
});

/**
 * Trains every run of a grid, of lists of settings, or of both, and writes results.jsonl, results.csv and results.parquet
 * beside the run directories. Finished runs are skipped, interrupted ones go on to the same bytes, and any number of processes, on
 * machines with a common file system, may call this with one directory at the same time.
 *
 * A run that fails is tried once more; then it is left out of the results, and the others go on.
 * @throws UsageError, before anything is written, for axes and settings that are not allowed, all of them named, for runs
 *   that do not fit memory or disk, and for a directory of something else; Error if the disk is full
 */
export async function runSweep(input: SweepInput, options: SweepOptions): Promise<SweepOutcome> {
  requireKeys("options", options, SWEEP_OPTIONS);
  requirePath("out", options.out);
  if (options.workers !== undefined) requireCount("workers", options.workers);
  if (options.signal !== undefined) requireSignal(options.signal);
  if (options.observer !== undefined) requireObject("observer", options.observer);
  await prepareSweep(defineSweep(input), options);
  return goOn(options.out, options);
}

/** Goes on with the sweep in `directory`, and writes its results if it is not `only` a part. @throws as `runSweep` */
export async function goOn(
  directory: string,
  {
    workers = availableParallelism(),
    mixed,
    ...options
  }: Omit<SweepOptions, "out" | "yes"> & Pick<WorkOptions, "only">,
): Promise<SweepOutcome> {
  const sweep = readSweep(directory);
  if (!mixed) requireSameBuilds(sweep.builds, await buildsOf(sweep));
  const outcome = await workOn(directory, { ...options, workers });
  if (outcome.status === "finished" && !options.only) await writeResults(directory);
  return outcome;
}

/** Those of this process for the runs of a sweep. */
function buildsOf({ builds }: Pick<Sweep, "builds">): Promise<Builds> {
  const maths = Object.keys(builds.cores) as Config["math"][];
  return buildsHere(maths.map((math) => ({ math })));
}

export interface PrepareOptions extends Pick<SweepOptions, "workers" | "yes" | "mixed" | "commandLine"> {
  /** The directory, or what makes its name of a hash of all runs. */
  out: string | ((hash: string) => string);
}

/**
 * Checks every run of a sweep and makes its directory, or finds it there.
 * @returns the directory
 * @throws UsageError before anything is written
 */
export async function prepareSweep(
  definition: SweepDefinition,
  { out: place, workers = availableParallelism(), yes, mixed, commandLine = [] }: PrepareOptions,
): Promise<string> {
  const runs = expand(definition, { meant: yes });
  const out = typeof place === "string" ? place : place(hashOf(runs));
  // One that is there has passed, and its runs have copies of what they began with.
  if (!holdsSweep(out)) {
    await requireRunnable(runs, workers);
    await requireSpace(out, runs);
  }
  const builds = await buildsHere(runs.map(({ config }) => config));
  const sweep = await makeSweep(out, {
    ...{ definition, builds },
    runs: runs.map(({ run }) => run),
    commandLines: [commandLine],
  });
  if (!mixed) requireSameBuilds(sweep.builds, builds);
  return out;
}

/** @throws UsageError for runs that do not fit the machine's memory, or whose members' beginnings are missing */
async function requireRunnable(
  runs: readonly { run: SweepRun; config: Config }[],
  workers: number,
): Promise<void> {
  for (const { run, config } of runs) {
    const core = await loadCoreModule(config.math);
    try {
      requireMemory(config, core, workers);
      await readInitial(config, core);
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`${inWords(run.settings)}: ${error.message}`);
      throw error;
    }
  }
}

/** @throws UsageError if what is still to be written does not fit */
async function requireSpace(out: string, runs: readonly { run: SweepRun; config: Config }[]): Promise<void> {
  const needed = runs.reduce(
    (sum, { run, config }) => sum + Math.max(0, runBytes(config) - bytesOfRun(runDirectory(out, run.run))),
    0,
  );
  await requireFree("the sweep", out, needed);
}

export interface Extension {
  /** Axes of the sweep with further values. */
  axes?: Axis[];
  /** Steps of every run, more than before. */
  steps?: number;
}

/**
 * Adds runs to the sweep in `directory`, or steps to its runs; `goOn` trains them.
 * @returns the sweep, and how many runs are new
 * @throws UsageError for an axis that it does not have, and for steps where they depend on how many there are
 */
export async function extendSweep(
  directory: string,
  { axes = [], steps }: Extension,
  {
    workers = availableParallelism(),
    yes,
    mixed,
    commandLine = [],
  }: Pick<SweepOptions, "workers" | "yes" | "mixed" | "commandLine"> = {},
): Promise<{ sweep: Sweep; added: number }> {
  let added = 0;
  const sweep = await changeSweep(directory, async (before) => {
    const { definition } = before;
    if (steps !== undefined) requireLonger(before, steps);
    const longer: ConfigLayer[] =
      steps === undefined ? [] : [{ source: "--steps", values: { training: { steps } } }];
    const runs = expand(
      { ...definition, layers: [...definition.layers, ...longer], axes: withMore(definition.axes, axes) },
      { meant: yes },
    );
    await requireRunnable(runs, workers);
    const builds = await buildsHere(runs.map(({ config }) => config));
    if (!mixed) requireSameBuilds(before.builds, builds);
    const now = new Map(runs.map(({ run }) => [run.run, run]));
    const kept = before.runs.map(({ run, settings }) => {
      const same = now.get(run);
      if (same) return same;
      throw new UsageError(
        `${directory}: this version of epigrok makes another configuration of ${inWords(settings)}`,
      );
    });
    const known = new Set(before.runs.map(({ run }) => run));
    const more = runs.map(({ run }) => run).filter(({ run }) => !known.has(run));
    added = more.length;
    return {
      definition: {
        ...definition,
        layers: [...definition.layers, ...longer],
        axes: withMore(definition.axes, axes),
      },
      builds: { ...before.builds, cores: { ...builds.cores, ...before.builds.cores } },
      runs: [...kept, ...more],
      commandLines: [...before.commandLines, commandLine],
    };
  });
  return { sweep, added };
}

/** @throws UsageError for an axis that is not among them */
function withMore(axes: readonly Axis[], further: readonly Axis[]): Axis[] {
  for (const { key } of further) {
    if (axes.some((axis) => axis.key === key)) continue;
    const there = axes.map((axis) => axis.key).join(", ");
    throw new UsageError(
      `the sweep has no axis over ${key}, which all its runs have in common; ${there ? `there are: ${there}` : "there is none"}. ` +
        "A new axis is a new sweep",
    );
  }
  return axes.map(({ key, values }) => {
    const known = new Set(values.map((value) => JSON.stringify(value)));
    const more = further
      .filter((axis) => axis.key === key)
      .flatMap((axis) => axis.values)
      .filter((value) => !known.has(JSON.stringify(value)));
    return { key, values: [...values, ...more] };
  });
}

/** @throws UsageError for steps that are fewer, or that the steps before depend on */
function requireLonger({ definition, runs }: Sweep, steps: number): void {
  const key = "training.steps";
  if (
    definition.axes.some((axis) => axis.key === key) ||
    definition.settings.some((settings) => Object.hasOwn(settings, key))
  )
    throw new UsageError(`--steps: ${key} is an axis of the sweep, or in its settings; extend that`);
  const most = Math.max(...runs.map((run) => run.steps));
  if (steps < most)
    throw new UsageError(`--steps: got ${steps}, must be at least ${most}, as many as its runs have`);
  for (const { settings } of runs) {
    const reason = dependsOnLength(configOf(definition.layers, settings));
    if (reason)
      throw new UsageError(
        `--steps: ${inWords(settings)} cannot go on to more steps, since ${reason}. Longer runs are another sweep`,
      );
  }
}
