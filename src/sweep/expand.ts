/** The runs of a sweep, each with its configuration, all checked before any begins. */
import { createHash } from "node:crypto";
import { type ConfigLayer, flagLayer, resolveConfig } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { runHash } from "../run/identity.ts";
import { configHash } from "../run/manifest.ts";
import { estimateCost } from "../training/cost.ts";
import type { Settings, SweepDefinition } from "./definition.ts";
import { MOST_MEANT } from "./values.ts";

/** Digits of a hash that name a run. */
const DIGITS = 16;
export const RUN_NAME = new RegExp(`^[0-9a-f]{${DIGITS}}$`);

/** A grid of more runs than this is a mistake, unless it is meant. */
const MOST_RUNS = 100_000;

/** Of the problems of a sweep so many are listed. */
const MOST_PROBLEMS = 1000;

/** A run of a sweep, as sweep.json lists it. */
export interface SweepRun {
  /** The first digits of `runHash` of its configuration, and the name of its directory. */
  run: string;
  /** Those of the hash of the whole configuration. */
  config: string;
  /** What tells it from the other runs, by dotted key. */
  settings: Settings;
  members: number;
  steps: number;
  /** Nominal FLOPs of all of it. */
  flops: number;
}

/** How many runs the grid has before any is left out. */
export const gridSize = ({ axes, settings }: SweepDefinition): number =>
  axes.reduce((product, { values }) => product * values.length, Math.max(1, settings.length));

/**
 * @param meant whether that they are many is no mistake
 * @returns in the order of the grid
 * @throws UsageError naming every value that is not allowed, a grid that is too large, without runs, or with one run twice
 */
export function expand(
  definition: SweepDefinition,
  { meant = false }: { meant?: boolean } = {},
): { run: SweepRun; config: Config }[] {
  const size = gridSize(definition);
  if (size > MOST_MEANT)
    throw new UsageError(`the sweep has ${size} runs, must be at most ${MOST_MEANT}, also with --yes`);
  if (size > MOST_RUNS && !meant)
    throw new UsageError(
      `the sweep has ${size} runs, more than ${MOST_RUNS}; --yes says that they are meant`,
    );
  const problems = new Set<string>();
  const runs = points(definition).flatMap((settings) => {
    try {
      const config = configOf(definition.layers, settings);
      return [{ run: describeRun(config, settings), config }];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      for (const line of error.message.split("\n")) problems.add(line);
      return [];
    }
  });
  if (problems.size > 0) throw new UsageError(listed(problems));
  requireDifferent(runs);
  return runs;
}

/** The configuration of the run with these settings. @throws UsageError as `resolveConfig` */
export function configOf(layers: readonly ConfigLayer[], settings: Settings): Config {
  const own = Object.entries(settings).map(([key, value]) => flagLayer("the sweep", key, value));
  return resolveConfig([...layers, ...own]);
}

export function describeRun(config: Config, settings: Settings): SweepRun {
  return {
    run: runHash(config).slice(0, DIGITS),
    config: configHash(config).slice(0, DIGITS),
    settings,
    members: config.ensemble.members,
    steps: config.training.steps,
    flops: estimateCost(config).totalFlops,
  };
}

/** A name for all these runs together. */
export function hashOf(runs: readonly { run: SweepRun }[]): string {
  const text = runs.map(({ run }) => run.config).join(" ");
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

/** Every combination that is not left out. */
function points({ axes, settings, exclude }: SweepDefinition): Settings[] {
  let grid: Settings[] = settings.length > 0 ? settings : [{}];
  for (const { key, values } of axes)
    grid = grid.flatMap((point) => values.map((value) => ({ ...point, [key]: value })));
  const used = new Set<number>();
  const kept = grid.filter((point) => {
    const by = exclude.findIndex((rule) =>
      Object.entries(rule).every(([key, values]) => values.some((value) => equal(value, point[key]))),
    );
    used.add(by);
    return by < 0;
  });
  const idle = exclude.find((_, i) => !used.has(i));
  if (idle) throw new UsageError(`exclude ${inWords(idle)}: there is no such run to leave out`);
  if (kept.length === 0) throw new UsageError("the sweep has no runs: all of them are left out");
  return kept;
}

/** @throws UsageError for a run that is there twice */
function requireDifferent(runs: readonly { run: SweepRun }[]): void {
  const seen = new Map<string, SweepRun>();
  for (const { run } of runs) {
    const other = seen.get(run.run);
    if (other)
      throw new UsageError(
        `${inWords(other.settings)} and ${inWords(run.settings)} are one run: no step depends on how they differ. ` +
          "Of numbers of steps give the largest; evaluations and checkpoints are set for all runs",
      );
    seen.set(run.run, run);
  }
}

function listed(problems: ReadonlySet<string>): string {
  const lines = [...problems].slice(0, MOST_PROBLEMS);
  const more = problems.size - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}

/** Settings on a line. */
export const inWords = (settings: Settings): string =>
  Object.entries(settings)
    .map(([key, value]) => `${key}=${shown(value)}`)
    .join(" ") || "the run without settings of its own";

const equal = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
