/** `epigrok sweep status`, `extend`, `retry`, `cancel` and `results`: what is done with a sweep that is there. */
import { join } from "node:path";
import type { Argv, CommandModule } from "yargs";
import { messageOf, UsageError } from "../errors.ts";
import type { Holder } from "../run/lock.ts";
import type { SlurmJob } from "../sweep/slurm.ts";
import type { SweepRunStatus } from "../sweep/status.ts";
import { positiveInteger } from "./flags.ts";
import { reportOn } from "./report-on.ts";
import { quoted } from "./signals.ts";

const directory = (yargs: Argv) =>
  yargs.positional("dir", { type: "string", demandOption: true, describe: "directory of the sweep" });

const json = { type: "boolean", default: false, describe: "print one JSON object" } as const;

const statusCommand: CommandModule<object, { dir: string; all: boolean; json: boolean }> = {
  command: "status <dir>",
  describe: "how many runs are how far, who has them, and why some have failed",
  builder: (yargs: Argv) =>
    directory(yargs)
      .option("all", { type: "boolean", default: false, describe: "list finished and waiting runs, too" })
      .option("json", json) as never,
  handler: async ({ dir, all, json }) => {
    const { countsInWords, sweepStatus } = await import("../sweep/status.ts");
    const status = await sweepStatus(dir);
    const { jobs, silence } = await slurmJobs(dir);
    if (json) return console.log(JSON.stringify({ schema: "epigrok-sweep-status/1", ...status, jobs }));
    const { inWords } = await import("../sweep/expand.ts");
    console.log(countsInWords(status.counts));
    for (const each of status.runs)
      if (all || !["finished", "waiting"].includes(each.state))
        console.log(runText(each, inWords(each.settings)));
    for (const { id, state, reason, nodes } of jobs)
      console.log(["Slurm", id, state, nodes || reason].join("  "));
    if (silence !== null) console.error(`Slurm cannot be asked: ${silence}`);
  },
};

/** What Slurm says is advice: without it the files are read all the same. */
async function slurmJobs(directory: string): Promise<{ jobs: SlurmJob[]; silence: string | null }> {
  const { queue } = await import("../sweep/slurm.ts");
  try {
    return { jobs: await queue(directory), silence: null };
  } catch (error) {
    return { jobs: [], silence: messageOf(error) };
  }
}

function runText(each: SweepRunStatus, settings: string): string {
  const { run, state, step, steps, at, holder, failure } = each;
  const since = state === "interrupted" ? ` since ${at}` : "";
  const reached = step === null ? [] : [`step ${step} of ${steps}${since}`];
  const last = failure?.message.trim().split("\n").at(-1);
  const why = failure === null ? [] : [`${last} (${failure.host}, ${failure.at})`];
  return [state.padEnd("interrupted".length), run, settings, ...reached, ...holderText(holder), ...why].join(
    "  ",
  );
}

const holderText = (holder: Holder | null) =>
  holder ? [`process ${holder.pid} on ${holder.host}, last sign of life ${holder.silence} s ago`] : [];

interface ExtendArguments {
  dir: string;
  axis: string[];
  steps?: number;
  mixed: boolean;
  yes: boolean;
}

const extendCommand: CommandModule<object, ExtendArguments> = {
  command: "extend <dir>",
  describe: "add values to axes, or steps to all runs",
  builder: (yargs: Argv) =>
    directory(yargs).options({
      axis: {
        ...({ type: "string", array: true, nargs: 1, default: [] as string[] } as const),
        describe: "key=values, of an axis that the sweep has; repeatable",
      },
      steps: { type: "number", requiresArg: true, describe: "training.steps, more than before" },
      mixed: {
        type: "boolean",
        default: false,
        describe: "although version, Wasm, width or math are others",
      },
      yes: {
        type: "boolean",
        default: false,
        describe: "more than 100,000 runs, at most a million, are meant",
      },
    }) as never,
  handler: async ({ dir, axis, steps, mixed, yes }) => {
    const { parseAxis, requireDistinct } = await import("../sweep/definition.ts");
    const { extendSweep } = await import("../sweep/sweep.ts");
    if (axis.length === 0 && steps === undefined)
      throw new UsageError("extend needs --axis key=values or --steps N");
    if (steps !== undefined) positiveInteger("steps", steps);
    const axes = axis.map(parseAxis);
    requireDistinct({ axes, settings: [] });
    const commandLine = process.argv.slice(2);
    const { sweep, added } = await extendSweep(dir, { axes, steps }, { mixed, yes, commandLine });
    console.log(
      `${sweep.runs.length} runs, ${added} of them new. Train them with: epigrok sweep ${quoted(dir)}`,
    );
  },
};

