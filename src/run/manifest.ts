/** What a run was asked for: config.json. */
import { createHash } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { type RunIdentity, runHash } from "./identity.ts";
import { allSettings, RUN_FORMAT } from "./unsealed.ts";

export interface Manifest {
  /** Of the run directory: from 2 on all its files have checksums; absent from those of earlier versions. */
  format?: number;
  /** The complete configuration, defaults included. */
  config: Config;
  /** SHA-256 of `config` as JSON. */
  hash: string;
  /** Of a run that was continued with other settings: those before, and the last step that followed from them. */
  earlier?: { config: Config; until: number }[];
  /** Of a run of foreign checkpoints: their steps, ascending, at which it is evaluated. */
  imported?: number[];
  /** Where the values that differ from the defaults came from, lowest precedence first. */
  overrides: { source: string; values: Record<string, unknown> }[];
  /** Arguments of the command that started the run; empty when a library call did. */
  commandLine: string[];
}

/** SHA-256 of a configuration, hexadecimal. */
export const configHash = (config: Config): string =>
  createHash("sha256").update(allSettings(config)).digest("hex");

export const identityOf = ({ config, format = 1 }: Manifest): RunIdentity => ({
  run: runHash(config),
  sealed: format >= RUN_FORMAT,
});
