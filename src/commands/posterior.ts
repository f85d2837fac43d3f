/** `epigrok posterior`: approximate posteriors over the checkpoints of a run, compared. */
import type { Argv, CommandModule } from "yargs";
import type { PosteriorRecord } from "../analysis/posterior-job.ts";
import type { KeyedJob, PosteriorSettings } from "../analysis/posteriors.ts";
import { UsageError } from "../errors.ts";
import type { PriorStructure } from "../posterior/gaussian/prior.ts";
import { requireOpenFractionFloat32 } from "../validate.ts";
import { type CheckpointArguments, checkpointOptions, firstMembers } from "./checkpoint-options.ts";
import { asUsage, namesIn, positiveInteger } from "./flags.ts";

interface PosteriorArguments extends Omit<CheckpointArguments, "members"> {
  members?: string;
  methods?: string;
  samples?: number;
  data?: number;
  dropout?: number;
  fitSteps?: number;
  priorStructure?: PriorStructure;
  save?: string;
  load?: string;
}

const AROUND = { steps: "grok", checkpoints: 7 };
const FIRST_MEMBERS = 2;

export const posteriorCommand: CommandModule<object, PosteriorArguments> = {
  command: "posterior <run>",
  describe: "fit approximate posteriors at the checkpoints of a run and compare them",
  builder: async (yargs: Argv) => {
    const { METHOD_DEFINITIONS, POSTERIOR_METHODS } = await import("../posterior/methods/index.ts");
    const { PRIOR_STRUCTURES } = await import("../posterior/gaussian/prior.ts");
    const { DEFAULT_SETTINGS } = await import("../analysis/posteriors.ts");
    const others = METHOD_DEFINITIONS.filter(({ byDefault }) => !byDefault).map(({ name }) => name);
    const goOn = METHOD_DEFINITIONS.flatMap(({ name, defaults }) =>
      "steps" in defaults ? [{ name, steps: defaults.steps }] : [],
    );
    const tuned = METHOD_DEFINITIONS.filter(({ settings }) => settings.includes("priorStructure")).map(
      ({ name }) => name,
    );
    const width = Math.max(...POSTERIOR_METHODS.map((name) => name.length));
    return checkpointOptions(yargs, {
      ...AROUND,
      aboutMembers: `fit around the first N members, or all; the ensemble always takes all  [default: ${FIRST_MEMBERS}, or as many as there are]`,
      aboutJson: "print the comparison as one JSON object",
    })
      .option("methods", {
        type: "string",
        requiresArg: true,
        describe: `names from the list below, separated by commas  [default: all but ${others.join(", ")}]`,
      })
      .option("samples", {
        type: "number",
        requiresArg: true,
        describe: `S, draws of each posterior; MI compares at equal S only  [default: ${DEFAULT_SETTINGS.samples}]`,
      })
      .option("data", {
        type: "number",
        requiresArg: true,
        describe: `training predictions that curvature and gradients are taken over, at least  [default: ${DEFAULT_SETTINGS.data}]`,
      })
      .option("dropout", {
        type: "number",
        requiresArg: true,
        describe: "rate for dropout  [default: the model's, 0.1 if it was trained without]",
      })
      .option("fit-steps", {
        type: "number",
        requiresArg: true,
        describe: `steps with which ${goOn.map(({ name }) => name).join(", ")} go on  [default: ${goOn.map(({ steps }) => steps).join(", ")}]`,
      })
      .option("prior-structure", {
        choices: PRIOR_STRUCTURES,
        requiresArg: true,
        describe: `prior precisions of ${tuned.join(", ")}: one for all, one a layer, one a block of the network, or (of the diagonal only) one a parameter  [default: scalar]`,
      })
      .option("save", {
        type: "string",
        requiresArg: true,
        describe: "write the posterior to this file; of one method, one step and one member",
      })
      .option("load", {
        type: "string",
        requiresArg: true,
        describe: "take the posterior that was saved in this file, instead of fitting any",
      })
      .epilogue(
        `Methods:\n${METHOD_DEFINITIONS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}\n\n` +
          "The defaults (7 checkpoints, 2 members) keep all methods on a quick run under 10 minutes on two cores.\n" +
          "Results are appended to posteriors.jsonl in the run, and what is there already is not computed again.",
      ) as unknown as Argv<PosteriorArguments>;
  },
  handler: async (args) => {
    const { methodOf, runPosteriors } = await import("../analysis/posteriors.ts");
    const { POSTERIOR_METHODS } = await import("../posterior/methods/index.ts");
    const methods =
      args.methods === undefined ? undefined : namesIn(args.methods, POSTERIOR_METHODS, "method");
    const settings = await settingsOf(args);
    if (args.load !== undefined) requireNothingToFit(args);
    const { askSavedPosterior, savePosterior } = await import("../analysis/saved-posteriors.ts");
    const { analyse } = await import("./analyse.ts");
    const members = args.members ?? (await firstMembers(args.run, FIRST_MEMBERS));
    await analyse<KeyedJob, PosteriorRecord>(
      { ...args, members },
      {
        schema: "epigrok-posterior/1",
        run: (options) => {
          if (args.load !== undefined)
            return askSavedPosterior(args.run, args.load, { ...options, samples: args.samples });
          const choice = { ...options, methods, settings };
          return args.save === undefined
            ? runPosteriors(args.run, choice)
            : savePosterior(args.run, args.save, choice);
        },
        results: (records) => comparison(args.run, records),
        kindOf: methodOf,
        seconds: ({ fitSeconds, predictSeconds }) => fitSeconds + predictSeconds,
        describe: ({ method, step, member, sets }) => {
          const information = sets.unseenTasks?.mutualInformation;
          const who = member === null ? "" : `, member ${member}`;
          return `${method} at step ${step}${who}: MI ${information?.toFixed(3) ?? "-"} nats`;
        },
      },
    );
  },
};

