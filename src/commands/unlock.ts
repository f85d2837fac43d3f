/** `epigrok unlock`: frees a run whose writer is gone, or is to be taken for gone. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Argv, CommandModule } from "yargs";
import { UsageError } from "../errors.ts";
import { LOCK } from "../run/files.ts";
import { breakLock, foreignAt, holderOf } from "../run/lock.ts";

interface UnlockArguments {
  run: string;
  force: boolean;
}

export const unlockCommand: CommandModule<object, UnlockArguments> = {
  command: "unlock <run>",
  describe: "break the lock of a run whose writer is gone, as on a machine that was switched off",
  builder: (yargs: Argv) =>
    yargs
      .positional("run", { type: "string", demandOption: true, describe: "run directory" })
      .option("force", {
        type: "boolean",
        default: false,
        describe: "even if the writer lives: it stops at its next write",
      })
      .epilogue(
        "Locks of dead processes of this machine, and of others that have been silent for a minute, are taken over " +
          "without it.",
      ) as unknown as Argv<UnlockArguments>,
  handler: async ({ run, force }) => {
    const lock = join(run, LOCK);
    const holder = holderOf(lock);
    // A run that was killed at its beginning has no configuration yet.
    const begun = holder && statSync(lock).isDirectory();
    if (!existsSync(join(run, "config.json")) && !begun) throw new UsageError(`there is no run in ${run}`);
    if (holder?.dead === false && !force)
      throw new UsageError(
        `process ${holder.pid} on ${holder.host} is writing the run; stop it, or break its lock with --force`,
      );
    const foreign = foreignAt(lock);
    breakLock(lock);
    console.log(
      holder
        ? `broke the lock of process ${holder.pid} on ${holder.host}, last sign of life ${holder.silence} s ago`
        : foreign === null
          ? "the run is not locked"
          : `removed what was in the place of the lock: ${foreign}`,
    );
  },
};
