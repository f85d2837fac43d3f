/** Whether what a function of the package is given is a configuration. */
import { UsageError } from "../errors.ts";
import type { Config } from "./schema.ts";

const SECTIONS = ["task", "model", "training", "evaluation", "ensemble", "checkpoints"] as const;

/** @throws UsageError for what `createConfig` has not made */
export function requireConfig(config: Config): void {
  const missing = SECTIONS.find((name) => typeof config?.[name] !== "object" || config[name] === null);
  if (missing)
    throw new UsageError(`config: has no section ${missing}, must be a configuration that createConfig made`);
}