/** What says which posteriors to fit, and how. @throws UsageError if any of it is given */
function requireNothingToFit(args: PosteriorArguments): void {
  const { save, methods, data, dropout, fitSteps, priorStructure, steps, checkpoints, members } = args;
  const given = { save, methods, data, dropout, "fit-steps": fitSteps, "prior-structure": priorStructure };
  const chosen = { steps, checkpoints, members };
  for (const [name, value] of Object.entries({ ...given, ...chosen }))
    if (value !== undefined && value !== AROUND[name as keyof typeof AROUND])
      throw new UsageError(
        `--${name}: got ${value}, must be left out with --load: the file says what the posterior is`,
      );
}

async function settingsOf(args: PosteriorArguments): Promise<PosteriorSettings> {
  const { DEFAULT_SETTINGS } = await import("../analysis/posteriors.ts");
  const { samples = DEFAULT_SETTINGS.samples, data = DEFAULT_SETTINGS.data, dropout = null } = args;
  if (dropout !== null) await asUsage(() => requireOpenFractionFloat32("--dropout", dropout));
  return {
    samples: positiveInteger("samples", samples),
    data: positiveInteger("data", data),
    dropout,
    fitSteps: args.fitSteps === undefined ? null : positiveInteger("fit-steps", args.fitSteps),
    priorStructure: args.priorStructure ?? null,
  };
}

async function comparison(runDir: string, records: readonly PosteriorRecord[]) {
  const { compareMethods } = await import("../analysis/compare.ts");
  const { readRun } = await import("../run/read.ts");
  const run = await readRun(runDir);
  const { grokStep } = run.events;
  const methods = compareMethods(records, { classes: run.config.task.modulus, grokStep, config: run.config });
  return {
    json: { grokStep, methods },
    text: async () => {
      const { calibrationTable, collapseTable, markdown, missingFalls, warningsOf } = await import(
        "../report/posterior-tables.ts"
      );
      const tables = [collapseTable(methods, run), calibrationTable(methods)];
      const sentences = [...missingFalls(methods), ...warningsOf(methods)];
      return [
        ...tables.flatMap((table) => (table ? markdown(table) : [])),
        ...(sentences.length > 0 ? [sentences.map((sentence) => `- ${sentence}`).join("\n")] : []),
      ].join("\n\n");
    },
  };
}
