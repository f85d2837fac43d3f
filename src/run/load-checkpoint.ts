/** A checkpoint of a run as a model to compute with. */
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { TransformerOptions } from "../core/layout.ts";
import { instantiateTransformer, type Transformer, type TransformerWith } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { transformerShape } from "../training/model.ts";
import { requireKeys } from "../validate.ts";
import { listCheckpoints, readCheckpoint } from "./checkpoints.ts";
import type { CheckpointKey } from "./files.ts";
import { identityOf, type Manifest } from "./manifest.ts";
import { readManifest, requireRunPath } from "./read.ts";

export interface LoadedCheckpoint<Model extends Transformer> extends CheckpointKey {
  /** The configuration of the run. */
  config: Config;
  /** With the member's parameters; those of an IVON member are the mean of its posterior. */
  model: Model;
}

/** The parameters of one member, as they were kept. */
export interface StoredCheckpoint extends CheckpointKey {
  /** The configuration of the run. */
  config: Config;
  /** By name, row-major, float32; those of an IVON member are the mean of its posterior. */
  parameters: Map<string, { shape: readonly number[]; data: Float32Array }>;
}

/**
 * Reads one member's checkpoint, by default that of member 0 at the newest step kept, and checks that it is whole and of
 * this run.
 *
 * @throws UsageError if there is no run or no such checkpoint, or if its file is damaged
 */
export async function readStoredCheckpoint(
  runDir: string,
  which: Partial<CheckpointKey> = {},
): Promise<StoredCheckpoint> {
  const { key, manifest } = await findKept(runDir, which);
  const { config } = manifest;
  const table = instantiateTransformer(await loadCoreModule(config.math), transformerShape(config), {
    optimizer: "none",
  }).parameters;
  const flat = await readCheckpoint(runDir, key, table, identityOf(manifest));
  const named = table.map(
    ({ name, shape, offset, length }): [string, { shape: readonly number[]; data: Float32Array }] => [
      name,
      { shape, data: flat.slice(offset, offset + length) },
    ],
  );
  return { ...key, config, parameters: new Map(named) };
}

/**
 * Loads one member's checkpoint, by default that of member 0 at the newest step kept.
 *
 * @param options what the model reserves memory for besides predictions: nothing, unless asked for
 * @throws UsageError if there is no run or no such checkpoint, or if its file is damaged
 */
export async function loadCheckpoint<const Options extends TransformerOptions = { optimizer: "none" }>(
  runDir: string,
  which: Partial<CheckpointKey> = {},
  options: Options = { optimizer: "none" } as Options,
): Promise<LoadedCheckpoint<TransformerWith<Options>>> {
  requireKeys("options", options, ["optimizer", "gradients", "curvature", "kronecker"]);
  const { key, manifest } = await findKept(runDir, which);
  const { config } = manifest;
  const model = instantiateTransformer(await loadCoreModule(config.math), transformerShape(config), options);
  model.setParameters(await readCheckpoint(runDir, key, model.parameters, identityOf(manifest)));
  return { ...key, config, model };
}

/** @throws UsageError if there is no run or no such checkpoint */
async function findKept(
  runDir: string,
  which: Partial<CheckpointKey>,
): Promise<{ key: CheckpointKey; manifest: Manifest }> {
  requireRunPath(runDir);
  requireKeys("which", which, ["member", "step"]);
  const { member = 0, step } = which;
  const manifest = await readManifest(runDir);
  if (!manifest) throw new UsageError(`there is no run in ${runDir}`);
  const kept = (await listCheckpoints(runDir)).filter(({ members }) => members.includes(member));
  const found = step === undefined ? kept.at(-1) : kept.find((checkpoint) => checkpoint.step === step);
  if (!found)
    throw new UsageError(
      `${runDir} has no checkpoint of member ${member}${step === undefined ? "" : ` at step ${step}`}; ` +
        `steps kept: ${kept.map((checkpoint) => checkpoint.step).join(", ") || "none"}`,
    );
  return { key: { member, step: found.step }, manifest };
}
