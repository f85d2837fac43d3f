/** From the members' predictions at one step to a line of metrics.jsonl. */
import type { MemberEvaluation } from "../pool/controller.ts";
import type { ProbeSet } from "../tasks/probes.ts";
import type { ProbePrediction } from "../training/messages.ts";
import {
  ensembleMeasures,
  type MemberMeasures,
  posteriorMeasures,
  predictiveMeasures,
} from "../uncertainty/measures.ts";
import type { MetricsRecord } from "./records.ts";

export interface EvaluationSettings {
  learningRate: number;
  /** Samples behind each member's predictions; 0 or absent: none. */
  posteriorSamples?: number;
}

/** @throws RangeError if a prediction is not a distribution or does not fit its probe set. */
export function measureEvaluation(
  step: number,
  members: readonly MemberEvaluation[],
  probes: readonly ProbeSet[],
  { learningRate, posteriorSamples = 0 }: EvaluationSettings,
): MetricsRecord {
  const predictionOf = ({ member, predictions }: MemberEvaluation, { name }: ProbeSet): ProbePrediction => {
    const found = predictions.find((prediction) => prediction.set === name);
    if (!found) throw new RangeError(`member ${member} has no predictions on ${name} at step ${step}`);
    return found;
  };
  const memberMeasures = (evaluation: MemberEvaluation, probe: ProbeSet): MemberMeasures => {
    const { probabilities, posterior } = predictionOf(evaluation, probe);
    const measures = predictiveMeasures(probabilities, probe);
    return posterior
      ? { ...measures, posterior: posteriorMeasures(posterior, posteriorSamples, probe) }
      : measures;
  };
  return {
    step,
    tokens: members[0].tokens,
    learningRate,
    members: members.map((evaluation) => ({
      member: evaluation.member,
      loss: evaluation.loss,
      gradientNorm: evaluation.gradientNorm,
      sets: Object.fromEntries(probes.map((probe) => [probe.name, memberMeasures(evaluation, probe)])),
    })),
    ensemble: Object.fromEntries(
      probes.map((probe) => [
        probe.name,
        ensembleMeasures(
          members.map((evaluation) => predictionOf(evaluation, probe).probabilities),
          probe,
        ),
      ]),
    ),
  };
}
