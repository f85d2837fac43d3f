/** `epigrok spectrum`: the curvature of the training loss at the checkpoints of a run. */
import type { Argv, CommandModule } from "yargs";
import type { KeyedSpectrumJob, SpectraOutcome } from "../analysis/spectra.ts";
import type { SpectrumRecord } from "../run/records.ts";
import { reportOn } from "./report-on.ts";
import { EXIT_CODES, stopOnSignal } from "./signals.ts";

interface SpectrumArguments {
  run: string;
  steps: string;
  checkpoints: number;
  members: string;
  operator: string;
  k: number;
  data: number;
  llc: boolean;
  workers?: number;
  json: boolean;
  quiet: boolean;
}

export const spectrumCommand: CommandModule<object, SpectrumArguments> = {
  command: "spectrum <run>",
  describe: "eigenvalues, trace and spectral density of the curvature through training",
  builder: (yargs: Argv) =>
    yargs
      .positional("run", { type: "string", demandOption: true, describe: "run directory" })
      .option("steps", {
        type: "string",
        default: "all",
        requiresArg: true,
        describe: "all; grok: around the transition; or step numbers separated by commas",
      })
      .option("checkpoints", {
        type: "number",
        default: 8,
        requiresArg: true,
        describe: "thin all and grok to this many checkpoints; 0: no thinning",
      })
      .option("members", {
        type: "string",
        default: "1",
        requiresArg: true,
        describe: "the first N members, or all",
      })
      .option("operator", {
        type: "string",
        default: "ggn,hessian",
        requiresArg: true,
        describe: "ggn, hessian, or both separated by a comma",
      })
      .option("k", { type: "number", default: 10, requiresArg: true, describe: "eigenvalues from the top" })
      .option("data", {
        type: "number",
        default: 2048,
        requiresArg: true,
        describe: "training predictions that the loss is a mean over, at least",
      })
      .option("llc", {
        type: "boolean",
        default: false,
        describe: "estimate the local learning coefficient as well",
      })
      .option("workers", {
        type: "number",
        requiresArg: true,
        describe: "worker threads; no influence on the results  [default: all cores]",
      })
      .option("json", { type: "boolean", default: false, describe: "print the spectra as one JSON object" })
      .option("quiet", { type: "boolean", default: false, describe: "no progress" })
      .epilogue(
        "Results are appended to spectrum.jsonl in the run, and what is there already is not computed again.",
      ) as unknown as Argv<SpectrumArguments>,
  handler: async (args) => {
    const { parseOperators, runSpectra } = await import("../analysis/spectra.ts");
    const { parseSteps } = await import("../analysis/selection.ts");
    const jobs = await import("./jobs.ts");
    const progress = jobs.jobProgress<KeyedSpectrumJob, SpectrumRecord>(process.stderr, args.quiet, {
      kindOf: ({ operator }) => operator,
      timed: ({ operator, seconds }) => ({ kind: operator, seconds }),
      describe: ({ operator, step, member, largest }) =>
        `${operator} at step ${step}, member ${member}: largest eigenvalue ${largest[0].toPrecision(3)}`,
    });
    const interruption = stopOnSignal(() => progress.close());
    try {
      const outcome = await runSpectra(args.run, {
        operators: parseOperators(args.operator),
        steps: parseSteps(args.steps),
        checkpoints: jobs.nonNegativeInteger("checkpoints", args.checkpoints),
        members: jobs.memberCount(args.members),
        data: jobs.positiveInteger("data", args.data),
        k: jobs.positiveInteger("k", args.k),
        llc: args.llc,
        workers: jobs.workerCount(args.workers),
        signal: interruption.signal,
        observer: progress,
      });
      progress.close();
      await conclude(args, outcome, interruption.received());
    } finally {
      progress.close();
      interruption.dispose();
    }
  },
};

async function conclude(
  { run, json }: SpectrumArguments,
  { status, records, failures }: SpectraOutcome,
  signal: NodeJS.Signals | undefined,
): Promise<void> {
  if (status === "stopped") {
    console.error("Stopped; what is done is kept. The same command goes on with the rest.");
    process.exitCode = EXIT_CODES[signal ?? "SIGINT"];
    return;
  }
  records.sort((a, b) => a.step - b.step || a.member - b.member || a.operator.localeCompare(b.operator));
  const report = await reportOn(run);
  if (json) console.log(JSON.stringify({ schema: "epigrok-spectrum/1", runDir: run, records, failures }));
  else {
    const { markdown } = await import("../report/posterior-tables.ts");
    const { spectrumTable } = await import("../report/spectrum-table.ts");
    console.log(markdown(spectrumTable(records)));
    if (report !== null) console.log(`\nreport     ${report}`);
  }
  if (failures.length > 0) process.exitCode = 1;
}
