/** `epigrok predict`: what a checkpoint predicts for prompts in a file. */
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Argv, CommandModule } from "yargs";
import type { PosteriorDraws } from "../analysis/predict.ts";
import { messageOf, UsageError } from "../errors.ts";
import { named } from "../run/errors.ts";
import type { PromptFormat } from "../tasks/prompt-text.ts";

interface PredictArguments {
  checkpoint: string;
  prompts?: string;
  format?: PromptFormat;
  positions: "last" | "all";
  posterior?: string;
  samples?: number;
}

export const predictCommand: CommandModule<object, PredictArguments> = {
  command: "predict <checkpoint> [prompts]",
  describe: "predict the z of prompts in a file with a checkpoint",
  builder: (yargs: Argv) =>
    yargs
      .positional("checkpoint", {
        type: "string",
        demandOption: true,
        describe: "checkpoint file; a step's folder, or a run for its newest step: the mean of all members",
      })
      .positional("prompts", {
        type: "string",
        describe: "file with one prompt a line; without one, standard input",
      })
      .option("format", {
        choices: ["jsonl", "csv"] as const,
        requiresArg: true,
        describe: "of the prompts  [default: by the name of the file, else jsonl]",
      })
      .option("positions", {
        choices: ["last", "all"] as const,
        default: "last",
        requiresArg: true,
        describe: "predict the last z of each prompt, or every z",
      })
      .option("posterior", {
        type: "string",
        requiresArg: true,
        describe:
          "predict with draws of the checkpoint's posterior that epigrok posterior saved in this file",
      })
      .option("samples", {
        type: "number",
        requiresArg: true,
        describe: "S, draws of the posterior  [default: as many as it was saved with]",
      })
      .epilogue(
        'A prompt with two variables as JSON: {"x": [[1, 2], [3, 4]], "z": [5]}, or its tokens, [1, 2, 5, 3, 4]; as\n' +
          "comma-separated values: 1,2,5,3,4. A header, x1,x2,z,x1,x2, is allowed. An object has x and z, or tokens,\n" +
          "and no other keys.\n" +
          "Prints a JSON object a line: line of the prompt, examples before the z, prediction, probabilities, total\n" +
          "entropy and, of several members, mutual information in nats.",
      ) as unknown as Argv<PredictArguments>,
  handler: async ({ checkpoint, prompts: path, format, positions, posterior, samples }) => {
    if (posterior === undefined && samples !== undefined)
      throw new UsageError(`--samples: got ${samples}, must be left out without --posterior`);
    const { findCheckpoints, readModel } = await import("../run/find-checkpoints.ts");
    const { parsePrompts } = await import("../tasks/prompt-text.ts");
    const { predictPrompts } = await import("../analysis/predict.ts");
    const found = await findCheckpoints(checkpoint);
    const model = await readModel(found);
    // Of a lone - yargs makes nothing.
    const source = path || "standard input";
    const prompts = parsePrompts(await textOf(path, source), format ?? formatOf(source), model.task, source);
    const draws = posterior === undefined ? undefined : await drawsOf(posterior, samples);
    for (const prediction of await predictPrompts(found, model, prompts, positions, draws))
      process.stdout.write(`${JSON.stringify(prediction)}\n`);
  },
};

async function drawsOf(path: string, samples: number | undefined): Promise<PosteriorDraws> {
  const { readPosterior } = await import("../analysis/saved-posteriors.ts");
  const { posterior, origin } = await readPosterior(path, "posterior");
  const { positiveInteger } = await import("./flags.ts");
  return {
    ...{ posterior, origin },
    samples: samples === undefined ? origin.samples : positiveInteger("samples", samples),
  };
}

const formatOf = (path: string): PromptFormat => (extname(path).toLowerCase() === ".csv" ? "csv" : "jsonl");

async function textOf(path: string | undefined, source: string): Promise<string> {
  const { decodeText } = await import("../config/load.ts");
  try {
    const bytes = path ? await readFile(path).catch(named(path)) : await buffer(process.stdin);
    return decodeText(bytes, source);
  } catch (error) {
    throw new UsageError(`the prompts: ${messageOf(error)}`);
  }
}
