/** Predictions and metrics of a run as arrays of NumPy; `epigrok diagnose --predictions` reads them. */
import {
  type EvaluatedRun,
  type KeptArray,
  type KeptEvaluation,
  keptEvaluations,
  withoutPredictions,
} from "../diagnosis/kept-evaluations.ts";
import type { WritableArray } from "../diagnosis/npy.ts";
import { encodeNpz } from "../diagnosis/npz.ts";
import { metricRows } from "../run/metric-rows.ts";
import type { MetricsRecord } from "../run/records.ts";

type Arrays = Record<string, WritableArray>;

/** @throws UsageError for a run that has kept no predictions, or a file of which is damaged */
export async function arrayFile(run: EvaluatedRun): Promise<Uint8Array> {
  const evaluations: KeptEvaluation[] = [];
  for await (const evaluation of keptEvaluations(run)) evaluations.push(evaluation);
  if (evaluations.length === 0) throw withoutPredictions(run);
  return encodeNpz({ ...predictionArrays(evaluations), ...metricArrays(run.records) });
}

/** Of the members that are in all of the evaluations: one that has failed on the way is left out. */
function predictionArrays(evaluations: readonly KeptEvaluation[]): Arrays {
  const members = evaluations.map((each) => each.members).reduce((a, b) => a.filter((m) => b.includes(m)));
  const stacked = (arrayOf: (evaluation: KeptEvaluation) => KeptArray): WritableArray => {
    const [, prompts, classes] = arrayOf(evaluations[0]).shape;
    const size = prompts * classes;
    const data = new Float32Array(evaluations.length * members.length * size);
    for (const [e, evaluation] of evaluations.entries())
      for (const [m, member] of members.entries()) {
        const begin = evaluation.members.indexOf(member) * size;
        data.set(arrayOf(evaluation).data.subarray(begin, begin + size), (e * members.length + m) * size);
      }
    return { shape: [evaluations.length, members.length, prompts, classes], data };
  };
  const { cycle, seen, labels } = evaluations[0];
  return {
    predictions: stacked(({ predictions }) => predictions),
    // Not if some evaluations are of an older version.
    ...(evaluations.every((each) => each.cycle) && {
      cycle: stacked((each) => each.cycle!.predictions),
      cycleLabels: list(cycle!.labels),
    }),
    steps: list(evaluations.map(({ step }) => step)),
    members: list(members),
    seen: stacked((evaluation) => evaluation.seen.predictions),
    seenLabels: list(seen.labels),
    unseenLabels: list(labels),
  };
}

/** (evaluations), of a member's metric (evaluations, members), at positions one axis more; NaN where there is no number. */
function metricArrays(records: readonly MetricsRecord[]): Arrays {
  const cells = new Map<string, { index: number[]; value: number | null }[]>();
  for (const [evaluation, record] of records.entries())
    for (const { member, set, metric, position, value } of metricRows(record)) {
      const of = member === null ? "ensemble" : "members";
      const name = ["metrics", of, set, position === null ? metric : `${metric}ByPosition`];
      const index = [evaluation, member, position].filter((i) => i !== null);
      const key = name.filter((part) => part !== null).join(".");
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key)!.push({ index, value });
    }
  const arrays = Array.from(cells, ([name, own]): [string, WritableArray] => {
    const shape = own[0].index.map(
      (_, axis) => 1 + own.reduce((most, { index }) => Math.max(most, index[axis]), 0),
    );
    shape[0] = records.length;
    const data = new Float64Array(shape.reduce((product, n) => product * n, 1)).fill(Number.NaN);
    for (const { index, value } of own)
      data[index.reduce((at, i, axis) => at * shape[axis] + i, 0)] = value ?? Number.NaN;
    return [name, { shape, data }];
  });
  return { "metrics.steps": list(records.map(({ step }) => step)), ...Object.fromEntries(arrays) };
}

const list = (values: ArrayLike<number>): WritableArray => ({
  shape: [values.length],
  data: Int32Array.from(values),
});
