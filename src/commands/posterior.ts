/** `epigrok posterior`: approximate posteriors over the checkpoints of a run, compared. */
import type { Argv, CommandModule } from "yargs";
import type { MethodComparison } from "../analysis/compare.ts";
import type { PosteriorsOutcome } from "../analysis/posteriors.ts";
import { UsageError } from "../errors.ts";
import { reportOn } from "./report-on.ts";
import { EXIT_CODES, stopOnSignal } from "./signals.ts";

interface PosteriorArguments {
  run: string;
  methods?: string;
  samples?: number;
  steps: string;
  checkpoints: number;
  members: string;
  data?: number;
  dropout?: number;
  fitSteps?: number;
  workers?: number;
  json: boolean;
  quiet: boolean;
}

export const posteriorCommand: CommandModule<object, PosteriorArguments> = {
  command: "posterior <run>",
  describe: "fit approximate posteriors at the checkpoints of a run and compare them",
  builder: (yargs: Argv) =>
    yargs
      .positional("run", { type: "string", demandOption: true, describe: "run directory" })
      .option("methods", {
        type: "string",
        requiresArg: true,
        describe:
          "laplace-last-layer, laplace-kfac, laplace-low-rank, laplace-diagonal, swag, ivon, dropout, sgld, ensemble, separated by commas  [default: all but laplace-diagonal]",
      })
      .option("samples", {
        type: "number",
        requiresArg: true,
        describe: "S, draws of each posterior; MI compares at equal S only  [default: 32]",
      })
      .option("steps", {
        type: "string",
        default: "grok",
        requiresArg: true,
        describe: "all; grok: around the transition; or step numbers separated by commas",
      })
      .option("checkpoints", {
        type: "number",
        default: 7,
        requiresArg: true,
        describe: "thin all and grok to this many checkpoints; 0: no thinning",
      })
      .option("members", {
        type: "string",
        default: "2",
        requiresArg: true,
        describe: "fit around the first N members, or all; the ensemble always takes all",
      })
      .option("data", {
        type: "number",
        requiresArg: true,
        describe:
          "training predictions that curvature and gradients are taken over, at least  [default: 2048]",
      })
      .option("dropout", {
        type: "number",
        requiresArg: true,
        describe: "rate for dropout  [default: the model's, 0.1 if it was trained without]",
      })
      .option("fit-steps", {
        type: "number",
        requiresArg: true,
        describe: "steps with which swag, ivon and sgld go on  [default: 400, 400, 300]",
      })
      .option("workers", {
        type: "number",
        requiresArg: true,
        describe: "worker threads; no influence on the results  [default: all cores]",
      })
      .option("json", {
        type: "boolean",
        default: false,
        describe: "print the comparison as one JSON object",
      })
      .option("quiet", { type: "boolean", default: false, describe: "no progress" })
      .epilogue(
        "The defaults (7 checkpoints, 2 members) keep all methods on a quick run under 10 minutes on two cores.\n" +
          "Results are appended to posteriors.jsonl in the run, and what is there already is not computed again.",
      ) as unknown as Argv<PosteriorArguments>,
  handler: async (args) => {
    const { DEFAULT_METHODS, DEFAULT_SETTINGS, parseMethods, runPosteriors } = await import(
      "../analysis/posteriors.ts"
    );
    const { parseSteps } = await import("../analysis/selection.ts");
    const jobs = await import("./jobs.ts");
    const { samples = DEFAULT_SETTINGS.samples, data = DEFAULT_SETTINGS.data, dropout = null } = args;
    if (dropout !== null && !(dropout > 0 && dropout < 1))
      throw new UsageError(`--dropout: got ${dropout}, must be above 0 and below 1`);
    const fitSteps =
      args.fitSteps === undefined ? undefined : jobs.positiveInteger("fit-steps", args.fitSteps);
    const progress = jobs.jobProgress<Parameters<typeof kindOf>[0], PosteriorsOutcome["records"][number]>(
      process.stderr,
      args.quiet,
      {
        kindOf,
        timed: ({ method, fitSeconds, predictSeconds }) => ({
          kind: method,
          seconds: fitSeconds + predictSeconds,
        }),
        describe: ({ method, step, member, sets }) => {
          const information = sets.unseenTasks?.mutualInformation;
          const who = member === null ? "" : `, member ${member}`;
          return `${method} at step ${step}${who}: MI ${information?.toFixed(3) ?? "-"} nats`;
        },
      },
    );
    const interruption = stopOnSignal(() => progress.close());
    try {
      const outcome = await runPosteriors(args.run, {
        methods: args.methods === undefined ? DEFAULT_METHODS : parseMethods(args.methods),
        steps: parseSteps(args.steps),
        checkpoints: jobs.nonNegativeInteger("checkpoints", args.checkpoints),
        members: jobs.memberCount(args.members),
        settings: {
          samples: jobs.positiveInteger("samples", samples),
          data: jobs.positiveInteger("data", data),
          dropout,
          fitSteps: fitSteps ? { swag: fitSteps, ivon: fitSteps, sgld: fitSteps } : DEFAULT_SETTINGS.fitSteps,
        },
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

const kindOf = ({ method }: { method: string }) => method;

async function conclude(
  { run, json }: PosteriorArguments,
  { status, records, failures }: PosteriorsOutcome,
  signal: NodeJS.Signals | undefined,
): Promise<void> {
  if (status === "stopped") {
    console.error("Stopped; what is done is kept. The same command goes on with the rest.");
    process.exitCode = EXIT_CODES[signal ?? "SIGINT"];
    return;
  }
  const { compareMethods } = await import("../analysis/compare.ts");
  const { readRun } = await import("../report/read-run.ts");
  const { config, events } = await readRun(run);
  const methods = compareMethods(records, { classes: config.task.modulus, grokStep: events.grokStep });
  const report = await reportOn(run);
  if (json)
    console.log(
      JSON.stringify({
        schema: "epigrok-posterior/1",
        runDir: run,
        grokStep: events.grokStep,
        methods,
        failures,
      }),
    );
  else console.log(await text(methods, events.grokStep, report));
  if (failures.length > 0) process.exitCode = 1;
}

async function text(
  methods: readonly MethodComparison[],
  grokStep: number | null,
  report: string | null,
): Promise<string> {
  const { calibrationTable, collapseTable, markdown } = await import("../report/posterior-tables.ts");
  const calibration = calibrationTable(methods);
  return [
    markdown(collapseTable(methods, grokStep)),
    ...(calibration ? ["", markdown(calibration)] : []),
    ...(report === null ? [] : ["", `report     ${report}`]),
  ].join("\n");
}
