/** A member's resume state as one safetensors file: parameters, both moments and the evaluations still pending. */
import type { MemberEvaluation, MemberFailure, MemberProgress } from "../pool/controller.ts";
import type { Safetensors, Tensor } from "../safetensors.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { IntervalSums, MemberAnswers, ProbePrediction } from "../training/messages.ts";
import type { PosteriorSpread } from "../uncertainty/decompose.ts";
import { sealedTensors } from "./tensors.ts";

/** What the tensors do not hold; kept as JSON under the metadata key `progress`. NaN becomes null in JSON. */
interface ProgressRecord {
  member: number;
  step: number | null;
  evaluated: number;
  tokens: number;
  sums: IntervalSums;
  pending: {
    step: number;
    tokens: number;
    loss: number | null;
    gradientNorm: number | null;
    sets: ProbeSetName[];
  }[];
  failure: MemberFailure | null;
}

const flat = (data: Float32Array): Tensor => ({ shape: [data.length], data });

const pendingName = (step: number, set: ProbeSetName) => `pending.${step}.${set}`;

const ANSWER_PARTS = ["right", "confidence"] as const satisfies (keyof MemberAnswers)[];

const answersName = (step: number, part: keyof MemberAnswers) => `pending.${step}.answers.${part}`;

/** The tensors of one pending prediction. */
function encodePrediction(
  step: number,
  { set, probabilities, posterior, cycle }: ProbePrediction,
): [string, Tensor][] {
  const name = pendingName(step, set);
  const parts = Object.entries({ ...posterior, ...(cycle && { cycle }) }).map(
    ([part, data]): [string, Tensor] => [`${name}.${part}`, flat(data)],
  );
  return [[name, flat(probabilities)], ...parts];
}

/** @param run the identity of the run it belongs to */
export function encodeMember({ state, pending, ...progress }: MemberProgress, run: string): Uint8Array {
  const record: ProgressRecord = {
    ...progress,
    step: state?.step ?? null,
    pending: pending.map(({ step, tokens, loss, gradientNorm, predictions }) => {
      return { step, tokens, loss, gradientNorm, sets: predictions.map((p) => p.set) };
    }),
  };
  const tensors: [string, Tensor][] = pending.flatMap(({ step, predictions, answers }) => [
    ...predictions.flatMap((prediction) => encodePrediction(step, prediction)),
    ...ANSWER_PARTS.flatMap((part): [string, Tensor][] =>
      answers ? [[answersName(step, part), flat(answers[part])]] : [],
    ),
  ]);
  if (state) {
    tensors.push(["parameters", flat(state.parameters)]);
    tensors.push(["firstMoment", flat(state.firstMoment)]);
    tensors.push(["secondMoment", flat(state.secondMoment)]);
  }
  return sealedTensors(tensors, {
    ...{ run, member: String(progress.member), step: String(state?.step ?? null) },
    progress: JSON.stringify(record),
  });
}

/** @throws RangeError if they are not a complete state of this kind. */
export function decodeMember({ metadata, tensors }: Safetensors): MemberProgress {
  const tensor = (name: string): Float32Array => {
    const found = tensors.get(name)?.data;
    if (!(found instanceof Float32Array)) throw new RangeError(`member state without tensor ${name}`);
    return found;
  };
  const prediction = (step: number, set: ProbeSetName): ProbePrediction => {
    const name = pendingName(step, set);
    const part = (key: keyof PosteriorSpread | "cycle") => tensor(`${name}.${key}`);
    return {
      set,
      probabilities: tensor(name),
      ...(tensors.has(`${name}.mutualInformation`) && {
        posterior: {
          expectedEntropy: part("expectedEntropy"),
          mutualInformation: part("mutualInformation"),
        },
      }),
      ...(tensors.has(`${name}.cycle`) && { cycle: part("cycle") }),
    };
  };
  const answers = (step: number): Pick<MemberEvaluation, "answers"> =>
    tensors.has(answersName(step, "right"))
      ? {
          answers: {
            right: tensor(answersName(step, "right")),
            confidence: tensor(answersName(step, "confidence")),
          },
        }
      : {};
  if (metadata.progress === undefined) throw new RangeError("member state without its progress record");
  const { step, pending, ...progress }: ProgressRecord = JSON.parse(metadata.progress);
  return {
    ...progress,
    state:
      step === null
        ? null
        : {
            step,
            parameters: tensor("parameters"),
            firstMoment: tensor("firstMoment"),
            secondMoment: tensor("secondMoment"),
          },
    pending: pending.map(
      ({ sets, ...evaluation }): MemberEvaluation => ({
        ...evaluation,
        member: progress.member,
        loss: evaluation.loss ?? Number.NaN,
        gradientNorm: evaluation.gradientNorm ?? Number.NaN,
        predictions: sets.map((set) => prediction(evaluation.step, set)),
        ...answers(evaluation.step),
      }),
    ),
  };
}
