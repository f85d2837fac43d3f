/** What the claims of runs and whole files rest on: a rename that happens, or does not. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UsageError } from "../errors.ts";

/**
 * @param rename how to rename, for tests
 * @throws UsageError if the file system of `directory` cannot
 */
export function requireAtomicRename(directory: string, rename = renameSync): void {
  const stage = mkdtempSync(join(directory, ".epigrok-probe-"));
  try {
    const [file, replaced] = [join(stage, "file"), join(stage, "replaced")];
    writeFileSync(file, "new");
    writeFileSync(replaced, "old");
    rename(file, replaced);
    if (existsSync(file) || readFileSync(replaced, "utf8") !== "new")
      throw new Error("a renamed file does not replace another one");
    const [mine, theirs] = [join(stage, "mine"), join(stage, "theirs")];
    for (const folder of [mine, theirs]) {
      mkdirSync(folder);
      writeFileSync(join(folder, "claim"), folder);
    }
    let took = true;
    try {
      rename(mine, theirs);
    } catch {
      took = false;
    }
    if (took || readFileSync(join(theirs, "claim"), "utf8") !== theirs)
      throw new Error("a renamed directory takes the place of one that is not empty");
  } catch (error) {
    throw new UsageError(
      `the file system of ${directory} has no atomic rename, on which the claims of runs rest (${messageOf(error)}): choose a directory on another one`,
    );
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}
