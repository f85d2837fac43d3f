/** Options of the commands that analyse the checkpoints of a run. */
import { availableParallelism } from "node:os";
import type { Argv } from "yargs";
import type { StepChoice } from "../analysis/selection.ts";
import { UsageError } from "../errors.ts";

export interface CheckpointArguments {
  run: string;
  steps: string;
  checkpoints: number;
  members: string;
  workers?: number;
  json: boolean;
  quiet: boolean;
}

/** What the commands differ in. */
interface CheckpointDefaults {
  steps: string;
  checkpoints: number;
  members: string;
  aboutMembers: string;
  aboutJson: string;
}

export function checkpointOptions(yargs: Argv, defaults: CheckpointDefaults): Argv {
  return yargs
    .positional("run", { type: "string", demandOption: true, describe: "run directory" })
    .option("steps", {
      type: "string",
      default: defaults.steps,
      requiresArg: true,
      describe: "all; grok: around the transition; or step numbers separated by commas",
    })
    .option("checkpoints", {
      type: "number",
      default: defaults.checkpoints,
      requiresArg: true,
      describe: "thin all and grok to this many checkpoints; 0: no thinning",
    })
    .option("members", {
      type: "string",
      default: defaults.members,
      requiresArg: true,
      describe: defaults.aboutMembers,
    })
    .option("workers", {
      type: "number",
      requiresArg: true,
      describe: "worker threads; no influence on the results  [default: all cores]",
    })
    .option("json", { type: "boolean", default: false, describe: defaults.aboutJson })
    .option("quiet", { type: "boolean", default: false, describe: "no progress" });
}

export interface CheckpointChoice {
  steps: StepChoice;
  checkpoints: number;
  members: number | "all";
  workers: number;
}

/** @throws UsageError naming the first option that is not allowed */
export async function checkpointChoice(args: CheckpointArguments): Promise<CheckpointChoice> {
  const { parseSteps } = await import("../analysis/selection.ts");
  return {
    steps: parseSteps(args.steps),
    checkpoints: nonNegativeInteger("checkpoints", args.checkpoints),
    members: memberCount(args.members),
    workers: args.workers === undefined ? availableParallelism() : positiveInteger("workers", args.workers),
  };
}

/** @throws UsageError unless it is a positive integer */
export function positiveInteger(flag: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(`--${flag}: got ${value}, must be a positive integer`);
}

/** @throws UsageError unless it is an integer from 0 on */
function nonNegativeInteger(flag: string, value: number): number {
  if (Number.isInteger(value) && value >= 0) return value;
  throw new UsageError(`--${flag}: got ${value}, must be an integer of at least 0`);
}

/** @throws UsageError unless it is `all` or a positive integer */
function memberCount(text: string): number | "all" {
  if (text === "all") return "all";
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`--members: got "${text}", must be all or a positive integer`);
}
