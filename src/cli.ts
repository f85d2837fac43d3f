#!/usr/bin/env node
/** The command line: picks the command, turns errors into messages and exit codes. */
import { debuglog } from "node:util";
import yargs, { type CommandModule } from "yargs";
import { hideBin } from "yargs/helpers";
import { doctorCommand } from "./commands/doctor.ts";
import { posteriorCommand } from "./commands/posterior.ts";
import { presetsCommand } from "./commands/presets.ts";
import { reportCommand } from "./commands/report.ts";
import { runCommand } from "./commands/run.ts";
import { spectrumCommand } from "./commands/spectrum.ts";
import { theoryCommand } from "./commands/theory.ts";
import { enableWideSimd, SIMD_CHOICES, type SimdChoice, setSimdChoice, simdChoice } from "./core/simd.ts";
import { messageOf, UsageError } from "./errors.ts";
import { packageVersion } from "./run/environment.ts";

const commands = [
  runCommand,
  posteriorCommand,
  spectrumCommand,
  reportCommand,
  presetsCommand,
  theoryCommand,
  doctorCommand,
] as CommandModule[];

const parser = yargs(hideBin(process.argv))
  .scriptName("epigrok")
  .usage("$0 <command>")
  .locale("en")
  .parserConfiguration({ "dot-notation": false })
  .command(commands)
  .demandCommand(1, "which command?")
  .recommendCommands()
  .strict()
  .option("simd", {
    type: "string",
    choices: SIMD_CHOICES,
    global: true,
    requiresArg: true,
    describe: "width of the arithmetic; no influence on the results  [default: EPIGROK_SIMD, or auto]",
  })
  .completion("completion", "print a completion script for bash or zsh")
  .version(packageVersion())
  .help()
  .alias("help", "h")
  .middleware([refuseRepeated, chooseWidth])
  .wrap(Math.min(100, process.stdout.columns ?? 100))
  .exitProcess(false)
  .fail((message, error) => {
    // Without an error, or with its own, yargs complains about the arguments; other errors come from the commands.
    throw error === undefined || error.name === "YError" ? new UsageError(message) : error;
  });

/** Options and positionals that take several values. */
const LISTS = ["_", "set", "run", "dirs"];

/** Given twice, a flag for one value becomes a list. */
function refuseRepeated(args: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(args))
    if (Array.isArray(value) && !LISTS.includes(name))
      throw new UsageError(`--${name} is given more than once`);
}

/** Before anything is compiled: the flag of V8 holds for what comes after it. */
function chooseWidth({ simd }: { simd?: SimdChoice }): void {
  if (simd !== undefined) setSimdChoice(simd);
  if (simdChoice() !== "128") enableWideSimd();
}

// A reader such as `head` may close the pipe before everything is printed.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await parser.parseAsync();
} catch (error) {
  debuglog("epigrok")("%O", error);
  for (const line of messageOf(error).split("\n")) console.error(`epigrok: ${line}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
