#!/usr/bin/env node
/** The command line: picks the command, turns errors into messages and exit codes. */
import { debuglog } from "node:util";
import yargs, { type CommandModule } from "yargs";
import { hideBin } from "yargs/helpers";
import {
  commandWords,
  refuseMistakenNumbers,
  refuseMistakenSwitches,
  refuseRepeated,
} from "./commands/arguments.ts";
import { COMPLETION_REQUEST, proposalsFor } from "./commands/completion.ts";
import { diagnoseCommand } from "./commands/diagnose.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { posteriorCommand } from "./commands/posterior.ts";
import { predictCommand } from "./commands/predict.ts";
import { presetsCommand } from "./commands/presets.ts";
import { reportCommand } from "./commands/report.ts";
import { runCommand } from "./commands/run.ts";
import { schemaCommand } from "./commands/schema.ts";
import { serveCommand } from "./commands/serve.ts";
import { spectrumCommand } from "./commands/spectrum.ts";
import { statusCommand } from "./commands/status.ts";
import { sweepCommand } from "./commands/sweep.ts";
import { theoryCommand } from "./commands/theory.ts";
import { unlockCommand } from "./commands/unlock.ts";
import { verifyCommand } from "./commands/verify.ts";
import { enableWideSimd, SIMD_CHOICES, type SimdChoice, setSimdChoice, simdChoice } from "./core/simd.ts";
import { messageOf, UsageError } from "./errors.ts";
import { packageVersion } from "./run/environment.ts";

const commands = [
  runCommand,
  sweepCommand,
  posteriorCommand,
  spectrumCommand,
  reportCommand,
  exportCommand,
  predictCommand,
  diagnoseCommand,
  importCommand,
  statusCommand,
  verifyCommand,
  unlockCommand,
  serveCommand,
  presetsCommand,
  schemaCommand,
  theoryCommand,
  doctorCommand,
] as CommandModule[];

const words = hideBin(process.argv);

const parser = yargs()
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
  .middleware([refuseRepeated, refuseMeaningless as (args: object) => void, chooseWidth])
  .wrap(Math.min(100, process.stdout.columns ?? 100))
  .exitProcess(false)
  .fail((message, error) => {
    throw error ?? new UsageError(message);
  });

/** yargs has errors of its own for arguments, some of which pass by its handler. */
const isUsageError = (error: unknown) =>
  error instanceof UsageError || (error instanceof Error && error.name === "YError");

/** The types of yargs lack the second argument of a middleware, and its method. */
function refuseMeaningless(
  _: object,
  command: { getOptions(): { boolean: string[]; number: string[] } },
): void {
  const { boolean, number } = command.getOptions();
  refuseMistakenSwitches(words, boolean);
  refuseMistakenNumbers(words, number);
}

/** Before anything is compiled: the flag of V8 holds for what comes after it. */
function chooseWidth({ simd }: { simd?: SimdChoice }): void {
  if (simd !== undefined) setSimdChoice(simd);
  if (simdChoice() !== "128") enableWideSimd();
}

// A reader such as `head` may close its pipe, a terminal may go away: what is being computed goes on.
process.stderr.on("error", () => {});
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return;
  console.error(`epigrok: the output is incomplete: ${messageOf(error)}`);
  process.exitCode = 1;
});

try {
  const proposals = words[0] === COMPLETION_REQUEST ? await proposalsFor(words.slice(1)) : null;
  if (proposals) console.log(proposals.join("\n"));
  // An empty word is what the shell wants completed.
  else await parser.parseAsync(words[0] === COMPLETION_REQUEST ? words : commandWords(words));
} catch (error) {
  debuglog("epigrok")("%O", error);
  for (const line of messageOf(error).split("\n")) console.error(`epigrok: ${line}`);
  process.exitCode = isUsageError(error) ? 2 : 1;
}
