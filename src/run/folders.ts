/** Folders that files are put into: whether they take any is known before anything is computed. */
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { messageOf, UsageError } from "../errors.ts";

/** For what a system says of a folder that takes no files. */
export const cannotWrite = (path: string, error: unknown): UsageError =>
  new UsageError(`cannot write to ${path}: ${messageOf(error)}`);

/**
 * Makes a folder, and those that it is in, unless it is there.
 * @returns whether it was this call that made it
 * @throws UsageError naming it
 */
export function makeFolder(path: string): boolean {
  try {
    return make(resolve(path));
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/**
 * As mkdirSync with `recursive`, which says ENOENT of a file system that is read-only, and on Node 20 never returns where
 * an existing parent refuses with ENOENT (/proc).
 */
function make(path: string): boolean {
  if (!existsSync(dirname(path))) make(dirname(path));
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** @throws UsageError unless files can be made in a folder; in the one that it is to be in, where it is not there yet */
export function requireWritable(path: string): void {
  let place = resolve(path);
  while (!existsSync(place)) place = dirname(place);
  try {
    accessSync(place, constants.W_OK);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
