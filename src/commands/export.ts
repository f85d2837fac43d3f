/** `epigrok export`: metrics and predictions for pandas, polars, DuckDB, NumPy and TensorBoard. */
import type { Argv, CommandModule } from "yargs";
import type { ExportOptions } from "../export/export.ts";
import { EXPORT_FORMATS } from "../export/formats.ts";

interface ExportArguments extends ExportOptions {
  dir: string;
}

export const exportCommand: CommandModule<object, ExportArguments> = {
  command: "export <dir>",
  describe: "write metrics and predictions of a run or a sweep for other programs",
  builder: (yargs: Argv) =>
    yargs
      .positional("dir", { type: "string", demandOption: true, describe: "a run, or a sweep" })
      .option("format", {
        choices: EXPORT_FORMATS,
        demandOption: true,
        requiresArg: true,
        describe: "tables of metrics (csv, parquet), event files (tensorboard), arrays (npz)",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        describe: "file, or folder for tensorboard and for npz of a sweep  [default: here, by its name]",
      })
      .option("metrics", {
        type: "boolean",
        default: false,
        describe: "of a sweep, csv or parquet: metrics through training, in place of the results",
      })
      .option("overwrite", { type: "boolean", default: false, describe: "replace files that are there" })
      .epilogue(
        "Tables have a row for each number: run, settings, step or event, member, set, position, metric, value.\n" +
          "Arrays are of runs that keep their predictions (evaluation.savePredictions). See docs/export.md.",
      ) as unknown as Argv<ExportArguments>,
  handler: async ({ dir, format, out, metrics, overwrite }) => {
    const { exportData } = await import("../export/export.ts");
    console.log(await exportData(dir, { format, out, metrics, overwrite }));
  },
};
