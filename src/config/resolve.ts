/**
 * From layers of settings to one validated configuration: a later layer overrides an earlier one key by key. Where layers
 * come from is the affair of whoever makes them.
 */
import type * as z from "zod";
import { UsageError } from "../errors.ts";
import { reserveProbePrompts } from "../tasks/reserved.ts";
import { isSection, requireData } from "./data.ts";
import { configKeys } from "./keys.ts";
import { nearestName } from "./nearest-name.ts";
import { type Config, configSchema } from "./schema.ts";

export interface ConfigLayer {
  /** Where the values come from, for messages: a file name, a variable, a flag. */
  source: string;
  values: Record<string, unknown>;
}

/** The layer of one setting that has been looked up before: a flag of its own, such as --seed. */
export function flagLayer(source: string, key: string, value: unknown): ConfigLayer {
  return { source, values: nested(key, value) };
}

/**
 * Merges the layers over the defaults and checks the result.
 * @throws UsageError with one line for each problem: setting, value, where that comes from, and what is allowed
 */
export function resolveConfig(layers: readonly ConfigLayer[]): Config {
  const config = mergeLayers(layers);
  const { task, seed, evaluation } = config;
  const { contradictions } = reserveProbePrompts(task, seed, evaluation.prompts);
  if (contradictions.length > 0)
    throw new UsageError(
      contradictions
        .map(({ path, allowed, given }) => describe(path, `must be ${allowed}`, given, layers))
        .join("\n"),
    );
  return config;
}

/**
 * A configuration that a run was made with, which has passed all checks before.
 * @param source for messages
 * @throws UsageError for what is none of this version
 */
export function storedConfig(values: unknown, source: string): Config {
  return mergeLayers([{ source, values: values as Record<string, unknown> }]);
}

function mergeLayers(layers: readonly ConfigLayer[]): Config {
  for (const { source, values } of layers) {
    requireData(values, source);
    if (!isSection(values)) throw new UsageError(`${source}: expected keys and values, got ${show(values)}`);
    const unknown = issuesOf(values).flatMap((issue) =>
      issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key].join(".")) : [],
    );
    if (unknown.length > 0)
      throw new UsageError(unknown.map((key) => `${source}: ${unknownKey(key)}`).join("\n"));
  }
  const values = layers.reduce((merged, layer) => merge(merged, layer.values), {} as Record<string, unknown>);
  const result = configSchema.safeParse(values);
  if (!result.success)
    throw new UsageError(result.error.issues.map((issue) => describeIssue(issue, layers)).join("\n"));
  return result.data;
}

/** The dotted keys whose values differ. */
export function differingKeys(a: object, b: object): string[] {
  const flatA = new Map(flatten(a));
  const flatB = new Map(flatten(b));
  return [...new Set([...flatA.keys(), ...flatB.keys()])].filter((key) => flatA.get(key) !== flatB.get(key));
}

type Issue = z.core.$ZodIssue;

function issuesOf(values: unknown): readonly Issue[] {
  const result = configSchema.safeParse(values);
  return result.success ? [] : result.error.issues;
}

function describeIssue(issue: Issue, layers: readonly ConfigLayer[]): string {
  const given = issue.code === "custom" ? ((issue.params?.given ?? []) as string[]) : [];
  return describe(issue.path.join("."), requirement(issue), given, layers);
}

/**
 * A problem as a line like `training.batchSize: got -3 from --set training.batchSize=-3, must be > 0`, followed by what
 * the settings given in it are and where they come from.
 */
function describe(
  path: string,
  requirement: string,
  given: readonly string[],
  layers: readonly ConfigLayer[],
): string {
  const others = given.flatMap((key) => {
    const other = provenance(key, layers);
    return other === undefined ? [] : [`${key} ${other}`];
  });
  return (
    `${path}: got ${provenance(path, layers) ?? "nothing"}, ${requirement}` +
    (others.length > 0 ? ` (${others.join(", ")})` : "")
  );
}

/** The value of a setting and the layer that gave it, or its default if it has one. */
function provenance(path: string, layers: readonly ConfigLayer[]): string | undefined {
  for (const { source, values } of layers.toReversed()) {
    const value = valueAt(values, path);
    if (value !== undefined) return `${show(value)} from ${source}`;
  }
  const value = valueAt(configSchema.parse({}), path);
  return value === undefined ? undefined : `${show(value)} by default`;
}

/** The value at a path, or what stands in the way of one; undefined if there is nothing. */
function valueAt(values: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce(
      (value, key) =>
        typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : value,
      values,
    );
}

const NAMES_OF_TYPES: Record<string, string> = {
  int: "an integer",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "a section with keys",
};

function requirement(issue: Issue): string {
  switch (issue.code) {
    case "too_small":
      return `must be ${issue.inclusive ? ">=" : ">"} ${issue.minimum}`;
    case "too_big":
      return `must be ${issue.inclusive ? "<=" : "<"} ${issue.maximum}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    case "invalid_type":
      return `must be ${NAMES_OF_TYPES[issue.expected] ?? issue.expected}`;
    // The schema's own wording.
    case "custom":
    case "invalid_union":
      return issue.message;
    default:
      return `must be different (${issue.message})`;
  }
}

/** What to say of a key that is none. */
export function unknownKey(key: string): string {
  const names = configKeys().map(({ name }) => name);
  if (names.includes(key)) {
    const [leaf, ...sections] = key.split(".").reverse();
    return `"${key}" is written as ${leaf} in the section ${sections.reverse().join(".")}`;
  }
  const near = nearestName(key, names);
  return `unknown key "${key}"${near ? `; did you mean "${near}"?` : ""}`;
}

/** The settings that a dotted key has a value in. */
export const nested = (key: string, value: unknown): Record<string, unknown> =>
  key.split(".").reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Record<string, unknown>;

/** `over` wins; sections are merged, everything else is replaced. */
function merge(under: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (isSection(value)) merged[key] = merge(isSection(below) ? below : {}, value);
    // -0 is 0.
    else merged[key] = value === 0 ? 0 : value;
  }
  return merged;
}

function flatten(value: object, prefix = ""): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]) =>
    isSection(inner)
      ? flatten(inner, `${prefix}${key}.`)
      : [[prefix + key, JSON.stringify(inner)] as [string, string]],
  );
}

/** A value as it is written, if it is short enough to be read. */
export function show(value: unknown): string {
  const written =
    typeof value === "object" || typeof value === "string" ? JSON.stringify(value) : String(value);
  return written.length > MOST_SHOWN ? `${written.slice(0, MOST_SHOWN)}...` : written;
}

const MOST_SHOWN = 120;
