/** The values of an axis: a list, or a text such as 6,10,14 or 0..4 or log:0.1..10:5. */
import { isSection } from "../config/data.ts";
import type { Key } from "../config/keys.ts";
import { parseYaml } from "../config/yaml.ts";
import { UsageError } from "../errors.ts";

const NUMBER = "-?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?";
const RANGE = new RegExp(`^(?:(lin|log):)?(${NUMBER})\\.\\.(${NUMBER})(?::(\\d+))?$`, "i");

/** So many runs take an hour to check, and gigabytes to list: more are never meant. */
export const MOST_MEANT = 1_000_000;

/** Digits that a value between the ends of a range keeps: so it can be read, and is the same everywhere. */
const DIGITS = 6;

/**
 * @param source for messages
 * @param key the setting; between the ends of a range its values are rounded if they are integers
 * @param written a list; or a text, values separated by commas. Each is YAML, or a range: `0..4` of integers, `lin:0..1:5`
 *   of five evenly spaced numbers, `log:0.1..10:5` of five in a geometric series
 * @throws UsageError for no values, ones that are given twice, and ranges that are none
 */
export function axisValues(source: string, key: Pick<Key, "integer">, written: unknown): unknown[] {
  const listed = Array.isArray(written)
    ? written
    : typeof written === "string"
      ? listIn(source, written)
      : [written];
  const values = listed.flatMap((value) =>
    typeof value === "string" ? inRange(source, key, value) : [value],
  );
  if (values.length === 0) throw new UsageError(`${source}: got no value, must have at least one`);
  if (values.length > MOST_MEANT)
    throw new UsageError(`${source}: got ${values.length} values, must be at most ${MOST_MEANT}`);
  const seen = new Set<string>();
  for (const value of values) {
    if (value === null || value === undefined || isSection(value))
      throw new UsageError(`${source}: got ${JSON.stringify(value)}, must be values of one setting`);
    const text = JSON.stringify(value);
    if (seen.has(text)) throw new UsageError(`${source}: ${text} is there twice`);
    seen.add(text);
  }
  return values;
}

function listIn(source: string, text: string): unknown[] {
  const { data } = parseYaml(`[${text}]`, source);
  if (!Array.isArray(data)) throw new UsageError(`${source}: must be values separated by commas`);
  return data;
}

/** The values of a range; what is none stands for itself. */
function inRange(source: string, { integer }: Pick<Key, "integer">, text: string): unknown[] {
  const match = RANGE.exec(text);
  if (!match) {
    if (/^(lin|log):/i.test(text))
      throw new UsageError(
        `${source}: got ${text}, must have the form lin:FROM..TO:COUNT or log:FROM..TO:COUNT`,
      );
    return [text];
  }
  const [kind, from, to, count] = [match[1]?.toLowerCase(), ...match.slice(2).map(Number)];
  const refuse = (allowed: string) => new UsageError(`${source}: got ${text}, ${allowed}`);
  if (kind === undefined) {
    if (match[4] !== undefined || !Number.isInteger(from) || !Number.isInteger(to))
      throw refuse("must be two integers; of other numbers write lin:FROM..TO:COUNT or log:FROM..TO:COUNT");
    if (to < from) throw refuse("must begin with the smaller number");
    if (to - from >= MOST_MEANT) throw refuse(`must be at most ${MOST_MEANT} values`);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  }
  if (!Number.isFinite(from) || !Number.isFinite(to)) throw refuse("must be of finite numbers");
  if (count > MOST_MEANT) throw refuse(`must be at most ${MOST_MEANT} values`);
  if (match[4] === undefined || count < 2)
    throw refuse(`must end with the number of values, such as ${kind}:${match[2]}..${match[3]}:5`);
  if (kind === "log" && (from <= 0 || to <= 0)) throw refuse("must be of numbers above 0");
  const at = (share: number) => (kind === "log" ? from * (to / from) ** share : from + (to - from) * share);
  const rounded = (value: number) => (integer ? Math.round(value) : Number(value.toPrecision(DIGITS)));
  return Array.from({ length: count }, (_, i) =>
    i === 0 ? from : i === count - 1 ? to : rounded(at(i / (count - 1))),
  );
}
