/** The members' probabilities at every evaluation, for `epigrok diagnose`: at the last position, on seen and unseen tasks. */
import { encodeNpz } from "../diagnosis/npz.ts";
import type { MemberEvaluation } from "../pool/controller.ts";
import type { ProbePrediction } from "../training/messages.ts";

/** (prompts, classes) of each array, in what a member predicts. */
const ARRAYS = {
  predictions: (predictions, shape) => onSet(predictions, "unseenTasks", shape),
  cycle: (predictions) => predictions.find(({ cycle }) => cycle)?.cycle ?? new Float32Array(),
  seen: (predictions, shape) => onSet(predictions, "seenTasks", shape),
} as const satisfies Record<
  string,
  (predictions: readonly ProbePrediction[], shape: PredictionShape) => Float32Array
>;

type ArrayName = keyof typeof ARRAYS;
const ARRAY_NAMES = Object.keys(ARRAYS) as ArrayName[];

export interface PredictionShape {
  positions: number;
  classes: number;
}

export class KeptPredictions {
  readonly #shape: PredictionShape;
  readonly #members: number;
  readonly #steps: number[] = [];
  /** (members, prompts, classes) of each evaluation. */
  readonly #parts: Record<ArrayName, Float32Array[]> = { predictions: [], cycle: [], seen: [] };

  constructor(members: number, shape: PredictionShape) {
    this.#members = members;
    this.#shape = shape;
  }

  /** An evaluation without a member that failed is left out: there is no array of that shape. */
  add(step: number, members: readonly MemberEvaluation[]): void {
    if (members.length < this.#members) return;
    this.#steps.push(step);
    for (const name of ARRAY_NAMES)
      this.#parts[name].push(
        joined(members.map(({ predictions }) => ARRAYS[name](predictions, this.#shape))),
      );
  }

  /** @param labels (prompts) of each of the sets */
  npz(labels: Record<"cycleLabels" | "seenLabels" | "unseenLabels", Int32Array>): Uint8Array<ArrayBuffer> {
    const { classes } = this.#shape;
    const steps = this.#steps.length;
    const stacked = (name: ArrayName) => {
      const data = joined(this.#parts[name]);
      const prompts = data.length / (steps * this.#members * classes);
      return { shape: [steps, this.#members, prompts, classes], data };
    };
    const list = (data: Int32Array) => ({ shape: [data.length], data });
    return encodeNpz({
      predictions: stacked("predictions"),
      steps: list(Int32Array.from(this.#steps)),
      // One example is all that a prompt of one has.
      ...(labels.cycleLabels.length > 0 && {
        cycle: stacked("cycle"),
        cycleLabels: list(labels.cycleLabels),
      }),
      seen: stacked("seen"),
      seenLabels: list(labels.seenLabels),
      unseenLabels: list(labels.unseenLabels),
    });
  }
}

const onSet = (
  predictions: readonly ProbePrediction[],
  set: ProbePrediction["set"],
  shape: PredictionShape,
) => lastPositions(predictions.find((each) => each.set === set)?.probabilities ?? new Float32Array(), shape);

/** (prompts, positions, classes) -> (prompts, classes). */
function lastPositions(probabilities: Float32Array, { positions, classes }: PredictionShape): Float32Array {
  const prompts = probabilities.length / (positions * classes);
  return joined(
    Array.from({ length: prompts }, (_, i) =>
      probabilities.subarray(((i + 1) * positions - 1) * classes, (i + 1) * positions * classes),
    ),
  );
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
