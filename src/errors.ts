/** A mistake in what was asked for (flags, configuration, directories), as against a failure while running. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
