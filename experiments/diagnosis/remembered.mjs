/** What was computed of a run, kept in a file for as long as the programs that computed it are the same. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Of the text of files beside this one. */
export function versionOf(files) {
  const version = createHash("sha256");
  for (const file of files) version.update(readFileSync(join(import.meta.dirname, file)));
  return version.digest("hex");
}

export async function remembered(file, version, compute) {
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, "utf8"));
    if (kept.version === version) return kept.measured;
  }
  const measured = await compute();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, JSON.stringify({ version, measured }));
  renameSync(`${file}.part`, file);
  return measured;
}
