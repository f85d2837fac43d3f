/**
 * A sweep as arrays of Slurm jobs. What is true of a run is in its files; what Slurm says of a job is advice. A task is
 * idempotent, so requeues, lost nodes and tasks that run twice change no result.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";
import { messageOf, UsageError } from "../errors.ts";
import { makeFolder } from "../run/folders.ts";
import { writeWhole } from "../run/write-file.ts";
import { readSweep } from "./directory.ts";
import { pinPackage } from "./pin.ts";
import { stateOf } from "./states.ts";

const run = promisify(execFile);

/** Slurm's own, where it does not say what the site's is. */
const MAX_ARRAY_SIZE = 1001;

/** Seconds before the limit at which a task saves its state and has itself put into the queue again, at most. */
const LEAD_SECONDS = 300;

/** Of what sbatch is told besides, this is of a task alone, and not of the job of the results. */
const OF_TASKS = /^(-[act]|--(array|cpus-per-task|time|signal|dependency|exclusive|mem))/;

export interface SlurmOptions {
  partition?: string;
  /** As sbatch takes it: minutes, or hours:minutes:seconds. */
  time?: string;
  /** Tasks at a time, of all arrays together. */
  arrayLimit?: number;
  /** Runs of a task, one after the other or at once, as cores allow. */
  perTask: number;
  /** Cores of a task. */
  cpus: number;
  /** Further arguments of sbatch. */
  sbatchArgs?: readonly string[];
}

/** What was submitted together: slurm/<number>/jobs.json. */
interface Submission {
  /** Arrays of tasks, and the job of the results after them. */
  jobs: string[];
  /** With which these begin: another job may get a number again. */
  name: string;
}

/** A job, or a task of an array, as Slurm sees it. */
export interface SlurmJob {
  id: string;
  state: string;
  reason: string;
  nodes: string;
}

/**
 * Submits the runs of the sweep that are neither finished nor failed, and does not wait for them.
 * @returns the jobs, and how many tasks they have
 * @throws UsageError if Slurm is not there, refuses a job, or has jobs of this sweep in its queue; what was submitted before
 *   it refused is known to `cancelJobs`
 */
export async function submit(
  directory: string,
  options: SlurmOptions,
): Promise<{ jobs: string[]; tasks: number }> {
  const { runs, builds } = readSweep(directory);
  const { sbatchArgs = [] } = options;
  const named = sbatchArgs.find((arg) => /^(-J|--job-name)/.test(arg));
  if (named !== undefined)
    throw new UsageError(`--sbatch-arg: got "${named}", but by their name jobs are known to be the sweep's`);
  const open = runs.filter((each) => !["finished", "failed"].includes(stateOf(directory, each).state));
  if (open.length === 0) throw new UsageError(`${directory}: all runs are finished, or have failed`);
  const most = await maxArraySize();
  const queued = await queue(directory);
  if (queued.length > 0)
    throw new UsageError(
      `${directory}: job ${queued[0].id} of this sweep is in the queue (${queued[0].state}); wait for it, or cancel it with ` +
        `epigrok sweep cancel ${directory}`,
    );
  const folder = await newFolder(directory);
  const command = await pinPackage(join(resolve(directory), "slurm"));
  const list = join(folder, "runs.txt");
  await writeWhole(list, open.map((each) => `${each.run}\n`).join(""));
  const { simd } = Object.values(builds.cores)[0];
  const epigrok = [process.execPath, command, "--simd", String(simd), "sweep"].map(shellWord).join(" ");
  const name = `epigrok-${basename(resolve(directory))}`;
  const tasks = Math.ceil(open.length / options.perTask);
  const jobs: string[] = [];
  const record = () =>
    writeWhole(join(folder, "jobs.json"), `${JSON.stringify({ jobs, name } satisfies Submission)}\n`);
  for (let offset = 0; offset < tasks; offset += most) {
    const size = Math.min(most, tasks - offset);
    const limit = options.arrayLimit === undefined ? "" : `%${options.arrayLimit}`;
    const script = await writeScript(join(folder, `tasks-${offset}.sh`), {
      directives: [
        `--array=0-${size - 1}${limit}`,
        `--cpus-per-task=${options.cpus}`,
        "--requeue",
        `--signal=B:USR2@${leadSeconds(options.time)}`,
        `--output="${join(folder, "%A_%a.log")}"`,
        ...placement(options),
      ],
      command: `${epigrok} task ${shellWord(resolve(directory))} --list ${shellWord(list)} --per-task ${options.perTask} --offset ${offset} --workers ${options.cpus} --quiet`,
    });
    // Each array has the limit to itself: with one they follow each other.
    const after = limit !== "" && offset > 0 ? [`--dependency=afterany:${jobs.at(-1)}`] : [];
    // Here, since a variable of the environment goes before what the script says.
    jobs.push(await sbatch([`--job-name=${name}`, ...sbatchArgs, ...after, script]));
    await record();
  }
  const script = await writeScript(join(folder, "results.sh"), {
    directives: [
      `--output="${join(folder, "results.log")}"`,
      "--requeue",
      ...placement({ partition: options.partition }),
    ],
    command: `${epigrok} results ${shellWord(resolve(directory))}`,
  });
  const common = sbatchArgs.filter((arg) => !OF_TASKS.test(arg));
  jobs.push(
    await sbatch([
      `--job-name=${name}-results`,
      ...common,
      `--dependency=afterany:${jobs.join(":")}`,
      script,
    ]),
  );
  await record();
  return { jobs, tasks };
}

