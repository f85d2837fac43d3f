/**
 * What the diagnosis scores on settings that nobody has looked at, beside where it should by all others. Writes unknown.md,
 * which it prints.
 *
 *     node experiments/diagnosis/unknown.mjs --out DIR --unknown SWEEP SWEEP_OR_RUN...
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { collect } from "./collect.mjs";
import { scoreUnknown } from "./intervals.mjs";
import { failures } from "./scores.mjs";
import { failuresTable, fixed, range, table } from "./tables.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" }, unknown: { type: "string" } },
});
if (!values.out || !values.unknown || positionals.length === 0)
  throw new Error("usage: unknown.mjs --out DIR --unknown SWEEP SWEEP_OR_RUN...");

const known = await collect(positionals, values.out);
const unknown = await collect([values.unknown], values.out);
const rows = scoreUnknown(known.runs, unknown.runs).map(({ name, here, interval, there }) => [
  ...[name, fixed(here), range(interval).trim().slice(1, -1), fixed(there)],
  there >= interval[0] && there <= interval[1] ? "yes" : "no",
]);
const settings = (runs) => new Set(runs.map(({ setting }) => setting)).size;
const grok = unknown.runs.filter(({ event }) => event !== null).length;
const text = `${[
  `${unknown.runs.length} runs of ${settings(unknown.runs)} settings, ${grok} of which grok, beside ${known.runs.length} runs of ${settings(known.runs)} others.`,
  table(["of the rule", "the others", "95 % for as many new settings", "these", "inside"], rows),
  `## Failures\n\n${failuresTable(failures(unknown.runs))}`,
].join("\n\n")}\n`;
writeFileSync(join(values.out, "unknown.md"), text);
process.stdout.write(text);
