/** `epigrok report`: the HTML page of one run, or a comparison of several. */
import type { Argv, CommandModule } from "yargs";
import { distinctPaths } from "./flags.ts";

interface ReportArguments {
  dirs: string[];
  out?: string;
}

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: "report <dirs..>",
  describe: "write the HTML report of a run, or one that compares runs",
  builder: (yargs: Argv) =>
    yargs
      .positional("dirs", { type: "string", array: true, demandOption: true, describe: "run directories" })
      .option("out", {
        type: "string",
        requiresArg: true,
        describe: "HTML file  [default: report.html in the run, or here if there are several]",
      }) as unknown as Argv<ReportArguments>,
  handler: async ({ dirs, out }) => {
    const { writeReport } = await import("../report/report.ts");
    console.log(await writeReport(distinctPaths(dirs), { out }));
  },
};
