/**
 * One writer for each run directory, on any number of machines that share its file system: a lock with a lease.
 *
 * A lock is a directory that holds one claim, a file named after its owner. It changes hands by a rename that can happen
 * once only: a free lock is taken by renaming a directory with the claim to its place, which fails if a claim is there;
 * a dead owner's claim is renamed to one's own, which fails once its name is gone. So nobody removes a lock that was
 * made after he looked, which is how two processes come to hold one.
 *
 * An owner is dead if its process is gone, as far as that can be seen from here, else if it has given no sign of life
 * for the lease. Ages are read on the file system's clock: those of the machines may differ.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { messageOf, UsageError } from "../errors.ts";
import { BEAT_MS, beat, CLAIM_TEXT } from "./beat.ts";
import { startBeating, stopBeating } from "./heartbeat.ts";
import { isAlive, nameOf, type Owner, ownerOf, thisMachine, thisProcess } from "./owner.ts";

/** So long after its last sign of life an owner counts as dead whose process cannot be seen from here. */
const LEASE_MS = 6 * BEAT_MS;

/** How often a lock is looked at that changes hands meanwhile. */
const ATTEMPTS = 200;
const PAUSE_MS = 5;

/** A lock that this process holds. */
export interface Lock {
  /** @throws Error if it is another one's by now, or was broken */
  assertHeld(): void;
  /** Idempotent. Leaves the lock alone if it is another one's by now. */
  release(): void;
}

/** Who has a lock. */
export interface Holder {
  pid: number;
  host: string;
  /** Seconds since its last sign of life. */
  silence: number;
  /** Whether the lock may be taken over; null: not yet, although nobody can tell whether the process is there. */
  dead: boolean | null;
}

/** Another process has the lock. */
export class LockedError extends UsageError {}

/**
 * Takes the lock at `path`, at once or not at all. What a dead owner left is taken over.
 * @throws LockedError if another process holds it, Error if it cannot be written
 */
