/** What can be wrong with a directory that should hold a run. */
import { UsageError } from "../errors.ts";

/** The directory does not exist. */
export class MissingRunError extends UsageError {}

/** The directory is not a run of this program, or a file in it is damaged. */
export class ForeignRunError extends UsageError {}
