/** Layers of settings from YAML files, EPIGROK_* variables and `--set`. */
import { readFileSync } from "node:fs";
import { SIMD_VARIABLE } from "../core/simd.ts";
import { messageOf, UsageError } from "../errors.ts";
import { isSection } from "./data.ts";
import { configKeys, type Key } from "./keys.ts";
import { type ConfigLayer, nested, show, unknownKey } from "./resolve.ts";
import { parseYaml } from "./yaml.ts";

const ENVIRONMENT_PREFIX = "EPIGROK_";

/**
 * The configuration in a YAML file: the keys of the schema. A `name`, a `description` and the `$schema` of an editor are
 * left out, and so is what is only there to be referred to: keys that begin with `x-` or `.`, and anchors that are used.
 */
export function fileLayer(path: string): ConfigLayer {
  return { source: path, values: readConfigFile(path).values };
}

export function readConfigFile(path: string): {
  name?: string;
  description?: string;
  values: Record<string, unknown>;
} {
  const { data, shared } = parseYaml(readText(path), path);
  const content = data ?? {};
  if (!isSection(content)) throw new UsageError(`${path}: expected keys and values, got ${show(content)}`);
  const { name, description, $schema, ...values } = content;
  for (const [key, value] of Object.entries({ name, description, $schema }))
    if (value !== undefined && typeof value !== "string")
      throw new UsageError(`${path}: ${key}: got ${show(value)}, must be a text`);
  for (const key of Object.keys(values))
    if (/^(x-|\.)/.test(key) || (shared.includes(key) && !isKey(key))) delete values[key];
  return {
    name: name as string | undefined,
    description: description as string | undefined,
    values: withEmptySections(values),
  };
}

/** The text of a file that a user wrote, without a mark of its byte order. @throws UsageError unless it is UTF-8 */
export function readText(path: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
  return decodeText(bytes, path);
}

/**
 * @param source for the message
 * @throws UsageError unless the bytes are UTF-8
 */
export const decodeText = (bytes: Uint8Array, source: string): string => textDecoder(source)(bytes, true);

/** The same of bytes that come in pieces. @returns the text of the next piece, after which there may be more */
export function textDecoder(source: string): (piece: Uint8Array, last?: boolean) => string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  return (piece, last = false) => {
    try {
      return decoder.decode(piece, { stream: !last });
    } catch {
      throw new UsageError(`${source}: it is not text in UTF-8`);
    }
  };
}

/** A section with nothing below it is null in YAML. */
function withEmptySections(values: Record<string, unknown>, prefix = ""): Record<string, unknown> {
  const filled = Object.entries(values).map(([key, value]) => {
    if (value === null && isKey(prefix + key, { section: true })) return [key, {}];
    return [key, isSection(value) ? withEmptySections(value, `${prefix}${key}.`) : value];
  });
  return Object.fromEntries(filled);
}

const isKey = (name: string, { section }: { section?: boolean } = {}) =>
  configKeys().some((key) => key.name === name && (section === undefined || key.section === section));

/**
 * The layers of EPIGROK_* variables: sections are separated by two underscores, case and single underscores do not
 * count, values are YAML. EPIGROK_TRAINING__BATCH_SIZE=64 sets training.batchSize.
 */
export function environmentLayers(environment: NodeJS.ProcessEnv): ConfigLayer[] {
  const fold = (key: string) => key.replaceAll("_", "").toLowerCase();
  const given = Object.entries(environment).filter(
    ([name]) => name.startsWith(ENVIRONMENT_PREFIX) && name !== SIMD_VARIABLE,
  );
  // Listing the keys is slow, and rarely needed.
  if (given.length === 0) return [];
  const known = new Map(configKeys().map(({ name }) => [fold(name), name]));
  return given.flatMap(([variable, text]) => {
    if (text === undefined) return [];
    const written = variable.slice(ENVIRONMENT_PREFIX.length).replaceAll("__", ".");
    const key = known.get(fold(written));
    if (key === undefined) throw new UsageError(`${variable}: ${unknownKey(written)}`);
    return [{ source: variable, values: nested(key, parseValue(variable, text)) }];
  });
}

/** The layer of one `--set a.b=value`; the value is YAML. */
export function overrideLayer(assignment: string): ConfigLayer {
  const equals = assignment.indexOf("=");
  if (equals < 1) throw new UsageError(`--set ${assignment}: must have the form key=value`);
  const key = assignment.slice(0, equals);
  requireKey("--set", key);
  const source = `--set ${assignment}`;
  return { source, values: nested(key, parseValue(source, assignment.slice(equals + 1))) };
}

/** Checked before there is a layer, because a key like __proto__ must not become an object's key at all. */
function requireKey(source: string, key: string): void {
  if (!isKey(key)) throw new UsageError(`${source}: ${unknownKey(key)}`);
}

/**
 * One setting, by its dotted key.
 * @param source for messages
 * @throws UsageError for what is unknown, or a section
 */
export function settingKey(source: string, key: string): Key {
  requireKey(source, key);
  const found = configKeys().find(({ name }) => name === key)!;
  if (found.section)
    throw new UsageError(
      `${source}: ${key} is a section; name one of its settings, such as ${key}.${configKeys()
        .find(({ name }) => name.startsWith(`${key}.`))!
        .name.slice(key.length + 1)}`,
    );
  return found;
}

/** @throws UsageError for what is not YAML, and for nothing: an unset shell variable, say */
function parseValue(source: string, text: string): unknown {
  const { data } = parseYaml(text, source);
  if (data === null) throw new UsageError(`${source}: got no value; give one, or leave the setting out`);
  return data;
}