export function acquireLock(path: string): Lock {
  const name = nameOf(thisProcess());
  const stage = `${path}.${name}`;
  mkdirSync(stage);
  try {
    writeFileSync(join(stage, name), CLAIM_TEXT);
    const now = modifiedAt(join(stage, name));
    let reason: unknown;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const claim = claimAt(path);
      const holder = claim && describe(claim, now);
      if (holder && !holder.dead) throw new LockedError(refusal(path, holder));
      try {
        if (claim) takeOver(path, claim, name);
        else renameSync(stage, path);
      } catch (error) {
        // Another process was faster; or this one did it and the answer was lost, as can happen over a network.
        reason = error;
        removeIfEmpty(path);
      }
      if (existsSync(join(path, name))) return hold(path, name);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
    const foreign = foreignAt(path);
    throw foreign === null
      ? new Error(`cannot take the lock ${path}: ${messageOf(reason)}`)
      : new UsageError(
          `cannot take the lock ${path}: ${foreign}. Remove it, or let epigrok unlock ${dirname(path)}`,
        );
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Who holds the lock at `path`, dead or alive; null if it is free. */
export function holderOf(path: string): Holder | null {
  const claim = claimAt(path);
  return claim && describe(claim, Date.now());
}

/** What is in the place of a lock and is none, in words; null if there is nothing such. */
export function foreignAt(path: string): string | null {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isSymbolicLink()) return "it is a link";
  const entry = there?.isDirectory() && readdirSync(path).find((name) => ownerOf(name) === null);
  return entry ? `${entry} is in it` : null;
}

/** Frees the lock at `path`, whoever holds it: a holder that lives stops at its next write. */
export function breakLock(path: string): void {
  const claim = claimAt(path);
  if (claim?.name === null || lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) unlinkSync(path);
  if (!existsSync(path)) return;
  // What is there now and no more: it may be taken again at once.
  for (const entry of readdirSync(path)) rmSync(join(path, entry), { recursive: true, force: true });
  removeIfEmpty(path);
}

/** Whether an entry of a directory with the lock `lock` is that lock, or an attempt to take it. */
export function isLockEntry(entry: string, lock: string): boolean {
  return entry === lock || (entry.startsWith(`${lock}.`) && ownerOf(entry.slice(lock.length + 1)) !== null);
}

/** What processes have left that died while they took the lock at `path`, which this process holds. */
export function removeAttempts(path: string): void {
  const folder = dirname(path);
  for (const entry of readdirSync(folder)) {
    const owner = ownerOf(entry.slice(basename(path).length + 1));
    if (!isLockEntry(entry, basename(path)) || owner === null) continue;
    const attempt = join(folder, entry);
    const begun = statSync(attempt, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (!(isAlive(owner) ?? Date.now() - begun < LEASE_MS)) rmSync(attempt, { recursive: true, force: true });
  }
}

const locks = new Set<Lock>();
process.on("exit", () => {
  for (const lock of locks) lock.release();
});

function hold(path: string, name: string): Lock {
  const claim = join(path, name);
  startBeating(claim);
  const lock: Lock = {
    assertHeld() {
      if (existsSync(claim)) return;
      const holder = holderOf(path);
      const now = holder ? `is held by process ${holder.pid} on ${holder.host}` : "was broken";
      throw new Error(`the lock ${path} ${now}: this process writes no more`);
    },
    release() {
      if (!locks.delete(lock)) return;
      stopBeating(claim);
      rmSync(claim, { force: true });
      removeIfEmpty(path);
    },
  };
  locks.add(lock);
  return lock;
}

/** What is in a lock that is not free. */
interface Claim {
  /** null: the lock is a file, as earlier versions wrote it. */
  name: string | null;
  owner: Pick<Owner, "pid" | "started" | "machine" | "host">;
  modified: number;
}

function claimAt(path: string): Claim | null {
  try {
    for (const name of readdirSync(path)) {
      const owner = ownerOf(name);
      if (owner) return { name, owner, modified: modifiedAt(join(path, name)) };
    }
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR") return fileClaim(path);
    // A claim that was there a moment ago, too.
    if (code === "ENOENT") return null;
    throw error;
  }
}

/** null if it is gone, or no file any more. */
function fileClaim(path: string): Claim | null {
  try {
    const modified = modifiedAt(path);
    return { name: null, ...fileOwner(readFileSync(path, "utf8"), modified) };
  } catch {
    return null;
  }
}

/** A file that was cut off while being written has an owner that cannot have got any further. */
function fileOwner(text: string, modified: number): Pick<Claim, "owner" | "modified"> {
  try {
    const { pid, host, started }: { pid: number; host: string; started: string | null } = JSON.parse(text);
    const machine = host === hostname() ? thisMachine() : "";
    return { owner: { pid, host, started: started ?? "0", machine }, modified };
  } catch {
    return { owner: { pid: 0, host: "unknown", started: "0", machine: "" }, modified: 0 };
  }
}

function describe({ owner, modified }: Claim, now: number): Holder {
  const alive = isAlive(owner);
  const silent = now - modified;
  return {
    pid: owner.pid,
    host: owner.host,
    silence: Math.max(0, Math.round(silent / 1000)),
    dead: alive === null ? silent > LEASE_MS || null : !alive,
  };
}

function refusal(path: string, { pid, host, silence, dead }: Holder): string {
  const seen =
    dead === null
      ? `; its last sign of life was ${silence} s ago, and ${LEASE_MS / 1000} s after it the run can be taken over`
      : "";
  return (
    `the run is being written by process ${pid} on ${host}${seen}. If that process is gone, ` +
    `epigrok unlock ${dirname(path)} breaks its lock`
  );
}

/** @throws Error if the claim is no longer there */
function takeOver(path: string, { name }: Claim, own: string): void {
  if (name === null) {
    // Never a directory: a lock that another process has made meanwhile stays.
    unlinkSync(path);
    return;
  }
  // Before it bears this process's name, that nobody may think this one silent.
  beat(join(path, name));
  renameSync(join(path, name), join(path, own));
}

/** By an open file, which asks a file server; a path may be answered from what this machine remembers. */
function modifiedAt(path: string): number {
  const file = openSync(path, "r");
  try {
    return fstatSync(file).mtimeMs;
  } finally {
    closeSync(file);
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty, or gone.
  }
}
