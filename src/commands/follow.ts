/** The lines of standard input, or of a file that grows. */
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { messageOf, UsageError } from "../errors.ts";

/** How often a file is looked at, milliseconds. */
const PAUSE = 250;

/** Without their ends; those of standard input until its end. */
export const linesOfInput = (signal: AbortSignal) => linesOf(process.stdin, signal);

async function* linesOf(input: NodeJS.ReadableStream, signal: AbortSignal): AsyncGenerator<string> {
  yield* createInterface({ input, signal, crlfDelay: Infinity });
}

/**
 * Those of a file, also the ones that come to it, until the signal; of a pipe until its end.
 * @throws UsageError if it cannot be read, or becomes shorter
 */
export async function* linesOfFile(path: string, signal: AbortSignal): AsyncGenerator<string> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new UsageError(messageOf(error));
  });
  try {
    const about = await file.stat();
    if (about.isDirectory()) throw new UsageError(`${path}: it is a directory`);
    // A pipe has an end, and no place in it to read from.
    if (!about.isFile()) return yield* linesOf(file.createReadStream(), signal);
    const decoder = new TextDecoder();
    const chunk = Buffer.alloc(2 ** 20);
    let rest = "";
    for (let at = 0; !signal.aborted; ) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
      at += bytesRead;
      if ((await file.stat()).size < at) throw new UsageError(`${path}: it became shorter`);
      const parts = (rest + decoder.decode(chunk.subarray(0, bytesRead), { stream: true })).split("\n");
      rest = parts.pop()!;
      yield* parts;
      if (bytesRead === 0) await setTimeout(PAUSE, undefined, { signal }).catch(() => {});
    }
  } finally {
    await file.close();
  }
}