/** Long before the end of a long limit, and a third before that of a short one. */
function leadSeconds(time: string | undefined): number {
  const limit = time === undefined ? null : secondsOfLimit(time);
  return limit === null ? LEAD_SECONDS : Math.min(LEAD_SECONDS, Math.floor(limit / 3));
}

/** Of a limit as sbatch takes it: minutes, minutes:seconds, hours:minutes:seconds, or with days- before; null: none. */
export function secondsOfLimit(time: string): number | null {
  const match = /^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$/.exec(time);
  if (!match) return null;
  const [days, ...parts] = match.slice(1).map((part) => (part === undefined ? undefined : Number(part)));
  const [first, second = 0, third] = parts as [number, number?, number?];
  if (days !== undefined) return 86400 * days + 3600 * first + 60 * second + (third ?? 0);
  return third === undefined ? 60 * first + second : 3600 * first + 60 * second + third;
}

/** slurm/1, slurm/2 and so on: of those who submit at the same time each gets its own. */
async function newFolder(directory: string): Promise<string> {
  const parent = join(resolve(directory), "slurm");
  makeFolder(parent);
  for (let i = 1; ; i++) {
    try {
      await mkdir(join(parent, String(i)));
      return join(parent, String(i));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

const placement = ({ partition, time }: Pick<SlurmOptions, "partition" | "time">): string[] => [
  ...(partition === undefined ? [] : [`--partition=${partition}`]),
  ...(time === undefined ? [] : [`--time=${time}`]),
];

/**
 * The command takes the place of the shell, so that it gets the signals that are for the job. Slurm may send USR2 up to a
 * minute early, to a job that has just begun: what comes before the command listens is passed over, and does not end it.
 */
async function writeScript(
  path: string,
  { directives, command }: { directives: string[]; command: string },
): Promise<string> {
  const lines = ["#!/bin/bash", ...directives.map((each) => `#SBATCH ${each}`), "#SBATCH --open-mode=append"];
  await writeWhole(path, `${[...lines, "", "trap '' USR2", `exec ${command}`].join("\n")}\n`);
  await chmod(path, 0o755);
  return path;
}

const shellWord = (text: string) => (/^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

async function sbatch(args: string[]): Promise<string> {
  const { stdout } = await slurm("sbatch", ["--parsable", ...args]);
  return stdout.trim().split(";")[0];
}

/** @throws UsageError with what the command says */
async function slurm(command: string, args: string[]): Promise<{ stdout: string }> {
  try {
    return await run(command, args);
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT")
      throw new UsageError(`there is no ${command} here: --backend slurm needs Slurm's commands`);
    throw new UsageError(`${command} refuses: ${stderr?.trim() || messageOf(error)}`);
  }
}

/** How many tasks an array may have here. */
async function maxArraySize(): Promise<number> {
  const { stdout } = await slurm("scontrol", ["show", "config"]);
  return Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(stdout)?.[1] ?? MAX_ARRAY_SIZE);
}

/** All that was ever submitted for the sweep. */
function submissionsOf(directory: string): Submission[] {
  const parent = join(directory, "slurm");
  if (!existsSync(parent)) return [];
  return readdirSync(parent).flatMap((number) => {
    const path = join(parent, number, "jobs.json");
    return existsSync(path) ? [submissionIn(path)] : [];
  });
}

/** @throws UsageError for a damaged file */
function submissionIn(path: string): Submission {
  let submission: Partial<Submission> | null;
  try {
    submission = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
  if (Array.isArray(submission?.jobs)) return { name: "", ...submission, jobs: submission.jobs };
  throw new UsageError(`${path}: must hold a list of jobs`);
}

/** What of the sweep's jobs is in Slurm's queue; nothing where there never was one. */
export async function queue(directory: string): Promise<SlurmJob[]> {
  const submissions = submissionsOf(directory);
  if (submissions.length === 0) return [];
  const { stdout } = await slurm("squeue", [
    "-h",
    "-r",
    "-o",
    "%i|%T|%r|%N|%j",
    `--user=${process.getuid?.() ?? ""}`,
  ]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const [id, state, reason, nodes, ...name] = line.split("|");
      const job = id.split("_")[0];
      const isOurs = submissions.some(
        (each) => each.jobs.includes(job) && name.join("|").startsWith(each.name),
      );
      return isOurs ? [{ id, state, reason, nodes }] : [];
    });
}

/** Cancels what of the sweep's jobs is in the queue, and no others. @returns them */
export async function cancelJobs(directory: string): Promise<SlurmJob[]> {
  const queued = await queue(directory);
  const ids = [...new Set(queued.map(({ id }) => id.split("_")[0]))];
  if (ids.length > 0) await slurm("scancel", ids);
  return queued;
}

/** Puts this task of an array, and no other one, into the queue again. @returns whether this is one */
export async function requeueThisTask(environment: NodeJS.ProcessEnv): Promise<boolean> {
  const { SLURM_ARRAY_JOB_ID: job, SLURM_ARRAY_TASK_ID: task } = environment;
  if (!job || !task) return false;
  await slurm("scontrol", ["requeue", `${job}_${task}`]);
  return true;
}
