/** `epigrok status`: the runs in a directory, and how far they are. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import type { Argv, CommandModule } from "yargs";

interface StatusArguments {
  dir?: string;
  json: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: "status [dir]",
  describe: "which runs there are: running, finished, interrupted, broken",
  builder: (yargs: Argv) =>
    yargs
      .positional("dir", {
        type: "string",
        describe: "a run, a sweep, or a directory of runs  [default: runs, or the working directory]",
      })
      .option("json", {
        type: "boolean",
        default: false,
        describe: "print one JSON object",
      }) as unknown as Argv<StatusArguments>,
  handler: async ({ dir = existsSync("runs") ? "runs" : ".", json }) => {
    const { runStatuses } = await import("../run/status.ts");
    const { holdsSweep } = await import("../sweep/directory.ts");
    const runs = await runStatuses(holdsSweep(dir) ? join(dir, "runs") : dir);
    if (json) return console.log(JSON.stringify({ schema: "epigrok-status/1", runs }));
    if (runs.length === 0) return console.log(`there is no run in ${dir}`);
    for (const { directory, state, step, steps, message } of runs)
      console.log(
        [
          state.padEnd("interrupted".length),
          relative(".", directory) || ".",
          `step ${step ?? "-"} of ${steps ?? "-"}`,
        ]
          .concat(message ?? [])
          .join("  "),
      );
  },
};
