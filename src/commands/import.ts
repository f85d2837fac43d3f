/** `epigrok import`: a run directory of checkpoints that another program trained. */
import type { Argv, CommandModule } from "yargs";
import { reportOn } from "./report-on.ts";

interface ImportArguments {
  files: string[];
  config: string;
  out: string;
}

export const importCommand: CommandModule<object, ImportArguments> = {
  command: "import <files..>",
  describe: "make a run of checkpoints from elsewhere, for posteriors, spectra and diagnosis",
  builder: (yargs: Argv) =>
    yargs
      .positional("files", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "safetensors files, one for each member and step: float32, float16 or bfloat16",
      })
      .option("config", {
        type: "string",
        requiresArg: true,
        demandOption: true,
        describe: "YAML file with the task and the model that they are of",
      })
      .option("out", { type: "string", requiresArg: true, demandOption: true, describe: "run directory" })
      .epilogue(
        "Step and member of a file are those of its path, step-500/member-1.safetensors, or of its metadata step and\n" +
          "member; else the files are the members, in their order, at training.steps. Tensors have the names and\n" +
          "shapes of interop/modeling.py. The run has the members and the newest step that the files have.",
      ) as unknown as Argv<ImportArguments>,
  handler: async ({ files, config: path, out }) => {
    const { fileLayer } = await import("../config/load.ts");
    const { flagLayer, resolveConfig } = await import("../config/resolve.ts");
    const { identifyCheckpoints } = await import("../run/foreign.ts");
    const { importRun } = await import("../run/import.ts");
    const layer = fileLayer(path);
    const checkpoints = await identifyCheckpoints(files, resolveConfig([layer]).training.steps);
    const [first] = checkpoints;
    const foreign = checkpoints.find(({ run }) => run !== first.run);
    if (foreign)
      console.error(
        `warning: ${foreign.path} is of another run than ${first.path}; all are taken as one ensemble`,
      );
    const newest = checkpoints.at(-1)!;
    const layers = [
      layer,
      flagLayer("the newest file", "training.steps", newest.step),
      flagLayer("the files", "ensemble.members", newest.member + 1),
    ];
    const summary = await importRun(resolveConfig(layers), checkpoints, {
      ...{ out, overrides: layers, commandLine: process.argv.slice(2) },
      imported: (step) => console.error(`step ${step}`),
    });
    const report = await reportOn(out);
    console.log(
      [summary.verdict, `run        ${out}`, ...(report ? [`report     ${report}`] : [])].join("\n"),
    );
  },
};
