/** `epigrok verify`: whether the files of a run are what was written, and come out the same again. */
import { availableParallelism } from "node:os";
import type { Argv, CommandModule } from "yargs";
import { UsageError } from "../errors.ts";
import { asUsage, nonNegativeInteger, positiveInteger } from "./flags.ts";

interface VerifyArguments {
  run: string;
  recompute: boolean;
  members?: number;
  until?: number;
  workers?: number;
  json: boolean;
}

export const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: "verify <run>",
  describe: "check every file of a run against its checksum, its run and the others",
  builder: (yargs: Argv) =>
    yargs
      .positional("run", { type: "string", demandOption: true, describe: "run directory" })
      .option("recompute", {
        type: "boolean",
        default: false,
        describe: "train members again from their beginning, and compare bit for bit",
      })
      .option("members", {
        type: "number",
        requiresArg: true,
        describe: "with --recompute: the first N members  [default: 1]",
      })
      .option("until", {
        type: "number",
        requiresArg: true,
        describe: "with --recompute: up to this step  [default: the end]",
      })
      .option("workers", {
        type: "number",
        requiresArg: true,
        describe: "with --recompute: worker threads  [default: all cores]",
      })
      .option("json", { type: "boolean", default: false, describe: "print one JSON object" })
      .epilogue(
        "Exit codes: 0 all is well, 1 something is damaged, missing or another one. Nothing is changed: epigrok run " +
          "--resume sets aside what is damaged, and computes it again.",
      ) as unknown as Argv<VerifyArguments>,
  handler: async ({ run, recompute, members, until, workers, json }) => {
    const idle = Object.entries({ members, until, workers }).find(([, value]) => value !== undefined);
    if (idle && !recompute)
      throw new UsageError(`--${idle[0]}: got ${idle[1]}, must be left out without --recompute`);
    const options = recompute
      ? {
          members: members === undefined ? 1 : positiveInteger("members", members),
          until: until === undefined ? Number.MAX_SAFE_INTEGER : nonNegativeInteger("until", until),
          workers: workers === undefined ? availableParallelism() : positiveInteger("workers", workers),
        }
      : undefined;
    const { verifyRun } = await import("../run/verify.ts");
    const { readPosteriors, readSpectra } = await import("../analysis/records.ts");
    const found = await asUsage(() => verifyRun(run, options));
    const faults = [...found.faults];
    const told = ({ message }: { message: string }) => void faults.push(message);
    await readPosteriors(run, told);
    await readSpectra(run, told);
    if (faults.length > 0) process.exitCode = 1;
    if (json)
      return console.log(JSON.stringify({ schema: "epigrok-verify/1", runDir: run, ...found, faults }));
    for (const fault of faults) console.log(fault);
    console.log(
      [
        `${found.files} files${found.sealed ? "" : ", of an early version without checksums"}`,
        ...(recompute ? [`${found.recomputed} numbers and checkpoints computed again`] : []),
        faults.length === 0 ? "all is well" : `${faults.length} faults`,
      ].join(", "),
    );
  },
};
