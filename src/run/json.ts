/**
 * JSON of a run directory. Each line of a `.jsonl` file is an object with the version of the records it belongs to; a
 * line without one is of version 0, and lacks what was added later.
 */
import { messageOf } from "../errors.ts";
import { RECORD_VERSION } from "../uncertainty/statistics.ts";
import { ForeignRunError } from "./errors.ts";
import type { LinesFile } from "./files.ts";

export const encodeObject = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

export const encodeLine = (record: object) => `${JSON.stringify({ version: RECORD_VERSION, ...record })}\n`;

/** @throws ForeignRunError if it is not a JSON object */
export function parseObject(text: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ForeignRunError(`${where}: not JSON (${messageOf(error)})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ForeignRunError(`${where}: expected a JSON object`);
  return value as Record<string, unknown>;
}

/** A file of records, and how they are recognised. */
export interface RecordFile {
  file: LinesFile;
  /** What a line holds, for messages: with its article. */
  what: string;
  matches(value: Record<string, unknown>): boolean;
}

/**
 * The records of the complete lines: text after the last newline is a line still being written, or one that a crash cut
 * off.
 * @param path for messages
 * @throws ForeignRunError for a line that is no such record, or of a version that this program does not know
 */
export function parseLines<T>(text: string, path: string, { what, matches }: RecordFile): T[] {
  return text
    .split("\n")
    .slice(0, -1)
    .flatMap((line, i) => {
      if (line.trim() === "") return [];
      const where = `${path}:${i + 1}`;
      const { version = 0, ...record } = parseObject(line, where);
      if (!(typeof version === "number" && version <= RECORD_VERSION))
        throw new ForeignRunError(
          `${where}: record version ${JSON.stringify(version)}, from a newer epigrok; this one reads versions up to ${RECORD_VERSION}`,
        );
      if (!matches(record)) throw new ForeignRunError(`${where}: not ${what}`);
      return [record as T];
    });
}
