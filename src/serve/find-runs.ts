/**
 * The runs below a directory that may be shown. Symbolic links are not followed, and a run is shown only if it is made of
 * files and folders: a link may point to anything, and whoever opens a pipe waits for its other end.
 */
import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { LOCK } from "../run/files.ts";

/** A sweep's runs are two levels below it. */
const LEVELS = 4;
/** In all directories together. */
const MOST_ENTRIES = 100_000;

export interface FoundRun {
  /** Relative to the directory served, with slashes; "." for itself. */
  name: string;
  directory: string;
}

/** Sorted by name. */
export async function findRuns(root: string): Promise<FoundRun[]> {
  const found: FoundRun[] = [];
  let seen = 0;
  async function look(directory: string, name: string, levels: number): Promise<void> {
    const entries = await entriesOf(directory);
    seen += entries.length;
    if (seen > MOST_ENTRIES) return;
    if (isRun(entries)) {
      if (await isPlain(directory, entries)) found.push({ name: name || ".", directory });
      return;
    }
    if (levels === 0) return;
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("."))
        await look(join(directory, entry.name), name ? `${name}/${entry.name}` : entry.name, levels - 1);
  }
  await look(root, "", LEVELS);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The run of this name; null if there is none. */
export async function findRun(root: string, name: string): Promise<FoundRun | null> {
  const parts = name === "." ? [] : name.split("/");
  if (parts.length > LEVELS || parts.some((part) => part === "" || part.startsWith("."))) return null;
  let directory = root;
  for (const part of parts) {
    directory = join(directory, part);
    const found = await lstat(directory).catch(() => null);
    if (!found?.isDirectory()) return null;
  }
  const entries = await entriesOf(directory);
  return isRun(entries) && (await isPlain(directory, entries)) ? { name, directory } : null;
}

const entriesOf = (directory: string): Promise<Dirent[]> =>
  readdir(directory, { withFileTypes: true }).catch(() => []);

const isRun = (entries: readonly Dirent[]) => entries.some(({ name }) => name === "config.json");

/** What is opened to show a run lies in its directory or in its lock. */
async function isPlain(directory: string, entries: readonly Dirent[]): Promise<boolean> {
  const all = [...entries, ...(await entriesOf(join(directory, LOCK)))];
  return all.every((entry) => entry.isFile() || entry.isDirectory());
}
