/**
 * The settings of the page: a value for each dotted key that differs from the configuration's defaults. From them follow
 * the link that holds them, the file and the command that repeat the run, and the checked configuration.
 */
import { differingKeys, flagLayer, resolveConfig } from "../config/resolve.ts";
import { type Config, configSchema } from "../config/schema.ts";
import { UsageError } from "../errors.ts";

export type Settings = ReadonlyMap<string, unknown>;

/**
 * What the page begins with: the preset `quick`, which the defaults are, for half as long and with more evaluations, so
 * that there is more to see within a minute.
 */
export const FIRST: Settings = new Map<string, unknown>([
  ["training.steps", 3000],
  ["evaluation.every", 50],
]);

/** The largest values that the form takes: what a browser trains while somebody looks. */
export const MOST = { "ensemble.members": 16, "task.modulus": 41 };

const defaults = configSchema.parse({});

/** The value that a configuration has at a dotted key. */
export function valueAt(config: Config, key: string): unknown {
  return key
    .split(".")
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], config);
}

/** Without what is as by default, in the order of the keys of a configuration where that is known. */
export function withSetting(settings: Settings, key: string, value: unknown): Settings {
  const changed = new Map(settings);
  if (JSON.stringify(value) === JSON.stringify(valueAt(defaults, key))) changed.delete(key);
  else changed.set(key, value);
  return changed;
}

/**
 * @param source for messages: where the settings come from
 * @throws UsageError with one line for each unknown key and each value that is not allowed, or too large for a page
 */
export function configOf(settings: Settings, source: string): Config {
  const config = resolveConfig([...settings].map(([key, value]) => flagLayer(source, key, value)));
  if (config.model.initFrom !== undefined)
    throw new UsageError(`model.initFrom: got ${config.model.initFrom} from ${source}, a page has no files`);
  const beyond = Object.entries(MOST).filter(([key, most]) => Number(valueAt(config, key)) > most);
  if (beyond.length > 0)
    throw new UsageError(
      beyond
        .map(
          ([key, most]) =>
            `${key}: got ${valueAt(config, key)} from ${source}, must be at most ${most} in a page`,
        )
        .join("\n"),
    );
  return config;
}

/** Of a configuration, what is not as by default. */
export function settingsOf(config: Config): Settings {
  const entries = differingKeys(defaults, config).map((key) => [key, valueAt(config, key)] as const);
  return new Map(entries.filter(([, value]) => value !== undefined));
}

/** The part of the page's address after the `#`. */
export function toHash(settings: Settings): string {
  return [...settings]
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(written(value))}`)
    .join("&");
}

/** Nothing gives what the page begins with. Whether the values are allowed, `configOf` says. */
export function fromHash(hash: string): Settings {
  const text = hash.replace(/^#/, "");
  if (text === "") return FIRST;
  return new Map([...new URLSearchParams(text)].map(([key, value]) => [key, read(value)]));
}

/** What repeats the run in a terminal. */
export function toCommand(settings: Settings): string {
  const set = [...settings].map(([key, value]) => ` --set ${quoted(`${key}=${written(value)}`)}`);
  return `npx epigrok run --preset quick${set.join("")}`;
}

/** The same as a file for `--config`. */
export function toYaml(settings: Settings): string {
  const lines: string[] = [];
  let open: string[] = [];
  for (const [key, value] of [...settings].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const sections = key.split(".");
    const name = sections.pop();
    const shared = sections.findIndex((part, depth) => part !== open[depth]);
    for (let depth = shared < 0 ? sections.length : shared; depth < sections.length; depth++)
      lines.push(`${"  ".repeat(depth)}${sections[depth]}:`);
    lines.push(`${"  ".repeat(sections.length)}${name}: ${written(value)}`);
    open = sections;
  }
  return `${lines.join("\n") || "{}"}\n`;
}

/** As YAML reads it: words as they are, all else as JSON. */
const written = (value: unknown) =>
  typeof value === "string" && /^[a-z][\w-]*$/i.test(value) ? value : JSON.stringify(value);

function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** As a shell wants it. */
const quoted = (text: string) => (/^[\w.=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
