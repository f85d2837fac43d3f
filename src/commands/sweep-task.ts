/** `epigrok sweep task`: the runs of one task of an array of jobs, of whatever scheduler. */
import { availableParallelism } from "node:os";
import type { Argv, CommandModule } from "yargs";
import { UsageError } from "../errors.ts";
import { nonNegativeInteger, positiveInteger } from "./flags.ts";
import { stopOnSignal } from "./signals.ts";

interface TaskArguments {
  dir: string;
  index?: number;
  perTask: number;
  offset: number;
  list?: string;
  workers?: number;
  mixed: boolean;
  quiet: boolean;
}

/** Of a run that is saved and wants to go on, as service managers have it. */
const WANTS_REQUEUE = 75;

export const taskCommand: CommandModule<object, TaskArguments> = {
  command: "task <dir>",
  describe: "train the runs of one task of an array of jobs; may be repeated at will",
  builder: (yargs: Argv) =>
    yargs
      .positional("dir", { type: "string", demandOption: true, describe: "directory of the sweep" })
      .options({
        index: {
          type: "number",
          requiresArg: true,
          describe: "which task, from 0  [default: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX]",
        },
        "per-task": { type: "number", default: 1, requiresArg: true, describe: "runs of each task" },
        offset: { type: "number", default: 0, requiresArg: true, describe: "added to the index" },
        list: {
          type: "string",
          requiresArg: true,
          describe: "file with the names of runs, one a line  [default: all, in the order of the sweep]",
        },
        workers: {
          type: "number",
          requiresArg: true,
          describe: "worker threads  [default: SLURM_CPUS_PER_TASK, or all cores]",
        },
        mixed: {
          type: "boolean",
          default: false,
          describe: "although version, Wasm, width or math are others",
        },
        quiet: { type: "boolean", default: false, describe: "no progress" },
      })
      .epilogue(
        "TERM or USR2: all runs under way save their state; with USR2 a task of a Slurm array has itself put into the " +
          "queue again. Exit codes: 0 its runs are finished, 1 some have failed, 75 saved, and wants to go on (USR2), " +
          "128 + n stopped by signal n.",
      ) as unknown as Argv<TaskArguments>,
  handler: async ({ dir, perTask, offset, list, mixed, quiet, ...given }) => {
    const { listedRuns, runsOfTask, taskIndex } = await import("../sweep/task.ts");
    const { readSweep } = await import("../sweep/directory.ts");
    const { goOn } = await import("../sweep/sweep.ts");
    const { sweepProgress } = await import("./sweep-progress.ts");
    if (given.index !== undefined) nonNegativeInteger("index", given.index);
    const index = taskIndex(given.index, process.env) + nonNegativeInteger("offset", offset);
    const { runs } = readSweep(dir);
    const only = runsOfTask(list === undefined ? runs : listedRuns(list, runs), {
      ...{ index, perTask: positiveInteger("per-task", perTask) },
    });
    const workers =
      given.workers === undefined ? cores(process.env) : positiveInteger("workers", given.workers);
    const progress = sweepProgress(process.stderr, quiet);
    const interruption = stopOnSignal(() => progress.close());
    try {
      const { status, failed } = await goOn(dir, {
        ...{ workers, mixed, only, observer: progress },
        signal: interruption.signal,
        commandLine: process.argv.slice(2),
      });
      progress.close();
      if (status === "stopped")
        process.exitCode = await whenStopped(interruption.received(), interruption.exitCode());
      else if (status !== "finished" || failed.length > 0) process.exitCode = 1;
    } finally {
      progress.close();
      interruption.dispose();
    }
  },
};

/** Slurm does not always bind a job to its cores. @throws UsageError for a number of cores that is none */
function cores({ SLURM_CPUS_PER_TASK: text }: NodeJS.ProcessEnv): number {
  if (!text) return availableParallelism();
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`SLURM_CPUS_PER_TASK: got "${text}", must be a positive integer`);
}

/** TERM is sent to what is cancelled, too: only USR2 asks for more time. */
async function whenStopped(signal: NodeJS.Signals | undefined, exitCode: number): Promise<number> {
  if (signal !== "SIGUSR2") return exitCode;
  const { requeueThisTask } = await import("../sweep/slurm.ts");
  const requeued = await requeueThisTask(process.env);
  console.error(`Saved; ${requeued ? "put into the queue again" : "the same task goes on"}.`);
  return WANTS_REQUEUE;
}
