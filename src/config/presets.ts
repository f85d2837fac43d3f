/** The configurations that come with the package: YAML files of the configuration form, with a description. */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.ts";
import { requireKeys } from "../validate.ts";
import { readConfigFile } from "./load.ts";
import { nearestName } from "./nearest-name.ts";
import { type ConfigLayer, resolveConfig, show } from "./resolve.ts";
import type { Config, ConfigInput } from "./schema.ts";

/** The same folder from src/ and from dist/: the package ships src/config/presets. */
const directory = fileURLToPath(new URL("../../src/config/presets/", import.meta.url));

export interface Preset {
  name: string;
  description: string;
  config: Config;
}

/** Names of the presets, sorted. */
export function presetNames(): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => basename(file, ".yaml"))
    .sort();
}

/** @throws UsageError if there is no preset of that name. */
export function presetLayer(name: string): ConfigLayer {
  return { source: `preset ${name}`, values: readConfigFile(presetPath(name)).values };
}

/** The presets that come with the package, by name, with their descriptions and complete configurations. */
export function listPresets(): Preset[] {
  return presetNames().map((name) => ({
    name,
    description: readConfigFile(presetPath(name)).description ?? "",
    config: resolveConfig([presetLayer(name)]),
  }));
}

/**
 * The complete configuration of a run: `settings` over those of a preset, if one is named, over the defaults.
 *
 * @throws UsageError with one line for each unknown key and each value that is not allowed
 */
export function createConfig(settings: ConfigInput = {}, options: { preset?: string } = {}): Config {
  requireKeys("options", options, ["preset"]);
  const { preset } = options;
  if (preset !== undefined && typeof preset !== "string")
    throw new UsageError(`preset: got ${show(preset)}, must be one of ${presetNames().join(", ")}`);
  const below = preset === undefined ? [] : [presetLayer(preset)];
  return resolveConfig([...below, { source: "settings", values: settings }]);
}

function presetPath(name: string): string {
  const names = presetNames();
  if (names.includes(name)) return `${directory}${name}.yaml`;
  const near = nearestName(name, names);
  throw new UsageError(
    `unknown preset "${name}"; ${near ? `did you mean "${near}"?` : `there are: ${names.join(", ")}`}`,
  );
}
