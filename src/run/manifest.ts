/** What a run was asked for: config.json. */
import { createHash } from "node:crypto";
import type { Config } from "../config/schema.ts";

export interface Manifest {
  /** The complete configuration, defaults included. */
  config: Config;
  /** SHA-256 of `config` as JSON. */
  hash: string;
  /** Where the values that differ from the defaults came from, lowest precedence first. */
  overrides: { source: string; values: Record<string, unknown> }[];
  /** Arguments of the command that started the run; empty when a library call did. */
  commandLine: string[];
}

/**
 * SHA-256 of a configuration, hexadecimal. The schema fixes the order of the keys. No pool is left out, so that
 * configurations from before there were pools keep their hashes.
 */
export function configHash({ task: { promptPool, ...task }, ...config }: Config): string {
  const { seed, ...rest } = config;
  const hashed = { seed, task: promptPool === 0 ? task : { ...task, promptPool }, ...rest };
  return createHash("sha256").update(JSON.stringify(hashed)).digest("hex");
}
