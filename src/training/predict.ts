/**
 * A member's predictive on the probe sets. A member with a posterior of its own, over its weights (IVON) or its dropout
 * masks, predicts with the mean over samples of it and tells how much they differ.
 */
import type { Config } from "../config/schema.ts";
import type { DropoutKey } from "../core/dropout.ts";
import { IVON_SAMPLES, MASK_STREAMS, stream } from "../random.ts";
import type { ProbePrompts } from "../tasks/probe-prompts.ts";
import { decomposeMembers } from "../uncertainty/decompose.ts";
import { allFinite } from "../uncertainty/rows.ts";
import type { MemberModel } from "./member-model.ts";
import type { ProbePrediction } from "./messages.ts";

/**
 * Predictions of the member that `model` holds after `step` steps. A sample has the same weights on every probe set; its
 * masks are the same at equal places of the sets. The model's parameters are afterwards what they were.
 *
 * @returns null if a probability is not finite
 */
export function predict(
  model: MemberModel,
  probes: readonly ProbePrompts[],
  config: Config,
  member: number,
  step: number,
): ProbePrediction[] | null {
  const { transformer } = model;
  const samples = config.evaluation.posteriorSamples ?? 0;
  if (samples === 0) {
    const predictions = probes.map(({ name, batch }) => ({
      set: name,
      probabilities: transformer.probabilities(batch),
    }));
    return predictions.every(({ probabilities }) => allFinite(probabilities)) ? predictions : null;
  }
  const sampleAt = posteriorSampler(model, config, member, step);
  const predictions = probes.map(({ name, batch }) => {
    const rows = batch.batchSize * batch.positions.length;
    const sampled = Array.from({ length: samples }, (_, s) => transformer.probabilities(batch, sampleAt(s)));
    if (!sampled.every(allFinite)) return null;
    const parts = decomposeMembers(
      sampled,
      rows,
      transformer.shape.dVocab,
      (row) => `${name}, prediction ${row}`,
    );
    return {
      set: name,
      probabilities: Float32Array.from(parts.mean),
      posterior: {
        expectedEntropy: Float32Array.from(parts.expectedEntropy),
        mutualInformation: Float32Array.from(parts.mutualInformation),
      },
    };
  });
  model.restoreWeights();
  return predictions.every((prediction) => prediction !== null) ? predictions : null;
}

/** Puts the weights of sample s into the model, and returns the key of its masks. */
function posteriorSampler(
  model: MemberModel,
  config: Config,
  member: number,
  step: number,
): (sample: number) => DropoutKey | undefined {
  // A mask's key has no place for member, step and sample, so the first two become its seed.
  const maskSeed = stream(config.seed, member, "dropout", step).next() >>> 0;
  return (sample) => {
    model.sampleWeights(member, step, IVON_SAMPLES.memberPredictions.first + sample);
    return model.transformer.shape.dropout > 0
      ? { seed: maskSeed, stream: MASK_STREAMS.memberPredictions.first, step: sample }
      : undefined;
  };
}
