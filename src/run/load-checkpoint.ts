/** A checkpoint of a run as a model to compute with. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { TransformerOptions } from "../core/layout.ts";
import { instantiateTransformer, type Transformer, type TransformerWith } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { transformerShape } from "../training/model.ts";
import { listCheckpoints, readCheckpoint } from "./checkpoints.ts";
import type { CheckpointKey } from "./files.ts";
import { readManifest, validConfig } from "./read.ts";

export interface LoadedCheckpoint<Model extends Transformer> extends CheckpointKey {
  /** The configuration of the run. */
  config: Config;
  /** With the member's parameters; those of an IVON member are the mean of its posterior. */
  model: Model;
}

/**
 * Loads one member's checkpoint, by default that of member 0 at the newest step kept.
 *
 * @param options what the model reserves memory for besides predictions: nothing, unless asked for
 * @throws UsageError if there is no run or no such checkpoint; Error if its file is damaged
 */
export async function loadCheckpoint<const Options extends TransformerOptions = { optimizer: "none" }>(
  runDir: string,
  { member = 0, step }: Partial<CheckpointKey> = {},
  options: Options = { optimizer: "none" } as Options,
): Promise<LoadedCheckpoint<TransformerWith<Options>>> {
  const manifest = await readManifest(runDir);
  if (!manifest) throw new UsageError(`there is no run in ${runDir}`);
  const config = validConfig(manifest.config, join(runDir, "config.json"));
  const kept = (await listCheckpoints(runDir)).filter(({ members }) => members.includes(member));
  const found = step === undefined ? kept.at(-1) : kept.find((checkpoint) => checkpoint.step === step);
  if (!found)
    throw new UsageError(
      `${runDir} has no checkpoint of member ${member}${step === undefined ? "" : ` at step ${step}`}; ` +
        `steps kept: ${kept.map((checkpoint) => checkpoint.step).join(", ") || "none"}`,
    );
  const model = instantiateTransformer(await loadCoreModule(config.math), transformerShape(config), options);
  const key = { member, step: found.step };
  model.setParameters(await readCheckpoint(runDir, key, model.parameters));
  return { ...key, config, model };
}
