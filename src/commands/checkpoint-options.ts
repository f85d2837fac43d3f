/** Options of the commands that analyse the checkpoints of a run. */
import type { Argv } from "yargs";
import type { CheckpointSelection } from "../analysis/selection.ts";
import { memberCount, nonNegativeInteger, stepChoice, workerCount } from "./flags.ts";

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
  /** Absent: the command finds out. */
  members?: string;
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

export type CheckpointChoice = CheckpointSelection & { workers: number };

/** @throws UsageError naming the first option that is not allowed */
export function checkpointChoice(args: CheckpointArguments): CheckpointChoice {
  return {
    steps: stepChoice(args.steps),
    checkpoints: nonNegativeInteger("checkpoints", args.checkpoints),
    members: memberCount(args.members),
    workers: workerCount(args.workers),
  };
}

/** The default of --members: so many, or as many as the run has. */
export async function firstMembers(run: string, count: number): Promise<string> {
  const { readManifest } = await import("../run/read.ts");
  const manifest = await readManifest(run);
  return String(Math.min(count, manifest?.config.ensemble.members ?? count));
}
