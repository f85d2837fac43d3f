/**
 * The table. A row has group, name and `what` of it is measured, build ("both" for what does not depend on it), value
 * and unit; perhaps `share`, a fraction of the build's ceiling, and a bar: `min` or `max` for the value, or `minShare`.
 */
const BUILDS = ["fast wide", "strict wide", "fast", "strict"];

const nameOf = ({ name, what }) => (what ? `${name}: ${what}` : name);
export const keyOf = (row) => `${row.group} ${nameOf(row)}, ${row.build}`;

export const percent = (share) => `${(100 * share).toFixed(0)} %`;
const number = (value) => value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0);

function bar({ min, max, minShare }) {
  if (min !== undefined) return `>= ${number(min)}`;
  if (max !== undefined) return `<= ${number(max)}`;
  return minShare === undefined ? "" : `>= ${percent(minShare)}`;
}

/** Whether the row misses its bar; false without one, because nothing is less than undefined. */
export const misses = ({ value, share, min, max, minShare }) =>
  value < min || value > max || share < minShare;

export function consoleLine(row) {
  const { group, build, value, unit, share } = row;
  const cells = [
    group.padEnd(11),
    nameOf(row).padEnd(58),
    build.padEnd(14),
    `${number(value).padStart(9)} ${unit.padEnd(15)}`,
    (share === undefined ? "" : percent(share)).padStart(6),
    `  ${bar(row)}${misses(row) ? " missed" : ""}`,
  ];
  return cells.join("").trimEnd();
}

/** Builds and peers side by side, and where it was measured; what misses its bar is bold. */
export function markdownTable(rows, { node, v8, cpu, cores }) {
  const peers = new Map(rows.filter((row) => row.version).map(({ build, version }) => [build, version]));
  const measured = BUILDS.filter((build) => rows.some((row) => row.build === build && row.group !== "size"));
  const columns = [...measured, ...peers.keys()];
  const lines = new Map();
  for (const row of rows) {
    const head = [row.group, nameOf(row), row.unit].join(" | ");
    const line = lines.get(head) ?? { bar: "" };
    for (const column of row.build === "both" ? measured : [row.build]) line[column] = cell(row);
    line.bar ||= bar(row);
    lines.set(head, line);
  }
  const table = [
    ["group", "what", "unit", ...columns, "bar"].join(" | "),
    Array(columns.length + 4)
      .fill("---")
      .join(" | "),
    ...Array.from(lines, ([head, line]) =>
      [head, ...columns.map((c) => line[c] ?? ""), line.bar].join(" | "),
    ),
  ];
  const versions = Array.from(peers, ([peer, version]) => `, ${peer} ${version}`).join("");
  return [
    `Node ${node} (V8 ${v8}), ${cpu}, ${cores} cores${versions}.`,
    "",
    ...table.map((l) => `| ${l} |`),
  ].join("\n");
}

function cell(row) {
  const text = number(row.value) + (row.share === undefined ? "" : ` (${percent(row.share)})`);
  return misses(row) ? `**${text}**` : text;
}
