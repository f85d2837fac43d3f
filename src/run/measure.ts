/** From the members' predictions at one step to a line of metrics.jsonl. */
import type { MemberEvaluation } from "../pool/controller.ts";
import type { ProbeSet } from "../tasks/probes.ts";
import type { ProbePrediction } from "../training/messages.ts";
import {
  ensembleMeasures,
  type MemberMeasures,
  type Probe,
  posteriorMeasures,
  predictiveMeasures,
  selectPrompts,
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
  const setsOf = (evaluation: MemberEvaluation): [string, MemberMeasures][] =>
    probes.flatMap((probe) => {
      const trained = probe.trainedBy?.[evaluation.member];
      // Of a small set a member may have no prompt at all.
      if (trained && !trained.includes(1)) return [];
      const prediction = predictionOf(evaluation, probe);
      const measures = trained
        ? memberMeasures(predictionAt(trained, prediction), probeAt(trained, probe), posteriorSamples)
        : memberMeasures(prediction, probe, posteriorSamples);
      return [[probe.name, measures]];
    });
  return {
    step,
    tokens: members[0].tokens,
    learningRate,
    members: members.map((evaluation) => ({
      member: evaluation.member,
      loss: evaluation.loss,
      gradientNorm: evaluation.gradientNorm,
      sets: Object.fromEntries(setsOf(evaluation)),
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

function memberMeasures(
  { probabilities, posterior }: ProbePrediction,
  probe: Probe,
  samples: number,
): MemberMeasures {
  const measures = predictiveMeasures(probabilities, probe);
  return posterior ? { ...measures, posterior: posteriorMeasures(posterior, samples, probe) } : measures;
}

/** Of a probe set and of predictions on it, the prompts that are marked. */
function probeAt(marked: Uint8Array, { batch, references }: Probe): Probe {
  const targets = selectPrompts(batch.targets, marked);
  return {
    batch: { targets, batchSize: marked.reduce((sum, mark) => sum + mark, 0) },
    references: { M: selectPrompts(references.M, marked), G: selectPrompts(references.G, marked) },
  };
}

function predictionAt(
  marked: Uint8Array,
  { set, probabilities, posterior }: ProbePrediction,
): ProbePrediction {
  return {
    set,
    probabilities: selectPrompts(probabilities, marked),
    ...(posterior && {
      posterior: {
        expectedEntropy: selectPrompts(posterior.expectedEntropy, marked),
        mutualInformation: selectPrompts(posterior.mutualInformation, marked),
      },
    }),
  };
}
