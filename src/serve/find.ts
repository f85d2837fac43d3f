/**
 * The runs and sweeps below a directory that may be shown. Symbolic links are not followed, and only what is made of files
 * and folders is shown: a link may point to anything, and whoever opens a pipe waits for its other end.
 */
import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { LOCK } from "../run/files.ts";

/** A sweep's runs are two levels below it. */
const LEVELS = 4;
/** In all directories together. */
export const MOST_ENTRIES = 100_000;

/** A run or a sweep. */
export interface Found {
  /** Relative to the directory served, with slashes; "." for itself. */
  name: string;
  directory: string;
}

/** Both sorted by name. */
export interface FoundBelow {
  runs: Found[];
  sweeps: Found[];
  /** Whether there is more than was looked at. */
  cut: boolean;
}

export async function findBelow(root: string): Promise<FoundBelow> {
  const [runs, sweeps]: [Found[], Found[]] = [[], []];
  let seen = 0;
  async function look(directory: string, name: string, levels: number): Promise<void> {
    const entries = await entriesOf(directory);
    seen += entries.length;
    if (seen > MOST_ENTRIES) return;
    const found = { name: name || ".", directory };
    if (isRun(entries)) {
      if (await isPlainRun(directory, entries)) runs.push(found);
      return;
    }
    if (isSweep(entries) && (await isPlainSweep(directory, entries))) sweeps.push(found);
    if (levels === 0) return;
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("."))
        await look(join(directory, entry.name), name ? `${name}/${entry.name}` : entry.name, levels - 1);
  }
  await look(root, "", LEVELS);
  const byName = (a: Found, b: Found) => (a.name < b.name ? -1 : 1);
  return { runs: runs.sort(byName), sweeps: sweeps.sort(byName), cut: seen > MOST_ENTRIES };
}

/** The run of this name; null if there is none. */
export async function findRun(root: string, name: string): Promise<Found | null> {
  const directory = await directoryOf(root, name);
  if (directory === null) return null;
  const entries = await entriesOf(directory);
  return isRun(entries) && (await isPlainRun(directory, entries)) ? { name, directory } : null;
}

/** The sweep of this name; null if there is none. */
export async function findSweep(root: string, name: string): Promise<Found | null> {
  const directory = await directoryOf(root, name);
  if (directory === null) return null;
  const entries = await entriesOf(directory);
  return isSweep(entries) && (await isPlainSweep(directory, entries)) ? { name, directory } : null;
}

/** null for a name that leads out of `root`, or to no directory. */
async function directoryOf(root: string, name: string): Promise<string | null> {
  const parts = name === "." ? [] : name.split("/");
  if (parts.length > LEVELS || parts.some((part) => part === "" || part.startsWith("."))) return null;
  let directory = root;
  for (const part of parts) {
    directory = join(directory, part);
    const found = await lstat(directory).catch(() => null);
    if (!found?.isDirectory()) return null;
  }
  return directory;
}

const entriesOf = (directory: string): Promise<Dirent[]> =>
  readdir(directory, { withFileTypes: true }).catch(() => []);

const isRun = (entries: readonly Dirent[]) => entries.some(({ name }) => name === "config.json");
const isSweep = (entries: readonly Dirent[]) => entries.some(({ name }) => name === "sweep.json");

const arePlain = (entries: readonly Dirent[]) =>
  entries.every((entry) => entry.isFile() || entry.isDirectory());

/** What is opened to show a run lies in its directory or in its lock. */
async function isPlainRun(directory: string, entries: readonly Dirent[]): Promise<boolean> {
  return arePlain(entries) && arePlain(await entriesOf(join(directory, LOCK)));
}

/** To show a sweep, its failures and all its runs are looked at. */
async function isPlainSweep(directory: string, entries: readonly Dirent[]): Promise<boolean> {
  if (!arePlain(entries) || !arePlain(await entriesOf(join(directory, "failures")))) return false;
  const runs = await entriesOf(join(directory, "runs"));
  if (!arePlain(runs)) return false;
  for (const { name } of runs) {
    const run = join(directory, "runs", name);
    if (!(await isPlainRun(run, await entriesOf(run)))) return false;
  }
  return true;
}
