/** Which runs one task of an array of jobs has, wherever its number comes from. */
import { readText } from "../config/load.ts";
import { UsageError } from "../errors.ts";
import type { SweepRun } from "./expand.ts";

/** Where schedulers say which task this is: arrays of Slurm, Indexed Jobs of Kubernetes. */
const INDEX_VARIABLES = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] as const;

/**
 * @param given in place of what a scheduler says
 * @throws UsageError if nobody says it
 */
export function taskIndex(given: number | undefined, environment: NodeJS.ProcessEnv): number {
  if (given !== undefined) return given;
  const variable = INDEX_VARIABLES.find((name) => environment[name]);
  if (variable === undefined)
    throw new UsageError(`which task is this? Give --index N, or set ${INDEX_VARIABLES.join(" or ")}`);
  const text = environment[variable]!;
  if (!/^\d+$/.test(text))
    throw new UsageError(`${variable}: got "${text}", must be an integer of at least 0`);
  return Number(text);
}

/** The runs of task `index` of so many each. @throws UsageError if there are no such ones */
export function runsOfTask(
  runs: readonly SweepRun[],
  { index, perTask }: { index: number; perTask: number },
): SweepRun[] {
  const tasks = Math.ceil(runs.length / perTask);
  if (index >= tasks)
    throw new UsageError(
      `--index: got ${index}, must be below ${tasks}, the number of tasks of ${perTask} runs each`,
    );
  return runs.slice(index * perTask, (index + 1) * perTask);
}

/** Those of `runs` that a file names, one a line, in its order, each once. @throws UsageError for other names */
export function listedRuns(path: string, runs: readonly SweepRun[]): SweepRun[] {
  const text = readText(path);
  const known = new Map(runs.map((run) => [run.run, run]));
  // Whitespace: as an editor of another system leaves it, with its mark at the beginning of the file.
  const names = new Set(text.split("\n").map((line) => line.trim()));
  names.delete("");
  return [...names].map((name) => {
    const run = known.get(name);
    if (run) return run;
    throw new UsageError(`${path}: ${name} is no run of the sweep`);
  });
}
