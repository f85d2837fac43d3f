/**
 * Files that appear whole or not at all: all bytes go to a temporary file beside the place, onto the disk, and only then
 * under their name. A full disk leaves what was there before.
 */
import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../errors.ts";
import { nullIfAbsent } from "./errors.ts";

/** Nobody else's files are called so: what a kill leaves behind can be deleted. */
const TEMPORARY = /^\.epigrok-[0-9a-f]{16}\.tmp$/;

/** Whether a file is what a killed process left of one that was to appear. */
export const isTemporary = (path: string) => TEMPORARY.test(basename(path));

type Content = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/**
 * Replaces the file at `path`, whose mode and owner are kept; a link is followed, and what is no file (a pipe, /dev/null)
 * is written to.
 * @param data may come in pieces
 * @param options.keepAs what the file that is replaced is then called
 * @throws Error naming the file, if it could not be written whole: what was there before still is
 */
export async function writeWhole(
  path: string,
  data: Content,
  { keepAs }: { keepAs?: string } = {},
): Promise<void> {
  try {
    const before = await stat(path).catch(nullIfAbsent);
    if (before && !before.isFile()) await writeFile(path, data);
    else await replace(before ? await realpath(path) : path, data, before, keepAs);
  } catch (error) {
    throw new Error(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

async function replace(path: string, data: Content, before: Stats | null, keepAs?: string): Promise<void> {
  const temporary = join(dirname(path), `.epigrok-${randomBytes(8).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx");
    try {
      // Writes until all bytes are written, however few one call takes.
      await writeFile(file, data);
      if (before) await takeOver(file, before);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before && keepAs) await rename(path, keepAs);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function takeOver(file: FileHandle, { mode, uid, gid }: Stats): Promise<void> {
  // Only root may give a file away.
  await file.chown(uid, gid).catch(() => {});
  await file.chmod(mode);
}

/**
 * Adds a line to the file at `path`. One that could not be written whole is taken back.
 * @throws Error naming the file
 */
export async function appendWhole(path: string, line: string): Promise<void> {
  try {
    const file = await open(path, "a");
    try {
      const { size } = await file.stat();
      try {
        await file.appendFile(line);
        await file.sync();
      } catch (error) {
        await file.truncate(size);
        throw error;
      }
      if (size === 0) await syncDirectory(dirname(path));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new Error(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** What a system says that syncs no directories: Windows, and some network file systems. */
const NOT_SYNCED = ["EACCES", "EBADF", "EINVAL", "EISDIR", "ENOTSUP", "EPERM"];

/** Puts the names in a directory onto the disk, as far as the system does that. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    if (!NOT_SYNCED.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
