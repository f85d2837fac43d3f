/** One writer for each run directory: a lock file that names its owner, so that a dead owner's lock is recognised. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { UsageError } from "../errors.ts";

interface Owner {
  pid: number;
  host: string;
  /** When the owner's process started, in the kernel's ticks; tells a reused pid. null where that is unknown. */
  started: string | null;
}

/**
 * Takes the lock at `path`; a lock whose process is gone is replaced.
 * @returns a function that gives the lock up.
 * @throws UsageError if another process holds the lock.
 */
export function acquireLock(path: string): () => void {
  const self: Owner = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  for (;;) {
    try {
      writeFileSync(path, `${JSON.stringify(self)}\n`, { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const owner = readOwner(path);
    if (owner && isAlive(owner)) {
      throw new UsageError(
        `the run is being written by process ${owner.pid} on ${owner.host}; if that process is gone, delete ${path}`,
      );
    }
    rmSync(path, { force: true });
  }
}

/** null for a lock that was cut off while being written: its owner cannot have got any further. */
function readOwner(path: string): Owner | null {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

function isAlive({ pid, host, started }: Owner): boolean {
  // Nothing can be said about another machine's processes.
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return started === startOf(pid);
}

/** Field 22 of /proc/PID/stat (after the command name, which may contain spaces), or null without /proc. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return null;
  }
}
