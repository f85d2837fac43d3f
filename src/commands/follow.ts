/** The lines of standard input, or of a file that grows. */
import { open } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { textDecoder } from "../config/load.ts";
import { messageOf, UsageError } from "../errors.ts";

/** How often a file is looked at, milliseconds. */
const PAUSE = 250;

/** Without their ends; those of standard input until its end. @throws UsageError unless it is UTF-8 */
export const linesOfInput = (signal: AbortSignal) => linesOf(process.stdin, "standard input", signal);

async function* linesOf(
  input: NodeJS.ReadableStream,
  source: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const cut = lineCutter(source);
  for await (const piece of addAbortSignal(signal, input as Readable)) yield* cut(piece);
  yield* cut(new Uint8Array(), true);
}

/** The lines that a piece of text completes; with the last piece also what has no end. */
function lineCutter(source: string): (piece: Uint8Array, last?: boolean) => string[] {
  const decode = textDecoder(source);
  let rest = "";
  return (piece, last) => {
    const lines = (rest + decode(piece, last)).split(/\r?\n/);
    rest = last ? "" : lines.pop()!;
    return lines;
  };
}

/**
 * Those of a file, also the ones that come to it, until the signal; of a pipe until its end.
 * @throws UsageError if it cannot be read, is not UTF-8, or becomes shorter
 */
export async function* linesOfFile(path: string, signal: AbortSignal): AsyncGenerator<string> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new UsageError(messageOf(error));
  });
  try {
    const about = await file.stat();
    if (about.isDirectory()) throw new UsageError(`${path}: it is a directory`);
    // A pipe has an end, and no place in it to read from.
    if (!about.isFile()) return yield* linesOf(file.createReadStream(), path, signal);
    const cut = lineCutter(path);
    const chunk = Buffer.alloc(2 ** 20);
    for (let at = 0; !signal.aborted; ) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
      at += bytesRead;
      if ((await file.stat()).size < at) throw new UsageError(`${path}: it became shorter`);
      yield* cut(chunk.subarray(0, bytesRead));
      if (bytesRead === 0) await setTimeout(PAUSE, undefined, { signal }).catch(() => {});
    }
  } finally {
    await file.close();
  }
}