const retryCommand: CommandModule<object, { dir: string; runs: string[] }> = {
  command: "retry <dir> [runs..]",
  describe: "let failed runs be tried again: all of them, or those named",
  builder: (yargs: Argv) =>
    directory(yargs).positional("runs", {
      type: "string",
      array: true,
      default: [] as string[],
      describe: "names of runs, as status prints them",
    }) as never,
  handler: async ({ dir, runs }) => {
    const { sweepStatus } = await import("../sweep/status.ts");
    const { removeFailure } = await import("../sweep/directory.ts");
    const { runs: all } = await sweepStatus(dir);
    const failed = all.filter(({ state }) => state === "failed").map(({ run }) => run);
    const unknown = runs.find((run) => !failed.includes(run));
    if (unknown !== undefined)
      throw new UsageError(
        `${unknown} is no failed run of ${dir}; there are: ${failed.join(", ") || "none"}`,
      );
    const chosen = runs.length > 0 ? runs : failed;
    for (const run of chosen) await removeFailure(dir, run);
    console.log(
      chosen.length === 0
        ? "no run has failed"
        : `${chosen.length} of the runs can be tried again. Train them with: epigrok sweep ${quoted(dir)}`,
    );
  },
};

const cancelCommand: CommandModule<object, { dir: string }> = {
  command: "cancel <dir>",
  describe: "stop all processes that work on the sweep; what they have done is saved",
  builder: (yargs: Argv) => directory(yargs) as never,
  handler: async ({ dir }) => {
    const { cancelSweep, readSweep } = await import("../sweep/directory.ts");
    readSweep(dir);
    await cancelSweep(dir);
    const { cancelJobs } = await import("../sweep/slurm.ts");
    const jobs = await cancelJobs(dir);
    if (jobs.length > 0) console.log(`${jobs.length} of its Slurm jobs and tasks are cancelled.`);
    console.log("The processes that work on it stop within seconds, wherever they are.");
  },
};

const resultsCommand: CommandModule<object, { dir: string; reports: boolean; json: boolean }> = {
  command: "results <dir>",
  describe: "write the results and the report of the runs that are finished",
  builder: (yargs: Argv) =>
    directory(yargs)
      .option("reports", {
        type: "boolean",
        default: false,
        describe: "and the report of each of these runs",
      })
      .option("json", json) as never,
  handler: async ({ dir, reports, json }) => {
    const { RESULT_FILES, writeResults } = await import("../sweep/results.ts");
    const { sweepStatus } = await import("../sweep/status.ts");
    const { runs } = await sweepStatus(dir);
    const done = runs.filter(({ state }) => state === "finished");
    if (done.length === 0) throw new UsageError(`${dir}: none of its ${runs.length} runs is finished`);
    if (reports) for (const { directory } of done) await reportOn(directory);
    const finished = await writeResults(dir);
    const page = await reportOn(dir);
    const files = [...RESULT_FILES.map((file) => join(dir, file)), ...(page === null ? [] : [page])];
    if (json) return console.log(JSON.stringify({ schema: "epigrok-sweep-results/1", finished, files }));
    console.log([`${finished} runs`, ...files].join("\n"));
  },
};

export const managingCommands = [
  statusCommand,
  extendCommand,
  retryCommand,
  cancelCommand,
  resultsCommand,
] as CommandModule[];
