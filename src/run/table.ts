/** Tables as files, comma-separated values and Parquet, written in pieces, so that they may be longer than memory. */

/** `text` holds strings, and anything else as JSON; `integer` those of 32 bits. */
type ColumnType = "text" | "integer" | "number" | "boolean";

export interface Column {
  name: string;
  type: ColumnType;
}

/** A cell for each column; one that is null is empty. */
export type Row = readonly unknown[];

export interface Table {
  columns: readonly Column[];
  /** In pieces, such as those of one run. */
  rows(): Iterable<Row[]> | AsyncIterable<Row[]>;
}

/** The column that holds these values. */
export function columnOf(name: string, values: readonly unknown[]): Column {
  const there = values.filter((value) => value !== null && value !== undefined);
  const all = (is: (value: unknown) => boolean) => there.length > 0 && there.every(is);
  if (all((value) => Number.isInteger(value) && value === (Number(value) | 0)))
    return { name, type: "integer" };
  if (all((value) => typeof value === "number")) return { name, type: "number" };
  return { name, type: all((value) => typeof value === "boolean") ? "boolean" : "text" };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** With a header. */
export async function* csvOf({ columns, rows }: Table): AsyncGenerator<string> {
  yield line(columns.map(({ name }) => name));
  for await (const part of rows()) yield part.map(line).join("");
}

const line = (row: Row) => `${row.map(csvCell).join(",")}\n`;

function csvCell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = textOf(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const PARQUET_TYPES = { text: "STRING", integer: "INT32", number: "DOUBLE", boolean: "BOOLEAN" } as const;

/** Of a row group, at least: readers take one at a time. */
const ROWS_OF_GROUP = 100_000;

export async function* parquetOf({ columns, rows }: Table): AsyncGenerator<Uint8Array> {
  // Few commands write tables: the others do not wait for it.
  const { ByteWriter, ParquetWriter, schemaFromColumnData } = await import("hyparquet-writer");
  const writer = new ByteWriter();
  const written = () => {
    const bytes = writer.getBytes().slice();
    writer.index = 0;
    return bytes;
  };
  const empty = columns.map(({ name, type }) => ({ name, type: PARQUET_TYPES[type], data: [] }));
  const file = new ParquetWriter({ writer, schema: schemaFromColumnData({ columnData: empty }) });
  for await (const group of groupsOf(rows())) {
    const columnData = columns.map(({ name, type }, i) => ({
      name,
      data: group.map((row) => parquetCell(row[i], type)),
    }));
    await file.write({ columnData, rowGroupSize: group.length });
    yield written();
  }
  await file.finish();
  yield written();
}

const parquetCell = (value: unknown, type: ColumnType) =>
  value === null || value === undefined ? null : type === "text" ? textOf(value) : value;

async function* groupsOf(parts: ReturnType<Table["rows"]>): AsyncGenerator<Row[]> {
  let group: Row[] = [];
  for await (const part of parts) {
    for (const row of part) group.push(row);
    if (group.length < ROWS_OF_GROUP) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
