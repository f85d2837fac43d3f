/** From the members' predictions at one step to a line of metrics.jsonl. */
import type { MemberEvaluation } from "../pool/controller.ts";
import type { ProbeSet } from "../tasks/probes.ts";
import { ensembleMeasures, predictiveMeasures } from "../uncertainty/measures.ts";
import type { MetricsRecord } from "./records.ts";

/** @throws RangeError if a prediction is not a distribution or does not fit its probe set. */
export function measureEvaluation(
  step: number,
  members: readonly MemberEvaluation[],
  probes: readonly ProbeSet[],
  learningRate: number,
): MetricsRecord {
  const probabilities = ({ member, predictions }: MemberEvaluation, { name }: ProbeSet): Float32Array => {
    const found = predictions.find((prediction) => prediction.set === name);
    if (!found) throw new RangeError(`member ${member} has no predictions on ${name} at step ${step}`);
    return found.probabilities;
  };
  return {
    step,
    tokens: members[0].tokens,
    learningRate,
    members: members.map((evaluation) => ({
      member: evaluation.member,
      loss: evaluation.loss,
      gradientNorm: evaluation.gradientNorm,
      sets: Object.fromEntries(
        probes.map((probe) => [probe.name, predictiveMeasures(probabilities(evaluation, probe), probe)]),
      ),
    })),
    ensemble: Object.fromEntries(
      probes.map((probe) => [
        probe.name,
        ensembleMeasures(
          members.map((evaluation) => probabilities(evaluation, probe)),
          probe,
        ),
      ]),
    ),
  };
}
