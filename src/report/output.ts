/** Files that a report is written to, wherever the user wants them: only one of the same kind is replaced. */
import { open, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { requireWritable } from "../run/folders.ts";
import { writeWhole } from "../run/write-file.ts";
import { requirePath } from "../validate.ts";

/** How files of this program begin; the first 1024 bytes are looked at. */
const BEGINNINGS = {
  "HTML report":
    /^<!doctype html>.*<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'/s,
  figure: /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" role="img"/,
  "study of the linear model": /^\{"schema":"epigrok-theory\//,
  "table of curves": /^t,/,
};

export type OutputKind = keyof typeof BEGINNINGS;

/**
 * Writes a file whole, or leaves what was there.
 * @throws UsageError as `requireReplaceable`; Error if it cannot be written
 */
export async function writeOutput(path: string, content: string, what: OutputKind): Promise<void> {
  await requireReplaceable(path, what);
  await writeWhole(path, content);
}

/** @throws UsageError for a path that can be none of a file, or one of a file that epigrok did not write as the same kind of output */
export async function requireReplaceable(path: string, what: OutputKind): Promise<void> {
  const there = await beginningOf(path);
  if (there !== null && there !== "" && !BEGINNINGS[what].test(there))
    throw new UsageError(
      `${path} is there and is no ${what} of epigrok, so it is not replaced: choose another path, or remove it first`,
    );
}

/** @throws UsageError for a path in no folder that is there, and as `requireReplaceable`: before anything is computed */
export async function requirePlace(path: string, what: OutputKind): Promise<void> {
  const folder = dirname(resolve(requirePath("out", path)));
  const status = await stat(folder).catch(() => null);
  if (!status?.isDirectory()) throw new UsageError(`cannot write ${path}: there is no folder ${folder}`);
  requireWritable(folder);
  await requireReplaceable(path, what);
}

/** null if there is no file, or something that has no contents to lose, such as a pipe. */
async function beginningOf(path: string): Promise<string | null> {
  const status = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new UsageError(`cannot write ${path}: ${error.message}`);
  });
  if (status?.isDirectory()) throw new UsageError(`cannot write ${path}: it is a directory`);
  if (!status?.isFile()) return null;
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(1024) });
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}
