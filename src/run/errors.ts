/** What can be wrong with a directory that should hold a run. */
import { join } from "node:path";
import { UsageError } from "../errors.ts";

/** The directory does not exist. */
export class MissingRunError extends UsageError {}

/** The directory is not a run of this program, or a file in it is damaged. */
export class ForeignRunError extends UsageError {}

/** A file of a run, or a line of it. */
export interface FilePlace {
  directory: string;
  /** Relative to the directory. */
  file: string;
  /** From 1 on; of a file as a whole it is absent. */
  line?: number;
}

/** A file of a run is damaged, belongs to another run, or does not go with the others. */
export class FileFault extends ForeignRunError {
  readonly place: FilePlace;

  constructor(place: FilePlace, problem: string) {
    const line = place.line === undefined ? "" : `:${place.line}`;
    super(`${join(place.directory, place.file)}${line}: ${problem}`);
    this.place = place;
  }
}

/** A file of a run is not there, though what it belongs to is. */
export class MissingFileError extends FileFault {
  constructor(place: FilePlace) {
    super(place, "missing");
  }
}

/**
 * For a `catch` of reading the file at `path`, whose name the system leaves out of some errors (of a directory in its
 * place, or of a disk that fails).
 * @throws Error naming the file; as it is if it names it, or there is none
 */
export const named =
  (path: string) =>
  (error: NodeJS.ErrnoException): never => {
    if (error.code === "ENOENT" || error.path !== undefined) throw error;
    throw new Error(`${path}: ${error.message}`, { cause: error });
  };

/** For a `catch`: null in place of a file that is not there. */
export function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
  throw error;
}
