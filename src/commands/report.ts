/** `epigrok report`: the HTML page of one run, or a comparison of several. */
import type { Argv, CommandModule } from "yargs";
import { UsageError } from "../errors.ts";
import { distinctPaths, namesIn } from "./flags.ts";

interface ReportArguments {
  dirs: string[];
  out?: string;
  x?: string;
  y?: string;
  value?: string;
}

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: "report <dirs..>",
  describe: "write the HTML report of a run or a sweep, or one that compares runs",
  builder: (yargs: Argv) =>
    yargs
      .positional("dirs", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "run directories, or a sweep",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        describe: "HTML file  [default: report.html in the run or sweep, or here if there are several]",
      })
      .option("x", {
        type: "string",
        requiresArg: true,
        describe: "of a sweep: the setting along the x axis",
      })
      .option("y", {
        type: "string",
        requiresArg: true,
        describe: "of a sweep: the setting along the y axis",
      })
      .option("value", {
        type: "string",
        requiresArg: true,
        describe: "of a sweep: grokked, delay, peak, final, lead, accuracy, with commas  [default: all]",
      }) as unknown as Argv<ReportArguments>,
  handler: async ({ dirs, out, x, y, value }) => {
    const { writeReport, writeSweepReport } = await import("../report/report.ts");
    const { holdsSweep } = await import("../sweep/directory.ts");
    if (dirs.length === 1 && holdsSweep(dirs[0])) {
      const { SWEEP_VALUE_NAMES } = await import("../report/sweep/values.ts");
      const values = value === undefined ? undefined : namesIn(value, SWEEP_VALUE_NAMES, "value of a sweep");
      return console.log(await writeSweepReport(dirs[0], { out, x, y, values }));
    }
    const given = Object.entries({ x, y, value }).find(([, asked]) => asked !== undefined);
    if (given) throw new UsageError(`--${given[0]} is for the report of one sweep`);
    const sweep = dirs.find(holdsSweep);
    if (sweep !== undefined) throw new UsageError(`${sweep} is a sweep, whose report is of it alone`);
    console.log(await writeReport(distinctPaths(dirs), { out }));
  },
};
