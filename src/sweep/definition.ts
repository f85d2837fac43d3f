/** What a sweep is asked for: settings of all runs, axes whose grid is run, sets of settings, and what is left out. */
import { isSection, requireData } from "../config/data.ts";
import { readText, settingKey } from "../config/load.ts";
import { nearestName } from "../config/nearest-name.ts";
import { presetLayer } from "../config/presets.ts";
import type { ConfigLayer } from "../config/resolve.ts";
import type { ConfigInput } from "../config/schema.ts";
import { parseYaml } from "../config/yaml.ts";
import { UsageError } from "../errors.ts";
import { axisValues } from "./values.ts";

/** By dotted key. */
export type Settings = Record<string, unknown>;

/** A setting and the values it takes. */
export interface Axis {
  key: string;
  values: unknown[];
}

export interface SweepDefinition {
  /** Of all runs, lowest precedence first. */
  layers: ConfigLayer[];
  /** The grid: the last axis changes fastest. */
  axes: Axis[];
  /** Each of these is combined with the whole grid; without any there is the grid alone. */
  settings: Settings[];
  /** Runs that have, of each key, one of the values are left out. */
  exclude: Record<string, unknown[]>[];
}

/** A sweep as it is written: a file holds this, and `runSweep` takes it. */
export interface SweepInput {
  /** Where the settings start from. */
  preset?: string;
  /** Settings of all runs. */
  set?: ConfigInput;
  /** Values by dotted key: a list, or a text such as `6,10,14`, `0..4`, `lin:0..1:5` or `log:0.1..10:5`. */
  axes?: Record<string, unknown>;
  /** Sets of settings by dotted key, or in sections; each is combined with the whole grid. */
  settings?: Record<string, unknown>[];
  /** Runs with these settings are left out; a value may be several, as of an axis. */
  exclude?: Record<string, unknown>[];
}

const KEYS = ["preset", "set", "axes", "settings", "exclude"] as const satisfies (keyof SweepInput)[];

/**
 * The sweep in a YAML file. `name`, `description`, `$schema` and keys that begin with `x-` are left out.
 * @throws UsageError for what is none
 */
export function readSweepFile(path: string): SweepInput {
  const text = readText(path);
  const data = parseYaml(text, path).data ?? {};
  if (!isSection(data)) throw new UsageError(`${path}: expected keys and values`);
  const { name, description, $schema, ...content } = data;
  const entries = Object.entries(content).filter(([key]) => !key.startsWith("x-"));
  return Object.fromEntries(entries) as SweepInput;
}

/**
 * @param source where the sweep comes from, for messages
 * @param over settings of higher precedence than its `set`
 * @throws UsageError for keys that are unknown, axes that are empty or over one setting, and whatever else has no meaning
 */
export function defineSweep(
  input: SweepInput,
  { source = "the sweep", over = [] }: { source?: string; over?: ConfigLayer[] } = {},
): SweepDefinition {
  requireData(input, source);
  requireSection(source, input);
  for (const key of Object.keys(input)) {
    if ((KEYS as readonly string[]).includes(key)) continue;
    const near = nearestName(key, KEYS);
    throw new UsageError(
      `${source}: unknown key "${key}"; ${near ? `did you mean "${near}"?` : `there are: ${KEYS.join(", ")}`}. ` +
        "Settings of all runs are under set",
    );
  }
  const { preset, set, axes, settings, exclude } = input;
  if (preset !== undefined && typeof preset !== "string")
    throw new UsageError(`${source}: preset: got ${JSON.stringify(preset)}, must be the name of one`);
  const defined: SweepDefinition = {
    layers: [
      ...(preset === undefined ? [] : [presetLayer(preset)]),
      ...(set == null ? [] : [{ source: `${source}: set`, values: requireSection(`${source}: set`, set) }]),
      ...over,
    ],
    axes: Object.entries(requireSection(`${source}: axes`, axes ?? {})).map(([key, values]) =>
      axisOf(`${source}: axis ${key}`, key, values),
    ),
    settings: requireList(`${source}: settings`, settings).map((each, i) =>
      flat(`${source}: settings ${i + 1}`, each),
    ),
    exclude: requireList(`${source}: exclude`, exclude).map((each, i) => {
      const where = `${source}: exclude ${i + 1}`;
      const entries = Object.entries(flat(where, each));
      return Object.fromEntries(entries.map(([key, values]) => [key, axisOf(where, key, values).values]));
    }),
  };
  requireDistinct(defined);
  return defined;
}

/** The axis of `--axis key=values`. */
export function parseAxis(assignment: string): Axis {
  const equals = assignment.indexOf("=");
  if (equals < 1)
    throw new UsageError(`--axis ${assignment}: must have the form key=values, such as seed=0..4`);
  return axisOf(`--axis ${assignment}`, assignment.slice(0, equals), assignment.slice(equals + 1));
}

/** What `--exclude "key=values key=values"` leaves out. */
export function parseExclusion(text: string): Record<string, unknown[]> {
  const source = `--exclude ${text}`;
  const axes = text
    .trim()
    .split(/\s+/)
    .map((assignment) => {
      const equals = assignment.indexOf("=");
      if (equals < 1) throw new UsageError(`${source}: must have the form "key=values key=values"`);
      return axisOf(source, assignment.slice(0, equals), assignment.slice(equals + 1));
    });
  requireDistinct({ axes, settings: [] });
  return Object.fromEntries(axes.map(({ key, values }) => [key, values]));
}

const axisOf = (source: string, key: string, written: unknown): Axis => ({
  key,
  values: axisValues(source, settingKey(source, key), written),
});

/** @throws UsageError if two axes, or an axis and a set of settings, are over one setting */
export function requireDistinct({ axes, settings }: Pick<SweepDefinition, "axes" | "settings">): void {
  const keys = axes.map(({ key }) => key);
  for (const [i, key] of keys.entries()) {
    if (keys.indexOf(key) < i)
      throw new UsageError(`there are two axes over ${key}; put their values into one`);
    if (settings.some((each) => Object.hasOwn(each, key)))
      throw new UsageError(`${key} is both an axis and in settings; leave it out of one of them`);
  }
}

/** Sections become dotted keys. */
function flat(source: string, settings: unknown): Settings {
  const found: Settings = {};
  const visit = (values: Record<string, unknown>, prefix: string): void => {
    for (const [part, value] of Object.entries(values)) {
      if (isSection(value)) visit(value, `${prefix}${part}.`);
      else found[settingKey(source, prefix + part).name] = value;
    }
  };
  visit(requireSection(source, settings), "");
  return found;
}

function requireSection(source: string, value: unknown): Record<string, unknown> {
  if (isSection(value)) return value;
  throw new UsageError(`${source}: got ${JSON.stringify(value) ?? "nothing"}, must be keys and values`);
}

function requireList(source: string, value: unknown): unknown[] {
  if (value == null) return [];
  if (Array.isArray(value)) return value;
  throw new UsageError(`${source}: got ${JSON.stringify(value)}, must be a list`);
}
