/** `epigrok serve`: the runs of a directory as live pages, and the playground. */
import { existsSync } from "node:fs";
import type { Argv, CommandModule } from "yargs";
import { PORT } from "../serve/port.ts";
import { stopOnSignal } from "./signals.ts";

interface ServeArguments {
  dir?: string;
  host: string;
  port: number;
}

export const serveCommand: CommandModule<object, ServeArguments> = {
  command: "serve [dir]",
  describe: "show the runs below a directory as live pages, and the playground",
  builder: (yargs: Argv) =>
    yargs
      .positional("dir", {
        type: "string",
        describe: "a run, a sweep, or a directory of them  [default: runs, or the working directory]",
      })
      .option("host", {
        type: "string",
        default: "127.0.0.1",
        requiresArg: true,
        describe:
          "address to listen on; beyond this machine, pages need the token in the address that is printed",
      })
      .option("port", {
        type: "number",
        default: PORT,
        requiresArg: true,
        describe: "port to listen on; 0: any that is free",
      }) as unknown as Argv<ServeArguments>,
  handler: async ({ dir = existsSync("runs") ? "runs" : ".", host, port }) => {
    const { requireInteger } = await import("../validate.ts");
    const { UsageError, messageOf } = await import("../errors.ts");
    try {
      requireInteger("--port", port, 0, 65535);
    } catch (error) {
      throw new UsageError(messageOf(error));
    }
    const { serve } = await import("../serve/server.ts");
    const serving = await serve({ directory: dir, host, port });
    console.log(serving.url);
    const interruption = stopOnSignal(() => {});
    await new Promise((resolve) => interruption.signal.addEventListener("abort", resolve, { once: true }));
    await serving.close();
    interruption.dispose();
  },
};
