/** The options of `epigrok sweep --backend slurm`, and its submission. */
import type { Options } from "yargs";
import { UsageError } from "../errors.ts";
import { positiveInteger } from "./flags.ts";
import { counted } from "./format.ts";
import { quoted } from "./signals.ts";

export interface SlurmArguments {
  backend: string;
  partition?: string;
  time?: string;
  arrayLimit?: number;
  perTask?: number;
  cpus?: number;
  sbatchArg: string[];
}

export const SLURM_OPTIONS: Record<string, Options> = {
  backend: {
    choices: ["local", "slurm"],
    default: "local",
    requiresArg: true,
    describe: "train here, or submit arrays of Slurm jobs and return",
  },
  partition: { type: "string", requiresArg: true, describe: "of Slurm" },
  time: {
    type: "string",
    requiresArg: true,
    describe: "of a Slurm task, after which it is put into the queue again",
  },
  "array-limit": { type: "number", requiresArg: true, describe: "Slurm tasks at a time, in all" },
  "per-task": {
    type: "number",
    requiresArg: true,
    describe: "runs of a Slurm task  [default: about 20 minutes of them]",
  },
  cpus: {
    type: "number",
    requiresArg: true,
    describe: "cores of a Slurm task  [default: the members of a run, at most 16]",
  },
  "sbatch-arg": {
    ...{ type: "string", array: true, nargs: 1, default: [] },
    describe: "further argument of sbatch, as --sbatch-arg=--account=x; repeatable",
  },
};

/** Options that only one of the two has a use for. */
export function requireBackend(args: SlurmArguments & { workers?: number; failFast: boolean }): void {
  if (args.backend === "slurm") {
    const local = args.failFast ? "fail-fast" : args.workers === undefined ? undefined : "workers";
    if (local !== undefined) throw new UsageError(`--${local} is for --backend local`);
    return;
  }
  const { partition, time, arrayLimit, perTask, cpus, sbatchArg } = args;
  const given = Object.entries({
    partition,
    time,
    "array-limit": arrayLimit,
    "per-task": perTask,
    cpus,
  }).find(([, value]) => value !== undefined);
  const name = given?.[0] ?? (sbatchArg.length > 0 ? "sbatch-arg" : undefined);
  if (name !== undefined) throw new UsageError(`--${name} is for --backend slurm`);
}

/** Submits what is left of the sweep. */
export async function submitSweep(
  directory: string,
  args: SlurmArguments & { json: boolean },
): Promise<void> {
  const { readSweep } = await import("../sweep/directory.ts");
  const { submit } = await import("../sweep/slurm.ts");
  const { runs } = readSweep(directory);
  const { partition, time, sbatchArg } = args;
  const positive = (flag: string, value: number | undefined) =>
    value === undefined ? undefined : positiveInteger(flag, value);
  const cpus = positive("cpus", args.cpus) ?? Math.min(16, Math.max(...runs.map(({ members }) => members)));
  const { jobs, tasks } = await submit(directory, {
    ...{ partition, time, cpus, sbatchArgs: sbatchArg },
    arrayLimit: positive("array-limit", args.arrayLimit),
    perTask: positive("per-task", args.perTask) ?? (await packed(directory, cpus, time)),
  });
  if (args.json)
    return console.log(JSON.stringify({ schema: "epigrok-sweep-submission/1", directory, jobs, tasks }));
  console.log(
    `${counted(tasks, "task")} submitted as Slurm jobs ${jobs.join(", ")}; the last one writes the results\n` +
      `epigrok sweep status ${quoted(directory)} says how far they are`,
  );
}

const TASK_SECONDS = 20 * 60;

/** So many runs as make a task of some length, within half of its limit, by the speed of this machine. */
async function packed(directory: string, cpus: number, time: string | undefined): Promise<number> {
  const { secondsOfLimit } = await import("../sweep/slurm.ts");
  const seconds = Math.min(TASK_SECONDS, (secondsOfLimit(time ?? "") ?? Number.POSITIVE_INFINITY) / 2);
  const { readSweep } = await import("../sweep/directory.ts");
  const { expand } = await import("../sweep/expand.ts");
  const { planSweep } = await import("../sweep/plan.ts");
  const runs = expand(readSweep(directory).definition, { meant: true });
  const { estimatedSeconds } = await planSweep(runs, 1);
  return Math.max(1, Math.round((seconds * cpus * runs.length) / estimatedSeconds));
}
