import type { MetricsRecord } from "../../run/records.ts";
import { formatStep } from "../format.ts";
import type { RunData } from "../read-run.ts";
import { ordered } from "../theme.ts";
import { membersOf } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series } from "./plot.ts";

/** MI on unseen tasks against the number of context examples, at up to six steps of the run. */
export function positionFigure(run: RunData): Figure {
  const moments = chooseMoments(run);
  const series: Series[] = moments.map(({ record, name }, i) => ({
    key: String(record.step),
    label: name,
    colour: ordered[moments.length === 1 ? 0 : Math.round((i * (ordered.length - 1)) / (moments.length - 1))],
    points: (record.ensemble.unseenTasks?.mutualInformationByPosition ?? []).map((y, x) => ({ x, y })),
  }));
  const steps = moments.map(({ record, name }) => `step ${formatStep(record.step)} (${name})`).join(", ");
  const last = Math.max(1, ...series.map((line) => line.points.length - 1));
  return {
    id: "position",
    title: "Epistemic uncertainty along the context",
    caption: `MI (nats, K = ${membersOf(run)}) on unseen tasks against the number of examples before the query, at ${steps}. With no example the context says nothing about the task: disagreement there is only about the marginal of z.`,
    spec: linePlot({
      description: "Line chart of mutual information against context position, one line per chosen step.",
      x: {
        title: "examples in the context",
        type: "linear",
        domain: [0, last],
        format: "d",
        ...(last <= 12 ? { ticks: Array.from({ length: last + 1 }, (_, i) => i) } : {}),
      },
      y: { title: "MI (nats)", domain: fromZero(series) },
      series,
      points: true,
    }),
  };
}

/** Start, memorised, peak, half-way from peak to grok, grok and end: those that exist, in order, none twice. */
export function chooseMoments(run: RunData): { record: MetricsRecord; name: string }[] {
  const { records } = run;
  const events = run.events;
  const first = records[0].step;
  const last = records[records.length - 1].step;
  const peak = events.uncertaintyPeakStep ?? events.memorisedStep ?? first;
  const between = (peak + (events.grokStep ?? last)) / 2;
  const wanted: [number | null, string][] = [
    [events.memorisedStep, "memorised"],
    [events.uncertaintyPeakStep, "MI peak"],
    [events.grokStep, "grok"],
    [first, "start"],
    [last, "end"],
    [between, "half-way"],
  ];
  const chosen = new Map<number, { record: MetricsRecord; name: string }>();
  for (const [step, name] of wanted) {
    if (step === null) continue;
    const record = nearest(records, step);
    if (!chosen.has(record.step)) chosen.set(record.step, { record, name });
  }
  return [...chosen.values()].sort((a, b) => a.record.step - b.record.step);
}

function nearest(records: MetricsRecord[], step: number): MetricsRecord {
  return records.reduce((best, record) =>
    Math.abs(record.step - step) < Math.abs(best.step - step) ? record : best,
  );
}
