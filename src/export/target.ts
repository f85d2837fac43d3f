/** Where exported files may be put. */
import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { requireWritable } from "../run/folders.ts";
import { METRICS } from "../run/read.ts";
import { holdsSweep } from "../sweep/directory.ts";

/**
 * @param source what is exported
 * @throws UsageError for a file that is there, unless it may be replaced, for a folder, and for what is in `source` or in
 *   any other run or sweep, whose files are its own
 */
export function requireTarget(path: string, source: string, overwrite: boolean): void {
  requireOutside(path, source);
  const place = above(dirname(resolve(path))).find((folder) => existsSync(folder))!;
  if (!statSync(place).isDirectory())
    throw new UsageError(`${path} is in ${place}, which is no folder: choose another --out`);
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new UsageError(`${path} is a folder, must be a file: choose another --out`);
  requireWritable(dirname(resolve(path)));
  if (there?.isFile() && !overwrite)
    throw new UsageError(`${path} is there: replace it with --overwrite, or choose another --out`);
}

/** @throws UsageError for what is in `source`, or in any run or sweep */
export function requireOutside(path: string, source?: string): void {
  const own = source === undefined ? undefined : real(source);
  const owner = above(real(path)).find((folder) => folder === own || holdsData(folder));
  if (owner !== undefined)
    throw new UsageError(
      `${path} is inside ${owner}, a run or a sweep, which has no place for it: choose another --out`,
    );
}

const holdsData = (folder: string) =>
  holdsSweep(folder) || ["config.json", METRICS.file].every((file) => existsSync(join(folder, file)));

/** With links followed, as far as the path exists. */
function real(path: string): string {
  const absolute = resolve(path);
  if (existsSync(absolute) || dirname(absolute) === absolute) return realpathSync(absolute);
  return join(real(dirname(absolute)), basename(absolute));
}

/** A path and the folders that it is in. */
const above = (path: string): string[] => (dirname(path) === path ? [path] : [path, ...above(dirname(path))]);
