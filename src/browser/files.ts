/** The files of a run as the command line writes them, with the same checksums. */
import type { Config } from "../config/schema.ts";
import { followedSettings, UNSEALED, unsealedLine } from "../run/unsealed.ts";
import { sha256 } from "./digest.ts";

/** The name that all files of a run have for it. */
export const runHash = (config: Config): Promise<string> => sha256(followedSettings(config));

/** One line each. */
export async function linesFile(records: readonly object[], run: string): Promise<string> {
  const lines = await Promise.all(records.map((record) => sealed(unsealedLine(record, run))));
  return lines.join("");
}

/** The checksum is of the text with zeros in its place. */
const sealed = async (text: string) => text.replace(UNSEALED, await sha256(text));

/** Offers a file to be kept. */
export function save(name: string, content: BlobPart, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
