/** The metrics of a run as scalars of TensorBoard. */
import { type MetricRow, metricRows } from "../run/metric-rows.ts";
import { readEnvironment, readMetrics, readTiming } from "../run/read.ts";
import { encodeEvents } from "./event-file.ts";

/** TensorBoard reads files whose names have `tfevents` in them; always the same one is replaced and not added to. */
export const EVENT_FILE = "events.out.tfevents.epigrok";

/** An event file with an event for each evaluation, at the time at which it was made. */
export async function eventFile(directory: string): Promise<Uint8Array> {
  const seconds = new Map((await readTiming(directory)).map(({ step, seconds }) => [step, seconds]));
  const { startedAt } = (await readEnvironment(directory)) ?? {};
  const start = typeof startedAt === "string" ? Date.parse(startedAt) / 1000 : 0;
  const records = await readMetrics(directory);
  return encodeEvents(
    records.map((record) => ({
      step: record.step,
      wallTime: start + (seconds.get(record.step) ?? 0),
      scalars: metricRows(record).flatMap((row) =>
        row.value === null ? [] : [[tagOf(row), row.value] as const],
      ),
    })),
  );
}

/**
 * TensorBoard groups by what is before the first slash: a group for each probe set, for all positions of its prompts, for
 * what is of no set, and for each member.
 */
function tagOf({ member, set, position, metric }: MetricRow): string {
  const parts = [
    ...(member === null ? [] : [`member-${String(member).padStart(2, "0")}`]),
    ...(set === null
      ? member === null
        ? ["training"]
        : []
      : [position === null ? set : `${set}ByPosition`]),
    metric,
    ...(position === null ? [] : [position]),
  ];
  return parts.join("/");
}
