/**
 * JSON of a run directory. Each line of a `.jsonl` file is an object with the version of the records it belongs to; a
 * line without one is of version 0, and lacks what was added later. Files and lines hold the run they belong to and
 * their checksum.
 */
import { messageOf } from "../errors.ts";
import { RECORD_VERSION } from "../uncertainty/statistics.ts";
import { FileFault, type FilePlace } from "./errors.ts";
import type { LinesFile } from "./files.ts";
import { type RunIdentity, requireRun, requireWhole } from "./identity.ts";
import { seal } from "./seal.ts";
import { unsealedLine, unsealedObject } from "./unsealed.ts";

export const encodeObject = (value: object, run: string): Buffer =>
  seal(Buffer.from(unsealedObject(value, run)));

export const encodeLine = (record: object, run: string): string =>
  seal(Buffer.from(unsealedLine(record, run))).toString();

/** @throws FileFault if it is not a JSON object */
export function parseObject(text: string, place: FilePlace): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FileFault(place, `not JSON (${messageOf(error)})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new FileFault(place, "expected a JSON object");
  return value as Record<string, unknown>;
}

/**
 * What a file or line holds besides its checksum and its run.
 * @throws FileFault if it is damaged, or another run's
 */
export function openObject(
  text: string,
  place: FilePlace,
  identity: RunIdentity | null,
): Record<string, unknown> {
  const { sha256, run, ...value } = parseObject(text, place);
  requireWhole(Buffer.from(text), place, identity);
  requireRun(run, place, identity);
  return value;
}

/** A file of records, and how they are recognised. */
export interface RecordFile {
  file: LinesFile;
  /** What a line holds, for messages: with its article. */
  what: string;
  matches(value: Record<string, unknown>): boolean;
  /** Whether a step has one line at most. */
  oncePerStep?: boolean;
}

/** A line of such a file. */
export interface RecordLine<T> {
  text: string;
  place: FilePlace;
  record: T;
}

/**
 * The complete lines: text after the last newline is a line still being written, or one that a crash cut off.
 * @returns the records, and what is wrong with the other lines
 * @throws FileFault for a version that this program does not know
 */
export function readLines<T>(
  text: string,
  directory: string,
  { file, what, matches, oncePerStep }: RecordFile,
  identity: RunIdentity | null,
): { lines: RecordLine<T>[]; faults: FileFault[] } {
  const lines: RecordLine<T>[] = [];
  const faults: FileFault[] = [];
  const steps = new Set<unknown>();
  for (const [i, line] of text.split("\n").slice(0, -1).entries()) {
    if (line.trim() === "") continue;
    const place = { directory, file, line: i + 1 };
    try {
      const { version = 0, ...record } = openObject(`${line}\n`, place, identity);
      if (!(typeof version === "number" && version <= RECORD_VERSION))
        throw new NewerRecordError(place, version);
      if (!matches(record)) throw new FileFault(place, `not ${what}`);
      if (oncePerStep && steps.has(record.step))
        throw new FileFault(place, `a second evaluation at step ${record.step}`);
      steps.add(record.step);
      lines.push({ text: line, place, record: record as T });
    } catch (error) {
      if (!(error instanceof FileFault) || error instanceof NewerRecordError) throw error;
      faults.push(error);
    }
  }
  return { lines, faults };
}

/** No damage: a newer version of this program can read it. */
class NewerRecordError extends FileFault {
  constructor(place: FilePlace, version: unknown) {
    super(
      place,
      `record version ${JSON.stringify(version)}, from a newer epigrok; this one reads versions up to ${RECORD_VERSION}`,
    );
  }
}
