/** A run that is continued with other settings: as far as its steps so far would have been the same. */
import { differingKeys } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { FileFault } from "./errors.ts";
import { stateFile } from "./files.ts";
import { configHash, identityOf, type Manifest } from "./manifest.ts";
import { readMember, readMetrics } from "./read.ts";
import { dependsOnLength } from "./unsealed.ts";

/** How often there is an evaluation, and what is kept of it. */
const CADENCE = [
  "evaluation.every",
  "evaluation.spacing",
  "evaluation.savePredictions",
  "checkpoints.schedule",
  "checkpoints.keep",
];

/**
 * The manifest from here on: the same one for the same configuration.
 * @param out as the user wrote it, for messages
 * @throws UsageError for settings that the steps so far depend on
 */
export async function continuation(
  directory: string,
  manifest: Manifest,
  config: Config,
  { out, overrides }: Pick<Manifest, "overrides"> & { out: string },
): Promise<Manifest> {
  if (configHash(config) === manifest.hash) return manifest;
  const changed = differingKeys(config, manifest.config);
  if (changed.length === 0)
    throw new FileFault(
      { directory, file: "config.json" },
      "damaged, its configuration does not have its hash",
    );
  const longer = changed.includes("training.steps") ? dependsOnLength(manifest.config) : null;
  const refused = changed.filter((key) =>
    key === "training.steps" ? longer !== null : !CADENCE.includes(key),
  );
  if (refused.length > 0)
    throw new UsageError(
      `the run in ${out} has another configuration; it differs in ${refused.join(", ")}. ` +
        (longer === null ? "" : `training.steps cannot change, since ${longer}. `) +
        "Resume it without these settings, or start a new run with another --out",
    );
  const until = await furthestStep(directory, manifest);
  if (config.training.steps < until)
    throw new UsageError(
      `training.steps: got ${config.training.steps}, must be at least ${until}, as far as the run in ${out} has come`,
    );
  return {
    ...manifest,
    config,
    hash: configHash(config),
    earlier: [...(manifest.earlier ?? []), { config: manifest.config, until }],
    overrides: [...manifest.overrides, ...overrides.filter(({ source }) => source !== out)],
  };
}

/** To which step any member has come, by what can be read of it. */
async function furthestStep(directory: string, manifest: Manifest): Promise<number> {
  const identity = identityOf(manifest);
  const steps = (await readMetrics(directory, () => {})).map(({ step }) => step);
  for (let member = 0; member < manifest.config.ensemble.members; member++) {
    const progress = await readMember(directory, { member, file: stateFile(member) }, identity).catch(
      (error) => {
        if (error instanceof FileFault) return null;
        throw error;
      },
    );
    steps.push(progress?.state?.step ?? 0);
  }
  return Math.max(0, ...steps);
}
