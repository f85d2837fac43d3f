/** Who holds a lock: a process, told from any other of the same number, on this machine, in this container or elsewhere. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface Owner {
  pid: number;
  /** When the process started, in the kernel's ticks: tells a pid that was given out again. "0" where unknown. */
  started: string;
  /** Within which pids mean the same: this boot of this machine, and the container. "0" where unknown. */
  machine: string;
  /** Of this claim alone. */
  nonce: string;
  /** For people. */
  host: string;
}

const UNKNOWN = "0";

/** The owner of a new claim by this process. */
export function thisProcess(): Owner {
  return {
    pid: process.pid,
    started: processState(process.pid)?.started ?? UNKNOWN,
    machine: thisMachine(),
    nonce: randomBytes(6).toString("hex"),
    host: hostname()
      .replace(/[^\w.-]/g, "_")
      .slice(0, 100),
  };
}

/** As the name of a file. */
export function nameOf({ pid, started, machine, nonce, host }: Owner): string {
  return [pid, started, machine, nonce, host].join("-");
}

/** null for a name that is no owner's. */
export function ownerOf(name: string): Owner | null {
  const match = /^(\d+)-(\d+)-([0-9a-f]+)-([0-9a-f]{12})-(.*)$/.exec(name);
  if (!match) return null;
  const [, pid, started, machine, nonce, host] = match;
  return { pid: Number(pid), started, machine, nonce, host };
}

/** Whether the owner's process is there; null if that cannot be told from here. */
export function isAlive({
  pid,
  started,
  machine,
}: Pick<Owner, "pid" | "started" | "machine">): boolean | null {
  if (machine !== thisMachine()) return null;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const state = processState(pid);
  if (state === null || started === UNKNOWN) return null;
  return state.started === started && !state.ended;
}

/** What the kernel says of a process; null without /proc. A zombie has ended: only its parent has not heard of it. */
function processState(pid: number): { started: string; ended: boolean } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // After the command's name, which may contain spaces and parentheses: field 3 is the state, 22 the start.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { started: fields[19], ended: ["Z", "X", "x"].includes(fields[0]) };
  } catch {
    return null;
  }
}

let known: string | undefined;

/**
 * A host name alone would not do: clusters have machines of one name, and the containers of one machine, which do not
 * see each other's processes, may share a name too.
 */
export function thisMachine(): string {
  known ??= createHash("sha256").update(machineText()).digest("hex").slice(0, 12);
  return known;
}

function machineText(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8")} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
